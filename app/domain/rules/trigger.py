"""The trigger language: from a text to the expression it says.

One precedence parser on tokens of its own. It runs nothing and is bounded: by characters, by tokens, by what nests.
Regular expressions are left out because Python cannot bound their time; ``"text" in message`` takes their place.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from math import isfinite
from types import NoneType
from typing import TypeGuard

from app.domain.model.types import RANK, normalise
from app.domain.rules.condition import (
    ORDER,
    Both,
    Compare,
    Constant,
    Contains,
    Either,
    Expression,
    Field,
    Flag,
    Missing,
    Not,
    OneOf,
    Value,
    Values,
    kind_of,
    leaves,
    names,
    shown,
)

MAX_TRIGGER_CHARS = 4_000
MAX_TRIGGER_TOKENS = 500
MAX_TRIGGER_JOINTS = 60
"""``and``, ``or``, ``not`` and opening brackets together: what nests, and so what recursion has to bear."""

SHARE_FIELDS = frozenset({"confidence", "detection_confidence", "trust_score"})
"""Numbers from 0 to 1. In a trigger, too, a bare number above 1 is out of 100."""
PROSE_FIELDS = frozenset({"message", "claim", "truth", "query", "response"})
"""Free text, which nothing we say of a trigger quotes."""
LABEL_FIELDS = frozenset(
    {"severity", "category", "type", "kind", "model", "alert_id", "confidence_text", "dashboard_url"}
)
TEXT_FIELDS = PROSE_FIELDS | LABEL_FIELDS
KNOWN_FIELDS = SHARE_FIELDS | TEXT_FIELDS
"""Every other name is a field of TruthVouch's own, known only when it comes."""


class BadTrigger(ValueError):
    """A trigger that does not say anything. ``position`` counts characters from 0, None where it cannot be told."""

    def __init__(self, reason: str, position: int | None = None) -> None:
        super().__init__(reason if position is None else f"{reason} (at character {position + 1})")
        self.reason = reason
        self.position = position


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger that was understood. Equal when it says the same; ``str()`` writes it in one canonical way."""

    expression: Expression

    def matches(self, values: Values) -> bool:
        """Whether the answer is yes; *no* and *unknown* both are not."""
        return self.expression.test(values) is True

    @property
    def foreign_fields(self) -> tuple[str, ...]:
        """The fields it names that are none of ours: TruthVouch's own, or slips of the pen."""
        asked = dict.fromkeys(name for leaf in leaves(self.expression) for name in names(leaf))
        return tuple(name for name in asked if name not in KNOWN_FIELDS)

    def __str__(self) -> str:
        return str(self.expression)


@lru_cache(maxsize=4096)
def compile_trigger(text: str) -> Trigger:
    """Understand a trigger, once per text. Raises ``BadTrigger`` with a reason a person can act on."""
    if len(text) > MAX_TRIGGER_CHARS:
        raise BadTrigger(f"is longer than {MAX_TRIGGER_CHARS} characters")
    tokens = list(_tokens(text))
    if len(tokens) == 1:
        raise BadTrigger("is empty; write for example: confidence < 0.5")
    if len(tokens) > MAX_TRIGGER_TOKENS + 1:
        raise BadTrigger(f"has more than {MAX_TRIGGER_TOKENS} words and signs")
    if sum(token.sign in _JOINTS for token in tokens) > MAX_TRIGGER_JOINTS:
        raise BadTrigger(f"has more than {MAX_TRIGGER_JOINTS} of and, or, not and brackets; make it several rules")
    tokens.reverse()
    part = _part(tokens, 0)
    _take(tokens, "end")
    return Trigger(_question(part))


@dataclass(frozen=True, slots=True)
class _Word:
    """A word without quotes: a field, or a text where a value is expected and no field has the name."""

    text: str

    @property
    def field(self) -> Field:
        return Field(self.text.lower())

    @property
    def is_known(self) -> bool:
        return self.text.lower() in KNOWN_FIELDS


_Literal = Decimal | str | bool | None


@dataclass(frozen=True, slots=True)
class _Token:
    sign: str
    """The operator, bracket or comma in one spelling; ``end``; empty for a value."""
    value: _Word | _Literal
    written: str
    at: int


_TOKEN = re.compile(
    r"""(?P<text>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<number>(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?)(?P<percent>\s*%)?
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<sign>==|!=|<=|>=|<>|=(?!~)|<(?!<)|>(?!>)|[()\[\],-])
      | (?P<other>[=!]~|\S)
    """,
    re.VERBOSE,
)
_ESCAPE = re.compile(
    r"""\\(?:[\\"'ntr]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U00(?:10|0[0-9a-fA-F])[0-9a-fA-F]{4}|(?P<bad>.))"""
)
_POWER = {"or": 1, "and": 2, "not": 3, "==": 4, "!=": 4, "<": 5, "<=": 5, ">": 5, ">=": 5, "in": 5, "-": 6}
"""How tightly an operator binds. ``not`` after an operand is the beginning of ``not in``."""
_LITERAL_WORDS = {"true": True, "false": False, "null": None}
_RESERVED = frozenset({"for", "if", "elif", "else", "while", "inf", "nan"})
_REFUSED = {
    **dict.fromkeys(("=~", "!~"), 'holds a regular expression, which the language leaves out; write "text" in message'),
    **dict.fromkeys(('"', "'"), "has a quote that is never closed"),
}
_SPELLINGS = {"=": "==", "<>": "!="}
_JOINTS = frozenset({"and", "or", "not", "(", "["})


def _tokens(text: str) -> Iterator[_Token]:
    sign = ""
    for found in _TOKEN.finditer(text):
        written, at = found.group(), found.start()
        if found["other"]:
            raise BadTrigger(_REFUSED.get(written, f"does not understand {written!r}"), at)
        value = None if found["sign"] else _value_of(found, at)
        if isinstance(value, _Word) and written.lower() in _POWER:
            sign = written.lower()
        elif found["sign"]:
            sign = "[" if written == "(" and sign == "in" else _SPELLINGS.get(written, written)
        else:
            sign = ""
        yield _Token(sign, value, written, at)
    yield _Token("end", None, "", len(text.rstrip()))


def _value_of(found: re.Match[str], at: int) -> _Word | _Literal:
    written = found.group()
    if found["text"]:
        return _unescaped(written[1:-1], at + 1)
    if found["number"]:
        return _number(found["number"], found["percent"] is not None, at)
    if written.lower() in _RESERVED:
        raise BadTrigger(f"uses the reserved word {written}; put it in quotes", at)
    return _LITERAL_WORDS.get(written.lower(), _Word(written))


def _unescaped(text: str, at: int) -> str:
    for escape in _ESCAPE.finditer(text):
        if escape["bad"]:
            raise BadTrigger(f"has the unknown escape {escape[0]}; write \\\\ for a backslash", at + escape.start())
    return text.encode("unicode_escape").replace(b"\\\\", b"\\").decode("unicode_escape")


def _number(digits: str, percent: bool, at: int) -> Decimal:
    if not percent and re.match("0[0-9]", digits):
        raise BadTrigger(f"cannot be read: {digits} begins with a 0 too many", at)
    number = Decimal(repr(float(digits) / 100) if percent else digits)
    if not number.is_finite():
        raise BadTrigger("holds a number that is too large")
    return number


_UNCHAINED = frozenset({4, 5})
"""Two operators of such a power in a row say nothing: ``a == b == c``."""
_CLOSING = {"(": ")", "[": "]"}


class _Other:
    """A call, an index or a calculation with a field: well written, and nothing the language has."""


_Part = _Word | _Literal | list["_Part"] | Expression | _Other


def _part(tokens: list[_Token], floor: int) -> _Part:
    """The longest part whose operators bind tighter than ``floor``. The next token is the last of the list. Precedence
    climbing: linear in the tokens, and nothing makes it nest but what counts as a joint."""
    left, last = _operand(tokens), 0
    while (power := _POWER.get(tokens[-1].sign, 0)) > floor:
        token = tokens.pop()
        if power == last and power in _UNCHAINED:
            raise _unexpected(token)
        sign = _take(tokens, "in").sign if token.sign == "not" else token.sign
        last = _POWER[sign]
        left = _joined(left, sign, _part(tokens, last))
        if token.sign == "not":
            left = _negated(left)
    return left


def _operand(tokens: list[_Token]) -> _Part:
    minuses = 0
    while (token := tokens.pop()).sign == "-":
        minuses += 1
    part: _Part = token.value
    if token.sign == "not":
        part = _negated(_part(tokens, _POWER["not"] - 1))
    elif token.sign == "(":
        part = _part(tokens, 0)
        _take(tokens, ")")
    elif token.sign == "[":
        part = _items(tokens, token)
    elif token.sign:
        raise _unexpected(token)
    while tokens[-1].sign in _CLOSING:
        _items(tokens, tokens.pop())
        part = _Other()
    if minuses and not isinstance(part, Decimal):
        return _Other()
    return -part if isinstance(part, Decimal) and minuses % 2 else part


def _items(tokens: list[_Token], opening: _Token) -> list[_Part]:
    """What stands up to the closing bracket; a comma may end it."""
    closing = _CLOSING[opening.written]
    items: list[_Part] = []
    while tokens[-1].sign != closing:
        items.append(_part(tokens, 0))
        if tokens[-1].sign != closing:
            _take(tokens, ",")
    tokens.pop()
    return items


def _take(tokens: list[_Token], sign: str) -> _Token:
    if tokens[-1].sign != sign:
        raise _unexpected(tokens[-1])
    return tokens.pop()


def _unexpected(token: _Token) -> BadTrigger:
    if token.sign == "end":
        return BadTrigger("ends too early", token.at)
    return BadTrigger(f"does not expect {token.written} here; texts of several words need quotes", token.at)


_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


def _joined(left: _Part, sign: str, right: _Part) -> _Part:
    if sign == "-":
        return left - right if isinstance(left, Decimal) and isinstance(right, Decimal) else _Other()
    if sign == "in":
        return _membership(left, right)
    if sign not in ("and", "or"):
        return _comparison(left, sign, right)
    if _is_literal(left) and _is_literal(right):
        return bool(left and right if sign == "and" else left or right)
    kind: type[Both | Either] = Both if sign == "and" else Either
    sides = (_question(left), _question(right))
    return kind(tuple(part for side in sides for part in (side.parts if isinstance(side, kind) else [side])))


def _negated(part: _Part) -> _Part:
    return not part if _is_literal(part) else Not(_question(part))


def _question(part: _Part) -> Expression:
    """The part as something that has an answer."""
    if isinstance(part, Expression):
        return part
    if isinstance(part, bool):
        return Constant(part)
    if not isinstance(part, _Word):
        raise BadTrigger("must ask something: compare a field with a value, as in confidence < 0.5")
    if part.is_known:
        raise BadTrigger(f"names {part.field} without comparing it with anything")
    return Flag(part.field)


def _is_literal(part: _Part) -> TypeGuard[_Literal]:
    return isinstance(part, Decimal | str | bool | NoneType)


def _value(part: _Part) -> Value | None:
    """The part as a value; a word is a text."""
    if isinstance(part, _Word):
        return part.text
    if not _is_literal(part):
        raise BadTrigger("compares something that is neither a field nor a value")
    if not isinstance(part, Decimal):
        return part
    if not isfinite(number := float(part)):
        raise BadTrigger("holds a number that is too large")
    return number


def _comparison(left: _Part, sign: str, right: _Part) -> _Part:
    if _is_literal(left) and _is_literal(right):
        return _computed(left, sign, right)
    if not isinstance(left, _Word) or (not left.is_known and isinstance(right, _Word) and right.is_known):
        left, right, sign = right, left, _FLIPPED[sign]
    other = right.field if isinstance(right, _Word) and right.is_known else _value(right)
    if not isinstance(left, _Word):
        raise BadTrigger("compares something that is neither a field nor a value")
    if other is None and sign in ORDER:
        raise BadTrigger(f"compares {left.field} with null by {sign}; only == null and != null ask for a missing field")
    if other is None:
        return Missing(left.field) if sign == "==" else Not(Missing(left.field))
    if not isinstance(other, Field):
        other = _suited(left.field, other)
    if sign in ORDER:
        _check_order(left.field, sign, other)
    return Compare(left.field, sign, other)


def _computed(left: _Literal, sign: str, right: _Literal) -> bool:
    """``1 == 1``: what asks about no field is answered at once."""
    if sign not in ORDER:
        return (type(left) is type(right) and left == right) == (sign == "==")
    if left is None or type(left) is not type(right):
        raise BadTrigger(f"cannot be read: compares by {sign} what has no order")
    return ORDER[sign](left, right)  # type: ignore[arg-type]  # of one type


def _suited(named: Field, value: Value) -> Value:
    """The value as it can be compared with the field. Raises ``BadTrigger`` where it never could."""
    if named.name in TEXT_FIELDS and not isinstance(value, str):
        raise BadTrigger(f"compares {named}, a text, with {shown(value)}")
    if named.name not in SHARE_FIELDS:
        return value
    share, _ = normalise(value)
    if share is None or isinstance(value, str):
        raise BadTrigger(f"compares {named} with {shown(value)}; it is a number from 0 to 1")
    return share


def _check_order(named: Field, sign: str, other: Field | Value) -> None:
    if named.name == "severity":
        if not isinstance(other, str) or other.lower() not in RANK:
            raise BadTrigger(f"orders severity; write severity {sign} and one of {', '.join(RANK)}")
    elif named.name in TEXT_FIELDS or (isinstance(other, Field) and other.name in TEXT_FIELDS):
        raise BadTrigger(f"orders texts by {sign}; only numbers and severity have an order")
    elif not isinstance(other, Field) and kind_of(other) != "number":
        raise BadTrigger(f"compares {named} by {sign} with {shown(other)}, which is no number")


def _membership(member: _Part, container: _Part) -> _Part:
    if isinstance(container, list):
        if all(map(_is_literal, (member, *container))):
            return member in container
        return _one_of(member, container)
    if isinstance(member, str) and isinstance(container, str):
        return member in container
    if _is_literal(container) and not isinstance(container, str):
        raise BadTrigger('cannot be read: has an "in" with neither a list nor a text on its right')
    if not isinstance(container, _Word) or container.field.name in SHARE_FIELDS:
        raise BadTrigger('has an "in" without a list or a text field on its right')
    part = member.field if isinstance(member, _Word) and member.is_known else _value(member)
    if (isinstance(part, Field) and part.name in SHARE_FIELDS) or not isinstance(part, Field | str):
        raise BadTrigger('looks "in" a text for something that is no text')
    return Contains(part, container.field)


def _one_of(member: _Part, items: Iterable[_Part]) -> OneOf:
    if not isinstance(member, _Word):
        raise BadTrigger('has a value on the left of "in"; a field belongs there')
    values = [_value(item) for item in items]
    if None in values:
        raise BadTrigger("holds null in a list; ask for a missing field by == null")
    choices = tuple(_suited(member.field, value) for value in values if value is not None)
    if not choices:
        raise BadTrigger("has an empty list, which nothing is in")
    if len({kind_of(choice) for choice in choices}) > 1:
        raise BadTrigger("mixes texts and numbers in one list")
    return OneOf(member.field, choices)
