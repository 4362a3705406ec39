"""From the text of a trigger to what it says: rule-engine's tree, typed and turned into an ``expression``."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from rule_engine import ast

from app.domain.confidence import normalise
from app.domain.expression import (
    ORDERINGS,
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
from app.domain.severity import RANK
from app.domain.trigger_text import BadTrigger, parsed

SHARE_FIELDS = frozenset({"confidence", "detection_confidence", "trust_score"})
"""Numbers from 0 to 1. In a trigger, too, a bare number above 1 is out of 100."""
TEXT_FIELDS = frozenset(
    {
        "severity",
        "category",
        "type",
        "kind",
        "model",
        "message",
        "alert_id",
        "claim",
        "truth",
        "query",
        "response",
        "confidence_text",
        "dashboard_url",
    }
)
KNOWN_FIELDS = SHARE_FIELDS | TEXT_FIELDS
"""Every other name is a field of TruthVouch's own, known only when it comes."""

_FLIPPED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}
_SIGNS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


@dataclass(frozen=True, slots=True)
class Trigger:
    """A trigger that was understood. Equal when it says the same; ``str()`` writes it in one canonical way."""

    expression: Expression
    text: str = field(compare=False)
    """As the operator wrote it."""

    def matches(self, values: Values) -> bool:
        """Whether the answer is yes; *no* and *not told* both are not."""
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
    return Trigger(_question(parsed(text)), text)


def _question(node: Any) -> Expression:
    if isinstance(node, ast.LogicExpression):
        return _logic(node)
    if isinstance(node, ast.UnaryExpression) and node.type == "not":
        return Not(_question(node.right))
    if isinstance(node, ast.ComparisonExpression) and node.type in _SIGNS:
        return _comparison(_operand(node.left), _SIGNS[node.type], _operand(node.right))
    if isinstance(node, ast.ContainsExpression):
        return _membership(node)
    if isinstance(node, ast.BooleanExpression):
        return Constant(node.value)
    if isinstance(node, ast.SymbolExpression):
        return _flag(Field(node.name.lower()))
    raise BadTrigger("must ask something: compare a field with a value, as in confidence < 0.5")


def _logic(node: Any) -> Expression:
    kind: type[Both | Either] = Both if node.type == "and" else Either
    parts: list[Expression] = []
    for side in (_question(node.left), _question(node.right)):
        parts.extend(side.parts if isinstance(side, kind) else [side])
    return kind(tuple(parts))


def _flag(named: Field) -> Flag:
    if named.name in KNOWN_FIELDS:
        raise BadTrigger(f"names {named} without comparing it with anything")
    return Flag(named)


@dataclass(frozen=True, slots=True)
class _Word:
    """An unquoted word that is no known field: a text on the right of a comparison, a field elsewhere."""

    text: str

    def as_field(self) -> Field:
        return Field(self.text.lower())


class _Null:
    """``null``."""


_Operand = Field | _Word | _Null | str | float | bool


def _operand(node: Any) -> _Operand:
    if isinstance(node, ast.SymbolExpression):
        return Field(node.name.lower()) if node.name.lower() in KNOWN_FIELDS else _Word(node.name)
    if isinstance(node, ast.NullExpression):
        return _Null()
    if isinstance(node, ast.FloatExpression):
        return _finite(float(node.value))
    if isinstance(node, ast.StringExpression | ast.BooleanExpression):
        value: str | bool = node.value
        return value
    raise BadTrigger("compares something that is neither a field nor a value")


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise BadTrigger("holds a number that is too large")
    return number


def _comparison(left: _Operand, sign: str, right: _Operand) -> Expression:
    if not isinstance(left, Field | _Word) or (isinstance(left, _Word) and isinstance(right, Field)):
        left, right, sign = right, left, _FLIPPED[sign]
    if isinstance(left, _Word):
        left = left.as_field()
    if not isinstance(left, Field):
        raise BadTrigger("compares two values; one side must be a field")
    if isinstance(right, _Null):
        return _absence(left, sign)
    return _typed(left, sign, right.text if isinstance(right, _Word) else right)


def _absence(named: Field, sign: str) -> Expression:
    if sign in ORDERINGS:
        raise BadTrigger(f"compares {named} with null by {sign}; only == null and != null ask for a missing field")
    return Missing(named) if sign == "==" else Not(Missing(named))


def _typed(named: Field, sign: str, other: Field | Value) -> Compare:
    if not isinstance(other, Field):
        other = _suited(named, other)
    _check_order(named, sign, other)
    return Compare(named, sign, other)


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
    if sign not in ORDERINGS:
        return
    if named.name == "severity":
        if not isinstance(other, str) or other.lower() not in RANK:
            raise BadTrigger(f"orders severity; write severity {sign} and one of {', '.join(RANK)}")
    elif named.name in TEXT_FIELDS or (isinstance(other, Field) and other.name in TEXT_FIELDS):
        raise BadTrigger(f"orders texts by {sign}; only numbers and severity have an order")
    elif not isinstance(other, Field) and kind_of(other) != "number":
        raise BadTrigger(f"compares {named} by {sign} with {shown(other)}, which is no number")


def _membership(node: Any) -> Expression:
    if isinstance(node.container, ast.ArrayExpression):
        return _one_of(_operand(node.member), node.container.value)
    whole = _operand(node.container)
    if isinstance(whole, _Word):
        whole = whole.as_field()
    if not isinstance(whole, Field) or whole.name in SHARE_FIELDS:
        raise BadTrigger('has an "in" without a list or a text field on its right')
    return Contains(_part(_operand(node.member)), whole)


def _part(operand: _Operand) -> Field | str:
    if isinstance(operand, _Word):
        return operand.text
    if isinstance(operand, str) or (isinstance(operand, Field) and operand.name not in SHARE_FIELDS):
        return operand
    raise BadTrigger('looks "in" a text for something that is no text')


def _one_of(member: _Operand, items: Iterable[Any]) -> OneOf:
    named = member.as_field() if isinstance(member, _Word) else member
    if not isinstance(named, Field):
        raise BadTrigger('has a value on the left of "in"; a field belongs there')
    choices = tuple(_suited(named, _listed(item)) for item in items)
    if not choices:
        raise BadTrigger("has an empty list, which nothing is in")
    if len({kind_of(choice) for choice in choices}) > 1:
        raise BadTrigger("mixes texts and numbers in one list")
    return OneOf(named, choices)


def _listed(item: Any) -> Value:
    """A member of a list: unquoted words are always texts there."""
    if isinstance(item, ast.SymbolExpression):
        return str(item.name)
    value = _operand(item)
    if isinstance(value, Field | _Word | _Null):
        raise BadTrigger("holds null in a list; ask for a missing field by == null")
    return value
