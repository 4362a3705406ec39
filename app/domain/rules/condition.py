"""What a trigger can say, as a tree of values that answer yes, no, or *unknown*.

*Unknown* (None) is the answer of a comparison whose field is missing or of another type. It stays *unknown* under
``not``, so a rule never matches because of something TruthVouch did not say: with no confidence at all, neither
``confidence < 0.5`` nor ``not confidence < 0.5`` matches. ``and`` and ``or`` go by what is known: ``or`` is yes when
one side is, whatever the other would have been. The one question about absence itself is ``field == null``.

Texts are compared without regard to upper and lower case, because TruthVouch documents display names ("Paraphrase")
and wire words ("hallucination") without saying which is sent.
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from app.domain.model.types import RANK

Value = str | float | bool
Values = Mapping[str, str | int | float | bool | None]
Answer = bool | None

_Less = Callable[[float, float], bool]
ORDER: Mapping[str, _Less] = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_EXACT = 1e15
"""Whole numbers below it are written without a point."""


@dataclass(frozen=True, slots=True)
class Field:
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
        if self.op not in ORDER:
            return (folded(left) == folded(right)) == (self.op == "==")
        if self.field.name == "severity":
            left, right = RANK.get(str(left).lower()), RANK.get(str(right).lower())
        if isinstance(left, int | float) and isinstance(right, int | float):
            return ORDER[self.op](left, right)
        return None

    def __str__(self) -> str:
        return f"{self.field} {self.op} {shown(self.other)}"


@dataclass(frozen=True, slots=True)
class Missing:
    """``field == null``: TruthVouch never sent it. The only question about absence, and never *unknown* itself."""

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
        return folded(value) in {folded(choice) for choice in self.choices}

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
class _Joined:
    """At least two parts; no part is of the same kind, so that two texts that say the same are equal."""

    parts: tuple["Expression", ...]
    word: ClassVar[str]
    decisive: ClassVar[bool]
    """The answer of one part that settles the whole."""

    def test(self, values: Values) -> Answer:
        answers = {part.test(values) for part in self.parts}
        if self.decisive in answers:
            return self.decisive
        return None if None in answers else not self.decisive

    def __str__(self) -> str:
        return f" {self.word} ".join(f"({part})" if isinstance(part, _Joined) else str(part) for part in self.parts)


class Both(_Joined):
    """``a and b and c``."""

    __slots__ = ()
    word = "and"
    decisive = False


class Either(_Joined):
    """``a or b or c``."""

    __slots__ = ()
    word = "or"
    decisive = True


Leaf = Compare | Missing | OneOf | Contains | Flag | Constant
Expression = Leaf | Not | Both | Either


_ANY, _YES_OR_NO = frozenset({True, False, None}), frozenset({True, False})


def possible_answers(expression: Expression, values: Values, lost: Callable[[str], bool]) -> frozenset[Answer]:
    """Every answer that the expression may have had before some fields were lost: ``lost`` says of which nobody knows
    any more what they held, or whether they were there."""
    if isinstance(expression, Not):
        part = possible_answers(expression.part, values, lost)
        return frozenset(None if answer is None else not answer for answer in part)
    if isinstance(expression, Both | Either):
        parts = [possible_answers(part, values, lost) for part in expression.parts]
        decisive, other = expression.decisive, not expression.decisive
        found: set[Answer] = {decisive} if any(decisive in part for part in parts) else set()
        undecided = [part - {decisive} for part in parts]
        if all(undecided):
            found |= {None} if any(None in part for part in undecided) else set()
            found |= {other} if all(other in part for part in undecided) else set()
        return frozenset(found)
    if any(lost(name) for name in names(expression)):
        return _YES_OR_NO if isinstance(expression, Missing) else _ANY
    return frozenset({expression.test(values)})


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
    operands = (getattr(leaf, place, None) for place in ("field", "other", "part"))
    return tuple(operand.name for operand in operands if isinstance(operand, Field))


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


def folded(value: object) -> object:
    """The value as it is compared: a text without regard to upper and lower case."""
    return value.casefold() if isinstance(value, str) else value
