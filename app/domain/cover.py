"""Which rules can never match, because an earlier one always does. What is found is so; what is not found may be."""

import math
from collections.abc import Sequence

from app.domain.expression import Both, Compare, Constant, Either, Expression, OneOf
from app.domain.rulebook import Rule
from app.domain.rules import understood

_RISING, _FALLING = frozenset({">", ">="}), frozenset({"<", "<="})


def unreachable(rules: Sequence[Rule]) -> tuple[tuple[Rule, Rule | None], ...]:
    """Each rule that never matches, with the earlier rule that takes its alerts; None where it contradicts itself.

    Rules whose trigger cannot be understood are left out.
    """
    found: list[tuple[Rule, Rule | None]] = []
    before: list[tuple[Rule, Expression]] = []
    for rule in rules:
        trigger = understood(rule.trigger)
        if isinstance(trigger, str):
            continue
        earlier = next((one for one, asked in before if implies(trigger.expression, asked)), None)
        if trigger.expression == Constant(False) or earlier is not None:
            found.append((rule, earlier))
        else:
            before.append((rule, trigger.expression))
    return tuple(found)


def implies(narrow: Expression, wide: Expression) -> bool:
    """Whether ``wide`` surely answers yes wherever ``narrow`` does."""
    if narrow == wide or wide == Constant(True) or narrow == Constant(False):
        return True
    if isinstance(narrow, Either):
        return all(implies(part, wide) for part in narrow.parts)
    if isinstance(wide, Both):
        return all(implies(narrow, part) for part in wide.parts)
    if isinstance(wide, Either) and any(implies(narrow, part) for part in wide.parts):
        return True
    if isinstance(narrow, Both):
        return any(implies(part, wide) for part in narrow.parts)
    return _leaf_implies(narrow, wide)


def _leaf_implies(narrow: Expression, wide: Expression) -> bool:
    if isinstance(narrow, OneOf) and isinstance(wide, OneOf):
        return narrow.field == wide.field and set(map(_folded, narrow.choices)) <= set(map(_folded, wide.choices))
    if isinstance(narrow, Compare) and isinstance(wide, OneOf):
        return narrow.op == "==" and narrow.field == wide.field and _folded(narrow.other) in map(_folded, wide.choices)
    return isinstance(narrow, Compare) and isinstance(wide, Compare) and _reaches(narrow, wide)


def _reaches(narrow: Compare, wide: Compare) -> bool:
    """``confidence < 0.3`` lies within ``confidence < 0.5``."""
    inner, outer = _number(narrow.other), _number(wide.other)
    if narrow.field != wide.field or math.isnan(inner) or math.isnan(outer):
        return False
    if narrow.op == "==" and wide.op in _FALLING | _RISING:
        return wide.test({wide.field.name: inner}) is True
    if {narrow.op, wide.op} <= _FALLING:
        return inner < outer or (inner == outer and (wide.op == "<=" or narrow.op == "<"))
    if {narrow.op, wide.op} <= _RISING:
        return inner > outer or (inner == outer and (wide.op == ">=" or narrow.op == ">"))
    return False


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan


def _folded(value: object) -> object:
    return value.casefold() if isinstance(value, str) else value
