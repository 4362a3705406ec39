"""Which rules can never match: an earlier one always does, or they ask for a word that nobody ever sends.

What is found of the first kind is so, and what is not found may be. A word is only suspected: TruthVouch has fields of
its own, and operators have severities of their own, so no more is named than what is nearly a word that is known.
"""

import math
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

from app.domain.expression import Both, Compare, Constant, Either, Expression, OneOf, leaves
from app.domain.rulebook import Rule, Rulebook
from app.domain.rules import understood
from app.domain.severity import RANK

DOCUMENTED_FIELDS = frozenset(
    {
        "action_taken",
        "direction",
        "escalation_level",
        "organization_id",
        "pii_type",
        "scan_duration_ms",
        "severity_score",
    }
)
"""Fields of TruthVouch's own that its pages show. https://truthvouch-doc.pages.dev/developers/webhooks/events"""
MAX_SLIPS, MAX_SLIPS_SHORT, SHORT_CHARS = 2, 1, 4
"""So many letters may be wrong, too many, missing or swapped in a misspelt word, and in a short one."""

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


# ------------------------------------------------------------------------------------------------ misspelt words


@dataclass(frozen=True, slots=True)
class Misspelt:
    """A word that is nearly one that is known."""

    section: str
    """``rules``, ``silences``, ``severity_map`` or ``sla``."""
    name: str
    """The rule's or the silence's; empty for the maps."""
    word: str
    meant: str

    @property
    def is_field(self) -> bool:
        """Whether it is a field's name, which is right after all once an alert has such a field."""
        return self.meant not in RANK

    def __str__(self) -> str:
        """The whole sentence, for people."""
        where = f"{self.section}: {self.name!r}" if self.name else self.section
        return f"{where} {self.problem}; {self.remedy}"

    @property
    def problem(self) -> str:
        """What is wrong, without the place."""
        what = "a field no alert is known to have" if self.is_field else "a severity TruthVouch does not have"
        return f"names {self.word}, {what}"

    @property
    def remedy(self) -> str:
        """What may be meant."""
        return f"did you mean {self.meant}?"


def misspelt(rulebook: Rulebook, seen: Set[str] = frozenset()) -> tuple[Misspelt, ...]:
    """What rules, silences and maps name that nobody sends. ``seen``: fields of TruthVouch's own that alerts had."""
    own = own_severities(rulebook)
    asked = [("rules", rule.name, rule.trigger) for rule in rulebook.rules]
    asked += [("silences", silence.name, silence.match) for silence in rulebook.silences]
    found = [Misspelt(section, name, *slip) for section, name, text in asked for slip in slips(text, seen, own)]
    maps = {"severity_map": rulebook.severity_map, "sla": rulebook.sla}
    for section, severities in maps.items():
        nearly = ((word, _nearly(word, RANK)) for word in severities)
        found += [Misspelt(section, "", word, meant) for word, meant in nearly if meant]
    return tuple(found)


def own_severities(rulebook: Rulebook) -> frozenset[str]:
    """The severities of the operator's own: those of ``severity_map`` that are not misspelt themselves."""
    return frozenset(severity for severity in rulebook.severity_map if not _nearly(severity, RANK))


def slips(trigger: str, seen: Set[str] = frozenset(), severities: Set[str] = frozenset()) -> Iterator[tuple[str, str]]:
    """The misspelt words of one trigger, each with the word that was meant: fields, and what ``severity`` is compared
    with. Nothing where the trigger cannot be understood. ``severities``: the ``own_severities``."""
    compiled = understood(trigger)
    if isinstance(compiled, str):
        return
    from app.domain.trigger import KNOWN_FIELDS  # the language is loaded with the first rule

    fields = KNOWN_FIELDS | DOCUMENTED_FIELDS | seen
    for word in compiled.foreign_fields:
        if meant := _nearly(word, fields):
            yield word, meant
    for leaf in leaves(compiled.expression):
        for value in _severities(leaf):
            if value.lower() not in severities and (meant := _nearly(value.lower(), RANK)):
                yield value, meant


def _severities(leaf: Expression) -> Sequence[str]:
    """The texts that one question compares ``severity`` with."""
    if isinstance(leaf, Compare) and leaf.field.name == "severity" and isinstance(leaf.other, str):
        return (leaf.other,)
    if isinstance(leaf, OneOf) and leaf.field.name == "severity":
        return [choice for choice in leaf.choices if isinstance(choice, str)]
    return ()


def _nearly(word: str, known: Iterable[str]) -> str:
    """The known word that this one is a slip of; empty where it is known itself, or like none."""
    candidates = set(known)
    if word in candidates:
        return ""
    most = MAX_SLIPS_SHORT if len(word) <= SHORT_CHARS else MAX_SLIPS
    return min(((n, one) for one in candidates if (n := _slips_between(word, one)) <= most), default=(0, ""))[1]


def _slips_between(word: str, other: str) -> int:
    """How many letters were changed, left out, added or swapped with their neighbour (optimal string alignment)."""
    if abs(len(word) - len(other)) > MAX_SLIPS:
        return MAX_SLIPS + 1
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, letter in enumerate(word, start=1):
        row = [i]
        for j, there in enumerate(other, start=1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (letter != there))
            if i > 1 and j > 1 and (letter, word[i - 2]) == (other[j - 2], there):
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]
