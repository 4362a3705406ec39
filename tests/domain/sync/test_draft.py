"""What a woken person reads."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.domain.model.incident import IncidentDraft
from app.domain.model.text import cut, json_bytes, share_out
from app.domain.model.types import Alert, AlertId, Urgency, incident_key
from app.domain.rules.rulebook import Decision, Redaction, Rulebook
from app.domain.sync.incident_draft import MAX_DETAILS_BYTES, MAX_TITLE_CHARS, body_text, draft, with_evidence_link

ALERT = Alert(
    alert_id=AlertId("alert/123"),
    severity="critical",
    kind="hallucination",
    category="Science",
    message="The AI claims that the Earth is flat",
    claim="The Earth is flat",
    truth="The Earth is an oblate spheroid",
    query="Is the Earth flat? Ask dana@example.com",
    response="Yes, the Earth is flat, as usr_77 said",
    model="gpt-4",
    confidence=0.05,
    confidence_text="5%",
    detection_confidence=0.92,
    created_at=datetime(2026, 1, 15, 10, 0, tzinfo=UTC),
    people={"user_id": "usr_77", "ip_address": "192.0.2.7"},
    extra={"action_taken": "blocked", "internal_note": "not for others"},
)
DECISION = Decision(Urgency.HIGH, "surely false", "abc123", "rule", None, "PRULE", "PPOLICY")
ALL = Redaction(send_query=True, send_response=True, send_people=True)


def drafted(alert: Alert = ALERT, decision: Decision = DECISION, **book: object) -> IncidentDraft:
    return draft(alert, decision, Rulebook(**book))  # type: ignore[arg-type]


def test_the_draft_carries_the_decision():
    made = drafted()
    assert incident_key(ALERT.alert_id) == made.incident_key
    assert (Urgency.HIGH, "critical", "PRULE", "PPOLICY") == (
        made.urgency,
        made.severity,
        made.service_id,
        made.escalation_policy_id,
    )
    assert ("gpt-4", "Science", ALERT.created_at) == (made.source, made.category, made.occurred_at)


def test_the_details_begin_with_what_identifies_the_alert_and_hold_what_a_woken_person_needs():
    assert dict(drafted().details) == {
        "alert_id": "alert/123",
        "dashboard_link": "https://dash.truthvouch.com/alerts/alert%2F123",
        "severity": "critical",
        "kind": "hallucination",
        "category": "Science",
        "confidence": "5%: how true the answer is, 0.05 between 0 (false) and 1 (true)",
        "detection_confidence": "0.92: how sure TruthVouch is of its finding, from 0 to 1",
        "model": "gpt-4",
        "action_taken": "blocked",
        "claim": "The Earth is flat",
        "truth": "The Earth is an oblate spheroid",
        "message": "The AI claims that the Earth is flat",
        "rule": "surely false (rulebook abc123)",
    }
    assert list(drafted().details)[:3] == ["alert_id", "dashboard_link", "severity"]


def test_the_title_names_severity_kind_and_message():
    assert drafted().title == "[critical] Hallucination: The AI claims that the Earth is flat"


def test_the_rules_title_wins():
    assert drafted(decision=replace(DECISION, title=" CRITICAL:\n it lies ")).title == "CRITICAL: it lies"


@pytest.mark.parametrize(
    ("alert", "title"),
    [
        (Alert(AlertId("a-1")), "[unknown] Alert: a-1"),
        (Alert(AlertId("a-1"), severity="high", kind="pii"), "[high] PII: a-1"),
        (Alert(AlertId("a-1"), kind="citation_missing", claim="It is so"), "[unknown] Citation missing: It is so"),
        (Alert(AlertId("a-1"), message="\n\x00\t"), "[unknown] Alert: a-1"),
        (Alert(AlertId(""), message=" "), "[unknown] Alert:"),
        (Alert(AlertId("a"), message="two\nlines\ttab\x1b[31m red"), "[unknown] Alert: two lines tab[31m red"),
    ],
)
def test_an_alert_that_tells_little_still_has_a_title(alert: Alert, title: str):
    assert title == drafted(alert).title


def test_a_long_title_is_cut_visibly():
    title = drafted(replace(ALERT, message="word " * 2_000)).title
    assert MAX_TITLE_CHARS - 5 < len(title) <= MAX_TITLE_CHARS
    assert title.endswith("…")


def test_a_title_without_message_keeps_a_claim_in_that_may_not_leave():
    quiet = replace(ALERT, message=None)
    assert drafted(quiet, redaction=Redaction(send_claim=False)).title == "[critical] Hallucination: alert/123"


def test_prompts_answers_and_people_stay_in_by_default():
    said = json.dumps([drafted().title, *drafted().details.values()])
    for kept_in in ("Ask", "dana@example.com", "as usr_77 said", "192.0.2.7", "not for others"):
        assert kept_in not in said


def test_people_are_taken_out_of_every_text():
    answer = replace(
        ALERT, message="usr_77 at 192.0.2.7 wrote to dana@example.com", claim="usr_77 lies", model="m usr_77"
    )
    made = drafted(answer)
    assert made.details["message"] == "[person] at [person] wrote to [e-mail]"
    assert made.details["claim"] == "[person] lies"
    assert (made.details["model"], made.source) == ("m [person]", "m [person]")
    assert made.title == "[critical] Hallucination: [person] at [person] wrote to [e-mail]"


def test_a_message_that_repeats_the_prompt_loses_it():
    made = drafted(replace(ALERT, message=f"Asked: {ALERT.query}", claim=None, truth=None))
    assert made.details["message"] == "Asked: [withheld]"
    assert made.title == "[critical] Hallucination: Asked: [withheld]"


def test_what_policy_allows_is_sent():
    details = drafted(redaction=ALL).details
    assert ALERT.query == details["query"]
    assert ALERT.response == details["response"]
    assert details["people"] == "user_id: usr_77; ip_address: 192.0.2.7"


def test_a_sent_prompt_is_still_free_of_people_unless_they_may_leave_too():
    details = drafted(redaction=Redaction(send_query=True)).details
    assert details["query"] == "Is the Earth flat? Ask [e-mail]"


def test_no_claim_leaves_where_policy_keeps_it_in():
    details = drafted(replace(ALERT, message=f"It said: {ALERT.claim}!"), redaction=Redaction(send_claim=False)).details
    assert "claim" not in details
    assert "truth" not in details
    assert details["message"] == "It said: [withheld]!"


@pytest.mark.parametrize(
    ("own", "link"),
    [
        ("https://app.truthvouch.ai/a/9", "https://app.truthvouch.ai/a/9"),
        ("javascript:alert(1)", "https://dash.truthvouch.com/alerts/alert%2F123"),
        ("https://h/a b", "https://dash.truthvouch.com/alerts/alert%2F123"),
        ("https://h/?mail=dana@example.com", "https://dash.truthvouch.com/alerts/alert%2F123"),
        ("https://[broken", "https://dash.truthvouch.com/alerts/alert%2F123"),
        ("https://h/" + "x" * 3_000, "https://dash.truthvouch.com/alerts/alert%2F123"),
        (None, "https://dash.truthvouch.com/alerts/alert%2F123"),
    ],
)
def test_the_link_is_truthvouchs_own_where_it_is_a_decent_one(own: str | None, link: str):
    assert link == drafted(replace(ALERT, dashboard_url=own)).dashboard_url


def test_the_link_follows_the_operators_template():
    made = drafted(dashboard_url="http://tv.internal/{alert_id}/view?a={alert_id}")
    assert made.dashboard_url == "http://tv.internal/alert%2F123/view?a=alert%2F123"


def test_an_alert_id_too_long_for_a_link_has_none():
    made = drafted(replace(ALERT, alert_id=AlertId("x" * 5_000)))
    assert made.dashboard_url is None
    assert "dashboard_link" not in made.details


def test_long_texts_are_cut_with_a_notice_and_short_ones_are_whole():
    made = drafted(replace(ALERT, claim="é" * 300_000, truth="short"))
    claim = made.details["claim"]
    shown = len(claim.partition("\n[cut: ")[0])
    assert claim.endswith(f"\n[cut: {shown} of 300000 characters shown]")
    assert made.details["truth"] == "short"
    assert made.details["rule"] == "surely false (rulebook abc123)"
    used = sum(json_bytes(text) for text in made.details.values())
    assert MAX_DETAILS_BYTES - 100 < used <= MAX_DETAILS_BYTES


def test_a_text_that_fits_is_never_cut():
    assert drafted(replace(ALERT, claim="x" * 300_000)).details["claim"] == "x" * 300_000


def test_the_body_text_is_one_line_for_each_detail():
    lines = body_text(drafted()).splitlines()
    assert lines[0] == "Alert id: alert/123"
    assert lines[1] == "Dashboard link: https://dash.truthvouch.com/alerts/alert%2F123"
    assert "Confidence: 5%: how true the answer is, 0.05 between 0 (false) and 1 (true)" in lines
    assert len(drafted().details) == len(lines)


def test_the_severity_pages_where_the_rule_wants_a_page():
    assert drafted(replace(ALERT, severity="low")).severity == "error"


def test_lone_surrogates_and_control_characters_become_harmless():
    made = drafted(replace(ALERT, message="a\ud800b\x00c\u202ed\ud83d\ude00"))
    assert made.details["message"] == "a\ufffdbcd😀"


def test_the_small_are_served_whole_and_the_large_share_the_rest():
    assert share_out({"a": 5, "b": 1_000, "c": 2_000}, 1_005) == {"a": 5, "b": 500, "c": 500}


def test_cutting_measures_bytes_and_counts_characters():
    assert cut("x" * 100, 102) == "x" * 100
    assert cut("x" * 100, 60) == "x" * 20 + "\n[cut: 20 of 100 characters shown]"
    assert json_bytes(cut("😀" * 100, 120)) <= 120


LINK = "https://bridge.example.com/e/WzEs.signed"


def test_an_evidence_link_stands_where_one_looks_and_no_redaction_takes_it_away():
    for policy in (Redaction(send_claim=False), ALL):
        made = with_evidence_link(drafted(redaction=policy), LINK)
        assert ["alert_id", "dashboard_link", "evidence_link", "severity"] == list(made.details)[:4]
        assert LINK == made.details["evidence_link"] == made.evidence_url
        assert f"Evidence link: {LINK}" in body_text(made).splitlines()
    bare = with_evidence_link(IncidentDraft(incident_key(AlertId("a")), "t", Urgency.LOW, "info", "s"), LINK)
    assert {"evidence_link": LINK} == bare.details


def test_an_evidence_link_is_whole_however_long_the_texts_are():
    long = replace(ALERT, message="x" * 1_000_000, claim="é" * 1_000_000)
    made = with_evidence_link(drafted(long), LINK)
    assert LINK == made.details["evidence_link"]
    assert sum(json_bytes(text) for text in made.details.values()) <= MAX_DETAILS_BYTES + json_bytes(LINK)
