"""Rules that can never match, and only those."""

import pytest
from hypothesis import given, settings

from app.domain.alert import Alert
from app.domain.cover import implies, unreachable
from app.domain.expression import Expression
from app.domain.rulebook import Rule, RuleAction
from app.domain.rules import fields
from app.domain.trigger import compile_trigger
from tests.properties.strategies import alerts, expressions

HIDDEN = [
    ("confidence < 0.5", "confidence<50%"),
    ("true", "severity == critical"),
    ("confidence < 0.5", "confidence < 0.3"),
    ("confidence < 0.5", "confidence < 0.5 and severity == critical"),
    ("severity == critical", "confidence < 0.3 and (severity == critical)"),
    ("severity == critical or severity == high", "severity == high"),
    ("confidence <= 0.5", "confidence == 0.5"),
    ("trust_score > 0.5", "trust_score >= 0.6"),
    ("category in [a, b, c]", "category in [A, b]"),
    ("category in [a, b]", 'category == "B"'),
    ("severity == low or confidence < 0.5", "severity == low or confidence < 0.1"),
    ("x > 5", "(x > 7 and severity == low) or x > 9"),
]
SEEN = [
    ("confidence < 0.3", "confidence < 0.5"),
    ("confidence < 0.5", "confidence <= 0.5"),
    ("confidence < 0.5 and severity == critical", "confidence < 0.5"),
    ("confidence < 0.5", "detection_confidence < 0.3"),
    ("not confidence < 0.5", "confidence < 0.3"),
    ("severity == high", "severity == high or severity == low"),
    ("category in [a]", "category in [a, b]"),
    ("confidence > 0.5", "confidence < 0.6"),
]


def rule(trigger: str, name: str) -> Rule:
    return Rule(name, trigger, RuleAction.SUPPRESS)


@pytest.mark.parametrize(("first", "second"), HIDDEN)
def test_a_rule_behind_one_that_takes_all_it_asks_for_is_found(first: str, second: str):
    assert [("second", "first")] == [
        (hidden.name, by.name if by else None)
        for hidden, by in unreachable((rule("y == 1", "other"), rule(first, "first"), rule(second, "second")))
    ]


@pytest.mark.parametrize(("first", "second"), SEEN)
def test_a_rule_that_may_match_is_not_called_hidden(first: str, second: str):
    assert () == unreachable((rule(first, "first"), rule(second, "second")))


def test_a_rule_that_says_false_never_matches_and_a_broken_one_is_left_out():
    found = unreachable((rule("false", "never"), rule("severity <", "broken"), rule("x == 1", "seen")))
    assert [("never", None)] == [(one.name, by) for one, by in found]


@settings(max_examples=300)
@given(expressions, expressions, alerts())
def test_what_is_called_hidden_is_never_seen(narrow: Expression, wide: Expression, alert: Alert):
    if implies(narrow, wide) and narrow.test(fields(alert)) is True:
        assert wide.test(fields(alert)) is True


def test_a_hidden_rule_hides_no_other():
    """Whoever is behind it is behind the one that hides it."""
    found = unreachable((rule("true", "all"), rule("x == 1", "b"), rule("x == 1", "c")))
    assert [("b", "all"), ("c", "all")] == [(one.name, by.name if by else None) for one, by in found]
    assert str(compile_trigger("true").expression) == "true"
