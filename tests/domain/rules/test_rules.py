"""The decision on one alert: first match wins, then the severity map."""

from datetime import UTC, datetime

from app.domain.model.types import Alert, AlertId, Urgency
from app.domain.rules.decide import SEVERITY_MAP, decide, explain, fields
from app.domain.rules.rulebook import Decision, Rule, RuleAction, Rulebook

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
SUPPRESS, CREATE = RuleAction.SUPPRESS, RuleAction.CREATE_INCIDENT

BOOK = Rulebook(
    rules=(
        Rule("noise", 'category == "Paraphrase" and severity == "medium"', SUPPRESS),
        Rule("surely false", "confidence < 0.5", CREATE, title="CRITICAL: Hallucination", service_id="PRULE"),
        Rule("very surely false", "confidence < 0.1", CREATE, urgency=Urgency.LOW),
    ),
    service_id="PBOOK",
    escalation_policy_id="PPOLICY",
    version="abc",
)


def alert(**fields: object) -> Alert:
    return Alert(alert_id=AlertId("alert_1"), **fields)  # type: ignore[arg-type]


def test_the_first_rule_that_matches_decides():
    assert decide(BOOK, alert(confidence=0.05, severity="critical"), NOW) == Decision(
        urgency=Urgency.HIGH,
        rule="surely false",
        version="abc",
        reason="rule",
        title="CRITICAL: Hallucination",
        service_id="PRULE",
        escalation_policy_id="PPOLICY",
    )


def test_a_suppressing_rule_opens_no_incident():
    decision = decide(BOOK, alert(category="Paraphrase", severity="medium", confidence=0.05), NOW)
    assert (None, "noise", "suppressed") == (decision.urgency, decision.rule, decision.reason)


def test_no_match_goes_by_the_severity_map():
    expected = Decision(Urgency.LOW, SEVERITY_MAP, "abc", "severity_map", None, "PBOOK", "PPOLICY")
    assert expected == decide(BOOK, alert(severity="high"), NOW)


def test_a_severity_mapped_to_none_opens_no_incident():
    decision = decide(BOOK, alert(severity="low"), NOW)
    assert (None, "severity_none") == (decision.urgency, decision.reason)


def test_an_unknown_and_a_missing_severity_count_as_high():
    for severity in ("warning", None):
        decision = decide(BOOK, alert(severity=severity), NOW)
        assert (Urgency.LOW, "unknown_severity") == (decision.urgency, decision.reason)


def test_a_rule_without_urgency_takes_the_maps():
    assert decide(BOOK, alert(severity="high", confidence=0.2), NOW).urgency is Urgency.LOW


def test_a_rule_without_urgency_pages_where_the_map_says_none():
    assert decide(BOOK, alert(severity="low", confidence=0.2), NOW).urgency is Urgency.HIGH


def test_an_alert_without_confidence_is_no_low_confidence():
    assert decide(BOOK, alert(severity="critical"), NOW).rule == SEVERITY_MAP


def test_how_sure_the_detection_is_says_nothing_about_how_true_the_answer_is():
    assert decide(BOOK, alert(severity="critical", detection_confidence=0.05), NOW).rule == SEVERITY_MAP


def test_a_rule_may_name_fields_of_truthvouchs_own_and_people():
    book = Rulebook(rules=(Rule("probe", "user_id = prober and action_taken = blocked", SUPPRESS),))
    probe = alert(severity="critical", people={"user_id": "prober"}, extra={"action_taken": "blocked"})
    assert decide(book, probe, NOW).reason == "suppressed"


def test_fields_of_truthvouchs_own_never_hide_ours():
    assert fields(alert(severity="high", extra={"severity": "low"}, people={"confidence": "x"}))["severity"] == "high"
    assert fields(alert(people={"confidence": "x"}))["confidence"] is None


def test_type_and_kind_are_one_field():
    values = fields(alert(kind="pii", extra={"type": "other"}))
    assert (values["type"], values["kind"]) == ("pii", "pii")


def test_a_rule_that_cannot_be_understood_never_matches_and_says_so():
    book = Rulebook(rules=(Rule("broken", "confidence <", SUPPRESS),))
    assert decide(book, alert(severity="critical"), NOW).urgency is Urgency.HIGH
    assert "ends too early" in explain(book, alert(severity="critical"), NOW)[0].why


def test_the_explanation_names_every_rule_tried_and_the_value_it_met():
    tried = explain(BOOK, alert(confidence=0.7, severity="critical"), NOW)
    assert [(step.rule, step.matched) for step in tried] == [
        ("noise", False),
        ("surely false", False),
        ("very surely false", False),
        (SEVERITY_MAP, True),
    ]
    assert "confidence < 0.5: no (confidence is 0.7)" in tried[1].why
    assert 'category == "Paraphrase": unknown (category is missing)' in tried[0].why
    assert tried[3].why == "severity is critical: high urgency"


def test_the_explanation_stops_where_the_decision_was_made():
    assert [step.rule for step in explain(BOOK, alert(confidence=0.05), NOW)] == ["noise", "surely false"]


def test_the_explanation_of_an_unknown_severity_says_what_it_counts_as():
    assert "counts as high: low urgency" in explain(Rulebook(), alert(severity="warning"), NOW)[0].why


def test_the_explanation_names_no_person():
    book = Rulebook(rules=(Rule("who", "user_id = x or note = y", SUPPRESS),))
    answer = alert(people={"user_id": "usr_77"}, extra={"note": "ask usr_77 or dana@example.com"})
    why = explain(book, answer, NOW)[0].why
    assert "usr_77" not in why
    assert "dana@example.com" not in why
