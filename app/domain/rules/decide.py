"""The rulebook applied to one alert: silences first, then the first rule that matches, then the severity map.

A trigger is understood by ``trigger`` and asked by ``condition``; this module only walks the rules, in order.

Which rules can never match: an earlier one always does, or they ask for a word that nobody ever sends.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from app.domain.model.types import EVIDENCE_FIELDS, RANK, Alert, Scalar, Urgency, is_known, urgency_of
from app.domain.rules.condition import (
    Both,
    Compare,
    Constant,
    Either,
    Expression,
    Field,
    OneOf,
    folded,
    kind_of,
    leaves,
    names,
    possible_answers,
)
from app.domain.rules.rulebook import SILENCED, Decision, Rule, RuleAction, Rulebook, Silence, in_force, scrub
from app.domain.rules.trigger import KNOWN_FIELDS, PROSE_FIELDS, BadTrigger, Trigger, compile_trigger

SEVERITY_MAP = "severity_map"
"""What ``Decision.rule`` says when no rule matched."""
_MAX_QUOTED_CHARS = 60
LOUDER = "it would page with high urgency, which this silence leaves alone"


TriedKind = Literal["rule", "silence", "severity_map"]


@dataclass(frozen=True, slots=True)
class Tried:
    """One rule that was asked about an alert, and what came of it."""

    rule: str
    matched: bool
    why: str
    """For people: each comparison with its answer and the value it met. Quotes no free text and no person."""
    kind: TriedKind = "rule"


def fields(alert: Alert) -> Mapping[str, Scalar]:
    """The alert as triggers see it; a name with None, or no entry, is a missing field.

    ``type`` and ``kind`` are the same. TruthVouch's other fields are there under their own names, but never hide one of
    ours. Triggers are asked inside the bridge, so personal fields may be named in them.
    """
    ours = {name: getattr(alert, name) for name in KNOWN_FIELDS - {"type"}}
    return {**alert.people, **alert.extra, **ours, "type": alert.kind}


LABELS = ("kind", "model", "category", "severity")
"""What alerts are told apart by that is no free text."""


def same_labels(alert: Alert, labels: Sequence[str]) -> str:
    """The trigger that means every alert with the same value in each of these ``LABELS``; empty where this alert has
    none of them."""
    known = [(name, getattr(alert, name)) for name in LABELS if name in labels]
    return " and ".join(str(Compare(Field(name), "==", value)) for name, value in known if value)


def decide(rulebook: Rulebook, alert: Alert, now: datetime) -> Decision:
    """What the rulebook says about an alert: an answer for every alert, never an error. A rule whose trigger cannot be
    understood never matches (``config`` refuses such a file). ``now`` says which silences are in force."""
    values = fields(alert)
    for silence in in_force(rulebook.silences, now):
        if matches(silence.match, values) and not _spares(silence, rulebook, alert, values):
            return Decision(None, silence.name, rulebook.version, SILENCED)
    return _unsilenced(rulebook, alert, values)


def _spares(silence: Silence, rulebook: Rulebook, alert: Alert, values: Mapping[str, Scalar]) -> bool:
    return silence.up_to is not None and silence.spares(_unsilenced(rulebook, alert, values).urgency)


def _unsilenced(rulebook: Rulebook, alert: Alert, values: Mapping[str, Scalar]) -> Decision:
    for rule in rulebook.rules:
        if matches(rule.trigger, values):
            return _by_rule(rulebook, rule, alert)
    return _by_map(rulebook, alert)


def undecidable_by(rulebook: Rulebook, alert: Alert) -> str | None:
    """The first rule of which nobody can tell whether it matched this alert, because it reads evidence that is erased;
    None where ``decide`` says what it would have said before. Silences are not asked."""
    if alert.erased_at is None:
        return None
    values = fields(alert)
    for rule in rulebook.rules:
        answers = may_match(rule.trigger, alert, values)
        if answers is not False:
            return None if answers else rule.name
    return None


def may_match(text: str, alert: Alert, values: Mapping[str, Scalar]) -> bool | None:
    """Whether this trigger says yes to an alert (``values``: its ``fields``); None where that cannot be told, because
    it reads evidence that is erased."""
    trigger = understood(text)
    if isinstance(trigger, str) or alert.erased_at is None:
        return matches(text, values)

    def lost(name: str) -> bool:
        return values.get(name) is None and is_evidence(name)

    answers = possible_answers(trigger.expression, values, lost)
    return (len(answers) == 1 or None) if True in answers else False


def is_evidence(name: str) -> bool:
    """Whether a field of this name is, or may have been, evidence: all but our own labels and numbers."""
    return name in EVIDENCE_FIELDS or name not in KNOWN_FIELDS


def explain(rulebook: Rulebook, alert: Alert, now: datetime) -> tuple[Tried, ...]:
    """Every silence and rule that ``decide`` asks, in order and up to the first match; the severity map last when none
    matched."""
    values = fields(alert)
    tried: list[Tried] = []
    silences = in_force(rulebook.silences, now)
    for silence in silences:
        asked = _tried(silence.name, silence.match, "silence", alert, values)
        if asked.matched and _spares(silence, rulebook, alert, values):
            asked = replace(asked, matched=False, why=f"{asked.why}; but {LOUDER}")
        tried.append(asked)
        if asked.matched:
            return tuple(tried)
    for rule in rulebook.rules:
        tried.append(_tried(rule.name, rule.trigger, "rule", alert, values))
        if tried[-1].matched:
            return tuple(tried)
    decision = _by_map(rulebook, alert)
    severity_text = "was not given" if alert.severity is None else f"is {scrub(alert.severity[:_MAX_QUOTED_CHARS])}"
    outcome = f"{decision.urgency} urgency" if decision.urgency else "no incident"
    unknown = ", which the map does not name and which counts as high" if decision.reason == "unknown_severity" else ""
    return (*tried, Tried(SEVERITY_MAP, True, f"severity {severity_text}{unknown}: {outcome}", "severity_map"))


def understood(text: str) -> Trigger | str:
    """The trigger, or why it says nothing."""
    try:
        return compile_trigger(text)
    except BadTrigger as fault:
        return str(fault)


def matches(text: str, values: Mapping[str, Scalar]) -> bool:
    """Whether this trigger says yes; one that cannot be understood never does."""
    trigger = understood(text)
    return not isinstance(trigger, str) and trigger.matches(values)


def _by_rule(rulebook: Rulebook, rule: Rule, alert: Alert) -> Decision:
    if rule.action is RuleAction.SUPPRESS:
        return Decision(None, rule.name, rulebook.version, "suppressed")
    urgency = rule.urgency or urgency_of(alert.severity, rulebook.severity_map) or Urgency.HIGH
    service_id = rule.service_id or rulebook.service_id
    policy_id = rule.escalation_policy_id or rulebook.escalation_policy_id
    hold = rule.hold_resolve_minutes
    return Decision(urgency, rule.name, rulebook.version, "rule", rule.title, service_id, policy_id, hold)


def _by_map(rulebook: Rulebook, alert: Alert) -> Decision:
    urgency = urgency_of(alert.severity, rulebook.severity_map)
    reason = SEVERITY_MAP if urgency else "severity_none"
    if not is_known(alert.severity, rulebook.severity_map):
        reason = "unknown_severity"
    service_id, policy_id = rulebook.service_id, rulebook.escalation_policy_id
    return Decision(urgency, SEVERITY_MAP, rulebook.version, reason, None, service_id, policy_id)


def _tried(name: str, text: str, kind: TriedKind, alert: Alert, values: Mapping[str, Scalar]) -> Tried:
    trigger = understood(text)
    if isinstance(trigger, str):
        return Tried(name, False, f"the trigger {trigger}", kind)
    answers = []
    for leaf in leaves(trigger.expression):
        word = {True: "yes", False: "no", None: "unknown"}[leaf.test(values)]
        met = ", ".join(_met(name, alert, values) for name in names(leaf))
        answers.append(f"{leaf}: {word} ({met})" if met else f"{leaf}: {word}")
    return Tried(name, trigger.matches(values), "; ".join(answers), kind)


def _met(name: str, alert: Alert, values: Mapping[str, Scalar]) -> str:
    value = values.get(name)
    if value is None:
        return f"{name} is {'erased' if alert.erased_at and is_evidence(name) else 'missing'}"
    if name in PROSE_FIELDS or name in alert.people:
        return f"{name} is there"
    quoted = scrub(str(value), alert.people.values())[:_MAX_QUOTED_CHARS]
    return f"{name} is {quoted} ({kind_of(value)})" if kind_of(value) != "number" else f"{name} is {quoted}"


# --------------------------------------------------------------------------------------------------------------- cover

# What is found of the first kind is so, and what is not found may be. A word is only suspected: TruthVouch has fields
# of its own, and operators have severities of their own, so no more is named than what is nearly a word that is known.

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
    Rules whose trigger cannot be understood are left out."""
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
    match narrow, wide:
        case OneOf(field, some), OneOf(other, choices):
            return field == other and set(map(folded, some)) <= set(map(folded, choices))
        case Compare(field, "==", value), OneOf(other, choices):
            return field == other and folded(value) in map(folded, choices)
        case Compare(), Compare():
            return _reaches(narrow, wide)
        case _:
            return False


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


# ------------------------------------------------------------------------------------------------ misspelt words


Section = Literal["rules", "silences", "severity_map", "sla"]


@dataclass(frozen=True, slots=True)
class Misspelt:
    """A word that is nearly one that is known."""

    section: Section
    name: str
    """The rule's or the silence's; empty for the maps."""
    word: str
    meant: str

    @property
    def is_field(self) -> bool:
        """Whether it is a field's name, which is right after all once an alert has such a field."""
        return self.meant not in RANK

    @property
    def problem(self) -> str:
        """What is wrong, without the place."""
        what = "a field no alert is known to have" if self.is_field else "a severity TruthVouch does not have"
        return f"names {self.word}, {what}"

    @property
    def remedy(self) -> str:
        """What may be meant."""
        return f"did you mean {self.meant}?"

    def __str__(self) -> str:
        where = f"{self.section}: {self.name!r}" if self.name else self.section
        return f"{where} {self.problem}; {self.remedy}"


def misspelt(rulebook: Rulebook, seen: Set[str] = frozenset()) -> tuple[Misspelt, ...]:
    """What rules, silences and maps name that nobody sends. ``seen``: fields of TruthVouch's own that alerts had."""
    own = own_severities(rulebook)
    asked: list[tuple[Section, str, str]] = [("rules", rule.name, rule.trigger) for rule in rulebook.rules]
    asked += [("silences", silence.name, silence.match) for silence in rulebook.silences]
    found = [Misspelt(section, name, *slip) for section, name, text in asked for slip in slips(text, seen, own)]
    words: list[tuple[Section, str]] = [("severity_map", word) for word in rulebook.severity_map]
    words += [("sla", word) for word in rulebook.sla]
    found += [Misspelt(section, "", word, meant) for section, word in words if (meant := _nearly(word, RANK))]
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
