"""What a trigger means, told a second time: texts are made together with the answer they must give.

The answers know nothing of ``app.domain.rules``: a comparison is a few lines of Python, and ``and``, ``or`` and ``not``
are the three-valued ones of SQL. Brackets stand only where the grammar needs them, so precedence is asked about too.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from app.domain.rules.trigger import compile_trigger

Alert = Mapping[str, Any]
Meaning = Callable[[Alert], bool | None]
Told = tuple[str, Meaning]

SIGNS = {"==": operator.eq, "=": operator.eq, "!=": operator.ne, "<>": operator.ne}
ORDERS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
RANKS = ["low", "medium", "high", "critical"]
WORDS = ["high", "LOW", "a", "Straße", "x y", "it's", 'say "no"', "back\\slash", "50", "or", "null", "message"]
NUMBERS = {"0": 0, "5": 5, "-5": -5, "- 0.5": -0.5, ".5": 0.5, "5.": 5, "1e3": 1000, "50%": 0.5, "7 %": 0.07, "--5": 5}

words = st.sampled_from(WORDS)
values = st.one_of(words, st.sampled_from([0, 5, -5, -0.5, 0.5, 1000, True, False, None]))
alerts = st.fixed_dictionaries(
    {},
    optional={
        "severity": st.one_of(st.none(), st.sampled_from([*RANKS, "HIGH", "warning"])),
        "category": st.one_of(st.none(), words),
        "message": st.one_of(st.none(), words),
        "own": values,
        "other": values,
    },
)


def asked(field: str, kind: type | tuple[type, ...], answer: Callable[[Any], bool]) -> Meaning:
    """The answer about a field that is there and of the type that is asked for; else none."""

    def meaning(alert: Alert) -> bool | None:
        value = alert.get(field)
        is_flag = isinstance(value, bool)
        return answer(value) if isinstance(value, kind) and is_flag == (kind is bool) else None

    return meaning


@st.composite
def written(draw: st.DrawFn, word: str) -> str:
    """A text as a trigger writes it: in quotes of either kind, or without where it is one word."""
    quote = draw(st.sampled_from("'\""))
    quoted = quote + word.replace("\\", "\\\\").replace(quote, f"\\{quote}") + quote
    return word if word.isascii() and word.isalpha() and word not in ("or", "null", "message") else quoted


@st.composite
def about_texts(draw: st.DrawFn) -> Told:
    field, word = draw(st.sampled_from(["severity", "category", "message", "own"])), draw(words)
    other = draw(words)
    shape = draw(st.sampled_from(["compare", "list", "not in", "paused_targets", "null", "not null"]))
    if shape == "compare":
        sign, text = draw(st.sampled_from(sorted(SIGNS))), draw(written(word))
        return f"{field} {sign} {text}", asked(field, str, lambda v: SIGNS[sign](v.casefold(), word.casefold()))
    if shape in ("list", "not in"):
        sign = "in" if shape == "list" else shape
        opening, closing = draw(st.sampled_from([("(", ")"), ("[", "]")]))
        listed = f"{opening}{draw(written(word))}, {draw(written(other))}{closing}"
        folded = {word.casefold(), other.casefold()}
        return f"{field} {sign} {listed}", asked(field, str, lambda v: (v.casefold() in folded) == (shape == "list"))
    if shape == "paused_targets":
        return f"{draw(written(word))} in {field}", asked(field, str, lambda v: word.casefold() in v.casefold())
    if shape == "null":
        return f"{field} == null", lambda alert: alert.get(field) is None
    return f"null <> {field.upper()}", lambda alert: alert.get(field) is not None


@st.composite
def about_numbers(draw: st.DrawFn) -> Told:
    field, number = draw(st.sampled_from(["own", "other"])), draw(st.sampled_from(sorted(NUMBERS)))
    signs = {**SIGNS, **ORDERS}
    sign = draw(st.sampled_from(sorted(signs)))
    asks = asked(field, (int, float), lambda v: signs[sign](v, NUMBERS[number]))
    return draw(st.sampled_from([f"{field}{sign}{number}", f"{number} {FLIPPED.get(sign, sign)} {field}"])), asks


@st.composite
def about_severity(draw: st.DrawFn) -> Told:
    sign, rank = draw(st.sampled_from(sorted(ORDERS))), draw(st.sampled_from(RANKS))

    def meaning(alert: Alert) -> bool | None:
        answer = str(alert.get("severity")).lower()
        return ORDERS[sign](RANKS.index(answer), RANKS.index(rank)) if answer in RANKS else None

    return f"severity {sign} {rank}", meaning


flags = st.sampled_from(["own", "other"]).map(lambda field: (field, asked(field, bool, bool)))
constants = st.sampled_from([("true", True), ("False", False), ("1 = 1", True), ("null != null", False)]).map(
    lambda fields: (fields[0], lambda alert: fields[1])
)
leaves = st.one_of(about_texts(), about_numbers(), about_severity(), flags, constants)


def joined(word: str, decisive: bool, parts: list[Told]) -> Told:
    """``a and b``, ``a or b``: decided by one part, unknown while none decides and one is unknown."""

    def meaning(alert: Alert) -> bool | None:
        answers = [part(alert) for _, part in parts]
        return decisive if decisive in answers else None if None in answers else not decisive

    return f" {word} ".join(text for text, _ in parts), meaning


def negated(fields: Told) -> Told:
    text, part = fields
    return f"not {text}", lambda alert: None if (answer := part(alert)) is None else not answer


@st.composite
def triggers(draw: st.DrawFn, depth: int = 2) -> Told:
    """``not`` binds tighter than ``and``, ``and`` tighter than ``or``; brackets hold a whole trigger again."""

    def operand() -> Told:
        answer = draw(leaves)
        if depth and draw(st.integers(0, 3)) == 0:
            text, meaning = draw(triggers(depth - 1))
            answer = f"({text})", meaning
        for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
            answer = negated(answer)
        return answer

    sizes = draw(st.lists(st.integers(1, 2), min_size=1, max_size=2))
    return joined("or", True, [joined("AND", False, [operand() for _ in range(size)]) for size in sizes])


@given(triggers(), alerts)
def test_a_trigger_means_what_its_text_says(fields: Told, alert: Alert):
    text, meaning = fields
    assert compile_trigger(text).expression.test(alert) is meaning(alert)
