"""Laws of the trigger language and of the decision."""

from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from app.domain.model.types import Alert, Urgency
from app.domain.rules.condition import Compare, Expression, Field, Leaf, Not, names
from app.domain.rules.decide import decide, explain, fields, may_match, undecidable_by
from app.domain.rules.rulebook import Rule, RuleAction, Rulebook
from app.domain.rules.trigger import BadTrigger, Trigger, compile_trigger
from tests.properties.strategies import alerts, comparisons, expressions, hostile, rulebooks, rules, token_soup

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
REASONS = {"rule", "severity_map", "suppressed", "severity_none", "unknown_severity"}


def read(text: str) -> Trigger | BadTrigger:
    try:
        return compile_trigger(text)
    except BadTrigger as fault:
        return fault


@given(expressions)
def test_printing_a_trigger_and_reading_it_again_gives_the_same_trigger(expression: Expression):
    assert expression == compile_trigger(str(expression)).expression


@given(st.one_of(token_soup, hostile))
def test_every_text_is_understood_or_refused_with_a_reason(text: str):
    understood = read(text)
    if isinstance(understood, BadTrigger):
        assert understood.reason
        assert understood.position is None or 0 <= understood.position <= len(text)
    else:
        assert understood == compile_trigger(str(understood))


@given(expressions, alerts())
def test_a_trigger_answers_for_every_alert(expression: Expression, alert: Alert):
    assert Trigger(expression).matches(fields(alert)) in (True, False)


@given(comparisons)
def test_a_comparison_with_a_missing_field_matches_neither_as_it_is_nor_under_not(comparison: Leaf):
    nothing_sent = dict.fromkeys(names(comparison))
    assert not Trigger(comparison).matches(nothing_sent)
    assert not Trigger(Not(comparison)).matches(nothing_sent)


with_a_value = comparisons.filter(lambda leaf: isinstance(leaf, Compare) and not isinstance(leaf.other, Field))


@given(with_a_value)
def test_a_comparison_with_a_field_of_another_type_matches_neither_as_it_is_nor_under_not(comparison: Compare):
    other_type = {comparison.field.name: "text" if isinstance(comparison.other, bool) else True}
    assert not Trigger(comparison).matches(other_type)
    assert not Trigger(Not(comparison)).matches(other_type)


@given(expressions, alerts())
def test_saying_not_twice_says_the_same(expression: Expression, alert: Alert):
    twice = Not(Not(expression))
    assert Trigger(expression).matches(fields(alert)) == Trigger(twice).matches(fields(alert))


@given(expressions, alerts())
def test_a_trigger_and_its_opposite_never_both_match(expression: Expression, alert: Alert):
    values = fields(alert)
    assert not (Trigger(expression).matches(values) and Trigger(Not(expression)).matches(values))


@given(rulebooks, alerts())
def test_decide_answers_for_every_alert(rulebook: Rulebook, alert: Alert):
    decision = decide(rulebook, alert, NOW)
    assert decision.reason in REASONS
    assert decision.version == rulebook.version
    assert decision.urgency in (None, *Urgency)
    assert (decision.reason == "suppressed") <= (decision.urgency is None)
    assert (decision.reason == "rule") <= (decision.urgency is not None)


@given(rulebooks, rules, alerts())
def test_adding_a_later_rule_never_changes_an_earlier_match(rulebook: Rulebook, later: Rule, alert: Alert):
    before = decide(rulebook, alert, NOW)
    after = decide(replace(rulebook, rules=(*rulebook.rules, later)), alert, NOW)
    if before.reason in ("rule", "suppressed"):
        assert before == after


@given(rulebooks, alerts())
def test_the_explanation_ends_with_what_decided(rulebook: Rulebook, alert: Alert):
    tried = explain(rulebook, alert, NOW)
    assert decide(rulebook, alert, NOW).rule == tried[-1].rule
    assert [False] * (len(tried) - 1) + [True] == [step.matched for step in tried]
    assert all(step.why for step in tried)


@given(alerts(), st.text("uvw", min_size=12))
def test_an_explanation_quotes_no_free_text(alert: Alert, secret: str):
    asked = ("query", "response", "claim", "truth", "message")
    rules = tuple(Rule(name, f'{name} == "nothing like it"', RuleAction.SUPPRESS) for name in asked)
    answer = replace(alert, severity=None, query=secret, response=secret, claim=secret, truth=secret, message=secret)
    assert [] == [step.why for step in explain(Rulebook(rules=rules), answer, NOW) if secret in step.why]


@given(rulebooks, alerts())
def test_what_is_decidable_without_evidence_is_decided_as_it_was_with_it(rulebook: Rulebook, alert: Alert):
    erased, rules_alone = alert.without_evidence(NOW), replace(rulebook, silences=())
    if undecidable_by(rules_alone, erased) is None:
        assert decide(rules_alone, alert, NOW) == decide(rules_alone, erased, NOW)


@given(expressions, alerts())
def test_whether_a_trigger_matches_without_evidence_is_said_only_where_it_is_certain(
    expression: Expression, alert: Alert
):
    erased = alert.without_evidence(NOW)
    said = may_match(str(expression), erased, fields(erased))
    assert said in (None, Trigger(expression).matches(fields(alert)))


@given(expressions, alerts())
def test_of_an_alert_with_its_evidence_nothing_is_uncertain(expression: Expression, alert: Alert):
    assert Trigger(expression).matches(fields(alert)) is may_match(str(expression), alert, fields(alert))
