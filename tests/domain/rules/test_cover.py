"""Rules that can never match, and only those; words that are nearly known ones."""

import pytest
from hypothesis import given, settings

from app.domain.model.types import Alert, Urgency
from app.domain.rules.condition import Expression
from app.domain.rules.decide import fields, implies, misspelt, slips, unreachable
from app.domain.rules.rulebook import DEFAULT_SEVERITY_MAP, Rule, RuleAction, Rulebook, Silence, Sla
from app.domain.rules.trigger import KNOWN_FIELDS, compile_trigger
from tests.fakes import START
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


@pytest.mark.parametrize(
    ("trigger", "word", "meant"),
    [
        ("confidnce < 0.5", "confidnce", "confidence"),
        ("not (trust_scrore > 0.5) or severity == low", "trust_scrore", "trust_score"),
        ('modle == "x"', "modle", "model"),
        ("catagory == null", "catagory", "category"),
        ('"flat" in mesage', "mesage", "message"),
        ("tpye == pii", "tpye", "type"),
        ("pii_typ == ssn", "pii_typ", "pii_type"),
        ("severity == critcal", "critcal", "critical"),
        ("severity in [high, Meduim]", "Meduim", "medium"),
        ("severity == hihg", "hihg", "high"),
        ("scan_mss > 5", "scan_mss", "scan_ms"),
    ],
)
def test_a_word_that_is_nearly_a_known_one_is_a_slip(trigger: str, word: str, meant: str):
    assert [(word, meant)] == list(slips(trigger, {"scan_ms"}))


@pytest.mark.parametrize(
    "trigger",
    [
        "risk_score > 5",
        "severity_score > 0.5 and action_taken == blocked",
        "response_id == null",
        "confidence_level > 5",
        "severity == warning",
        "severity == hight",
        "category == Modle",
        "mode == dark",
        "true",
        "severity <",
        *(f"{field} == null" for field in sorted(KNOWN_FIELDS)),
    ],
)
def test_fields_and_severities_of_ones_own_are_no_slips(trigger: str):
    assert [] == list(slips(trigger, {"mode"}, {"hight"}))


def test_everything_misspelt_in_a_rulebook_is_named_with_its_place():
    book = Rulebook(
        rules=(Rule("r", "confidnce < 0.5", RuleAction.SUPPRESS), Rule("fine", "true", RuleAction.SUPPRESS)),
        silences=(Silence("s", "modle == x", "dana", "drill", START),),
        severity_map=DEFAULT_SEVERITY_MAP | {"critcal": Urgency.HIGH, "warning": Urgency.LOW},
        sla={"hihg": Sla(), "high": Sla()},
    )
    assert [
        "rules: 'r' names confidnce, a field no alert is known to have; did you mean confidence?",
        "silences: 's' names modle, a field no alert is known to have; did you mean model?",
        "severity_map names critcal, a severity TruthVouch does not have; did you mean critical?",
        "sla names hihg, a severity TruthVouch does not have; did you mean high?",
    ] == list(map(str, misspelt(book)))
    assert () == misspelt(Rulebook())
    assert 3 == len(misspelt(book, {"modle"}))
