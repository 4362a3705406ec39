"""What a trigger can say, as a tree of values that answer yes, no, or *not told*.

*Not told* (None) is the answer of a comparison whose field is missing or of another type. It stays *not told* under
``not``, so a rule never matches because of something TruthVouch did not say: with no confidence at all, neither
``confidence < 0.5`` nor ``not confidence < 0.5`` matches. ``and`` and ``or`` go by what is known: ``or`` is yes when
one side is, whatever the other would have been. The one question about absence itself is ``field == null``.

Texts are compared without regard to upper and lower case, because TruthVouch documents display names ("Paraphrase")
and wire words ("hallucination") without saying which is sent.
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from app.domain.severity import RANK

Value = str | float | bool
Values = Mapping[str, str | int | float | bool | None]
Answer = bool | None

_ORDER: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
ORDERINGS = frozenset(_ORDER)
_EXACT = 1e15
"""Whole numbers below this are written without a point."""


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the alert by its name."""

    name: str

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Compare:
    """``field op value`` or ``field op field``; op is one of ``== != < <= > >=``."""

    field: Field
    op: str
    other: Field | Value

    def test(self, values: Values) -> Answer:
        left, right = values.get(self.field.name), _valued(self.other, values)
        if left is None or right is None or kind_of(left) != kind_of(right):
            return None
        if self.op in _ORDER:
            return self._ordered(left, right)
        return (_folded(left) == _folded(right)) == (self.op == "==")

    def _ordered(self, left: object, right: object) -> Answer:
        if self.field.name == "severity":
            left, right = RANK.get(str(left).lower()), RANK.get(str(right).lower())
        if isinstance(left, int | float) and isinstance(right, int | float):
            return _ORDER[self.op](left, right)
        return None

    def __str__(self) -> str:
        return f"{self.field} {self.op} {shown(self.other)}"


@dataclass(frozen=True, slots=True)
class Missing:
    """``field == null``: TruthVouch never told it. The only question about absence, and never *not told* itself."""

    field: Field

    def test(self, values: Values) -> Answer:
        return values.get(self.field.name) is None

    def __str__(self) -> str:
        return f"{self.field} == null"


@dataclass(frozen=True, slots=True)
class OneOf:
    """``field in [value, ...]``; the list is not empty and its members are of one type."""

    field: Field
    choices: tuple[Value, ...]

    def test(self, values: Values) -> Answer:
        value = values.get(self.field.name)
        if value is None or kind_of(value) != kind_of(self.choices[0]):
            return None
        return _folded(value) in {_folded(choice) for choice in self.choices}

    def __str__(self) -> str:
        return f"{self.field} in [{', '.join(shown(choice) for choice in self.choices)}]"


@dataclass(frozen=True, slots=True)
class Contains:
    """``"part" in field``: the field's text holds the part."""

    part: Field | str
    field: Field

    def test(self, values: Values) -> Answer:
        part, whole = _valued(self.part, values), values.get(self.field.name)
        if not isinstance(part, str) or not isinstance(whole, str):
            return None
        return part.casefold() in whole.casefold()

    def __str__(self) -> str:
        return f"{shown(self.part)} in {self.field}"


@dataclass(frozen=True, slots=True)
class Flag:
    """``field`` alone: it is true."""

    field: Field

    def test(self, values: Values) -> Answer:
        value = values.get(self.field.name)
        return value if isinstance(value, bool) else None

    def __str__(self) -> str:
        return str(self.field)


@dataclass(frozen=True, slots=True)
class Constant:
    """``true`` or ``false``."""

    answer: bool

    def test(self, values: Values) -> Answer:
        return self.answer

    def __str__(self) -> str:
        return str(self.answer).lower()


@dataclass(frozen=True, slots=True)
class Not:
    """``not part``."""

    part: "Expression"

    def test(self, values: Values) -> Answer:
        answer = self.part.test(values)
        return None if answer is None else not answer

    def __str__(self) -> str:
        return f"not ({self.part})"


@dataclass(frozen=True, slots=True)
class Both:
    """``a and b and c``: at least two parts, none of them another ``and``."""

    parts: tuple["Expression", ...]

    def test(self, values: Values) -> Answer:
        return _joined(self.parts, values, decisive=False)

    def __str__(self) -> str:
        return " and ".join(_grouped(part) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Either:
    """``a or b or c``: at least two parts, none of them another ``or``."""

    parts: tuple["Expression", ...]

    def test(self, values: Values) -> Answer:
        return _joined(self.parts, values, decisive=True)

    def __str__(self) -> str:
        return " or ".join(_grouped(part) for part in self.parts)


Leaf = Compare | Missing | OneOf | Contains | Flag | Constant
Expression = Leaf | Not | Both | Either


def leaves(expression: Expression) -> Iterator[Leaf]:
    """Every single question in the expression, in the order it was written."""
    if isinstance(expression, Both | Either):
        for part in expression.parts:
            yield from leaves(part)
    elif isinstance(expression, Not):
        yield from leaves(expression.part)
    else:
        yield expression


def names(leaf: Leaf) -> tuple[str, ...]:
    """The fields one question asks for."""
    if isinstance(leaf, Constant):
        return ()
    asked = [leaf.field]
    if isinstance(leaf, Compare) and isinstance(leaf.other, Field):
        asked.append(leaf.other)
    if isinstance(leaf, Contains) and isinstance(leaf.part, Field):
        asked.append(leaf.part)
    return tuple(field.name for field in asked)


def kind_of(value: object) -> str:
    """``flag``, ``number`` or ``text``. A boolean is no number here, although Python thinks so."""
    if isinstance(value, bool):
        return "flag"
    return "text" if isinstance(value, str) else "number"


def shown(value: Field | Value) -> str:
    """A value as the trigger language writes it."""
    if isinstance(value, Field):
        return value.name
    if isinstance(value, str):
        return '"' + value.encode("unicode_escape", "surrogatepass").decode("ascii").replace('"', '\\"') + '"'
    if isinstance(value, bool):
        return str(value).lower()
    return str(int(value)) if value.is_integer() and abs(value) < _EXACT else repr(value)


def _valued(operand: Field | Value, values: Values) -> str | int | float | bool | None:
    return values.get(operand.name) if isinstance(operand, Field) else operand


def _folded(value: object) -> object:
    return value.casefold() if isinstance(value, str) else value


def _grouped(part: Expression) -> str:
    return f"({part})" if isinstance(part, Both | Either) else str(part)


def _joined(parts: tuple[Expression, ...], values: Values, *, decisive: bool) -> Answer:
    answer: Answer = not decisive
    for part in parts:
        told = part.test(values)
        if told is decisive:
            return decisive
        if told is None:
            answer = None
    return answer
