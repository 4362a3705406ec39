"""The trigger language: what it understands, what it refuses, what it answers."""

import threading

import pytest

from app.domain.rules.condition import Values
from app.domain.rules.trigger import MAX_TRIGGER_CHARS, BadTrigger, compile_trigger

ALERT: Values = {
    "severity": "high",
    "confidence": 0.05,
    "detection_confidence": 0.92,
    "category": "Science",
    "type": "hallucination",
    "model": "gpt-4",
    "message": "The Earth is flat",
    "blocked": True,
    "scan_ms": 45,
    "code": "7",
}


@pytest.mark.parametrize(
    "trigger",
    [
        "confidence < 0.5",
        "confidence < 50%",
        "confidence<50",
        "confidence = 0.05",
        "0.5 > confidence",
        "confidence < detection_confidence",
        "severity = high",
        'severity == "HIGH"',
        "high = severity",
        "severity >= medium",
        "severity <> critical",
        "severity in [critical, high]",
        'severity in ("critical", "high")',
        "severity not in [low, medium]",
        "type = Hallucination",
        'category == "science" and confidence < 0.7',
        "category == 'Science'",
        '"FLAT" in message',
        "flat in message",
        "not (severity = critical)",
        "not severity = critical",
        "severity = low or severity = high",
        "severity = critical OR confidence < 0.1 AND model = 'gpt-4'",
        "blocked",
        "blocked = true",
        "scan_ms > 10",
        "scan_ms in [1, 45]",
        "trust_score == null",
        "confidence != null",
        "true",
        "\tconfidence\n  < 0.5 ",
    ],
)
def test_a_trigger_that_matches(trigger: str):
    assert compile_trigger(trigger).matches(ALERT)


@pytest.mark.parametrize(
    "trigger",
    [
        "confidence > 0.5",
        "severity = critical",
        "severity > high",
        "category in [Art, History]",
        '"round" in message',
        "not blocked",
        "confidence == null",
        "false",
        "trust_score < 0.5",
        "not trust_score < 0.5",
        "unheard_of = x",
        "unheard_of != x",
        "not (unheard_of = x)",
        "unheard_of not in [x]",
        "unheard_of",
        "not unheard_of",
        "code > 5",
        "not (code > 5)",
        "code != 5",
        "blocked == 1",
    ],
)
def test_a_trigger_that_does_not_match(trigger: str):
    assert not compile_trigger(trigger).matches(ALERT)


def test_a_missing_field_hides_no_other_reason_to_match():
    assert compile_trigger("trust_score < 0.5 or severity = high").matches(ALERT)
    assert not compile_trigger("trust_score < 0.5 and severity = high").matches(ALERT)


def test_severity_outside_the_four_has_no_order():
    assert not compile_trigger("severity >= low").matches({"severity": "warning"})
    assert not compile_trigger("not severity >= low").matches({"severity": "warning"})


@pytest.mark.parametrize(
    ("trigger", "reason", "position"),
    [
        ("", "is empty", None),
        ("   ", "is empty", None),
        ("confidence <", "ends too early", 12),
        ("severity =", "ends too early", 10),
        ("(confidence < 0.5", "ends too early", 17),
        ("category = Policy Violation", "texts of several words need quotes", 18),
        ('category == "open', "never closed", 12),
        ("confidence < 0.5 &", "does not understand '&'", 17),
        ("message =~ 'x'", "regular expression", 8),
        ("message !~ 'x'", "regular expression", 8),
        ("9**9**9 < confidence", "does not understand '*'", 1),
        ("1 << 99999999 < confidence", "does not understand '<'", 2),
        ("details.confidence < 1", "does not understand '.'", 7),
        ("$now == 1", "does not understand '$'", 0),
        ("for == 1", "reserved word for", 0),
        ("confidence < nan", "reserved word nan", 13),
        (r'model == "a\q"', "unknown escape", 11),
        ("confidence", "without comparing", None),
        ("0.5", "must ask something", None),
        ("'a'", "must ask something", None),
        ("model()", "must ask something", None),
        ("model[0] == 'g'", "neither a field nor a value", None),
        ("confidence - 1 < 0", "neither a field nor a value", None),
        ("severity < 3", "severity, a text", None),
        ("severity > warning", "orders severity", None),
        ("model < 'b'", "orders texts", None),
        ("scan_ms < 'b'", "no number", None),
        ("confidence = low", "a number from 0 to 1", None),
        ("confidence < 101", "a number from 0 to 1", None),
        ("confidence < -0.5", "a number from 0 to 1", None),
        ("confidence < null", "only == null", None),
        ("severity in []", "empty list", None),
        ("scan_ms in [1, 'a']", "mixes texts and numbers", None),
        ("severity in [null]", "null in a list", None),
        ("'high' in [high]", "a field belongs there", None),
        ("x in 5", "cannot be read", None),
        ("confidence in message", "no text", None),
        ("x in confidence", "without a list or a text field", None),
        ("x > 1e999", "too large", None),
        ("a == b == c", "does not expect ==", 7),
        ("a < 1 > c", "does not expect >", 6),
        ("a in b in c", "does not expect in", 7),
        ("a not in [b] < c", "does not expect <", 13),
        ("a in [b] == true", "neither a field nor a value", None),
        ("a == b in [c]", "neither a field nor a value", None),
        ("a not b", "does not expect b", 6),
        ("and a", "does not expect and", 0),
        ("a == 1)", "does not expect )", 6),
        ("severity in [low, high", "ends too early", 22),
        ("severity in [low high]", "does not expect high", 17),
        ("severity in [, high]", "does not expect ,", 13),
        ("[1] == [1]", "neither a field nor a value", None),
        ("x == -y", "neither a field nor a value", None),
        ("x == 007", "a 0 too many", 5),
        ("1e999% - 1e999% < x", "too large", None),
        (r'model == "\U00110000"', "unknown escape", 10),
    ],
)
def test_a_trigger_that_makes_no_sense_is_refused_with_a_reason_and_a_place(
    trigger: str, reason: str, position: int | None
):
    with pytest.raises(BadTrigger) as refusal:
        compile_trigger(trigger)
    assert reason in refusal.value.reason
    assert position == refusal.value.position


@pytest.mark.parametrize(
    "trigger",
    [
        "x" * (MAX_TRIGGER_CHARS + 1),
        "severity in [" + ", ".join(["a"] * 600) + "]",
        "not " * 200 + "blocked",
        "(" * 200 + "blocked" + ")" * 200,
        " and ".join(["blocked"] * 200),
    ],
)
def test_a_trigger_beyond_the_bounds_is_refused(trigger: str):
    with pytest.raises(BadTrigger):
        compile_trigger(trigger)


def test_the_largest_legal_triggers_are_understood():
    assert compile_trigger("not " * 60 + "blocked").matches(ALERT)
    assert compile_trigger(" and ".join(["blocked"] * 61)).matches(ALERT)
    assert compile_trigger("(" * 60 + "blocked" + ")" * 60).matches(ALERT)


def test_what_asks_about_no_field_is_computed_when_it_is_read():
    assert str(compile_trigger("null == null and not false")) == "true"


@pytest.mark.parametrize(
    ("trigger", "said"),
    [
        ("a or b and c or not d and e", "a or (b and c) or (not (d) and e)"),
        ("(a or b) and c", "(a or b) and c"),
        ("a and (b and c)", "a and b and c"),
        ("not not a", "not (not (a))"),
        ("not a in [b] and c", 'not (a in ["b"]) and c'),
        ("a not in (b, C,)", 'not (a in ["b", "C"])'),
        ("not a not in [b]", 'not (not (a in ["b"]))'),
        ("x == --5", "x == 5"),
        ("x > 1 - 0.75", "x > 0.25"),
        ("confidence < 33.3%", "confidence < 0.33299999999999996"),
        ("1 = 1", "true"),
        ("1 == '1'", "false"),
        ("'a' in ['b', 'a'] and 'a' in 'cat' and not 'A' == 'a'", "true"),
        ("blocked == (1 < 2)", "blocked == true"),
        (r"""model == "\"\\\x41\u00e9\n" """, r'model == "\"\\A\xe9\n"'),
        ("x in [Message, '-1', TRUE_1]", 'x in ["Message", "-1", "TRUE_1"]'),
        ("x == Message", 'message == "x"'),
        ("x == Other", 'x == "Other"'),
        ("Message == x", 'message == "x"'),
    ],
)
def test_a_trigger_is_read_by_precedence_and_written_in_one_way(trigger: str, said: str):
    assert said == str(compile_trigger(trigger))


def test_what_does_not_count_as_nesting_does_not_nest():
    assert str(compile_trigger("x == " + "- " * 496 + "5")) == "x == 5"
    assert compile_trigger(" - ".join(["1"] * 248) + " < scan_ms").matches(ALERT)


def test_a_trigger_is_understood_once():
    assert compile_trigger("confidence < 0.123") is compile_trigger("confidence < 0.123")


def test_triggers_that_say_the_same_are_equal():
    assert compile_trigger("severity = critical") == compile_trigger('(severity == "critical")')
    assert str(compile_trigger("severity=critical and (not blocked)")) == 'severity == "critical" and not (blocked)'


def test_a_trigger_knows_the_fields_that_are_none_of_ours():
    assert compile_trigger("confidense < 0.5 and severity = high and blocked").foreign_fields == (
        "confidense",
        "blocked",
    )


def test_threads_may_understand_triggers_at_the_same_time() -> None:
    wrong: list[str] = []

    def work(start: int) -> None:
        for number in range(start, start + 30):
            text = f"own_{number} > {number}"
            if str(compile_trigger(text)) != text:
                wrong.append(text)

    threads = [threading.Thread(target=work, args=(1000 * n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
