"""The rulebook applied to one alert: silences first, then the first rule that matches, then the severity map.

A trigger is understood by ``trigger`` and asked by ``expression``; this module only walks the rules, in order.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from app.domain.alert import Alert, Scalar
from app.domain.expression import Leaf, kind_of, leaves, names
from app.domain.names import Urgency
from app.domain.redaction import scrub
from app.domain.rulebook import Decision, Rule, RuleAction, Rulebook
from app.domain.severity import is_known, urgency_of
from app.domain.silences import SILENCED, Silence, in_force

if TYPE_CHECKING:
    from app.domain.trigger import Trigger

__all__ = ["SEVERITY_MAP", "Tried", "decide", "explain", "fields", "understood"]

SEVERITY_MAP = "severity_map"
"""What ``Decision.rule`` says when no rule matched."""

_PRIVATE = frozenset({"message", "claim", "truth", "query", "response"})
"""Fields an explanation never quotes."""
_MAX_QUOTED_CHARS = 60


@dataclass(frozen=True, slots=True)
class Tried:
    """One rule that was asked about an alert, and what came of it."""

    rule: str
    matched: bool
    why: str
    """For people: each comparison with its answer and the value it met. Quotes no free text and no person."""
    kind: str = "rule"
    """``rule``, ``silence`` or ``severity_map``."""


def fields(alert: Alert) -> Mapping[str, Scalar]:
    """The alert as triggers see it; a name with None, or no entry, is a missing field.

    ``type`` and ``kind`` are the same. TruthVouch's other fields are there under their own names, but never hide one of
    ours. Triggers are asked inside the bridge, so personal fields may be named in them.
    """
    return {
        **alert.people,
        **alert.extra,
        "severity": alert.severity,
        "confidence": alert.confidence,
        "confidence_text": alert.confidence_text,
        "detection_confidence": alert.detection_confidence,
        "trust_score": alert.trust_score,
        "category": alert.category,
        "type": alert.kind,
        "kind": alert.kind,
        "model": alert.model,
        "message": alert.message,
        "alert_id": alert.alert_id,
        "claim": alert.claim,
        "truth": alert.truth,
        "query": alert.query,
        "response": alert.response,
        "dashboard_url": alert.dashboard_url,
    }


def decide(rulebook: Rulebook, alert: Alert, now: datetime) -> Decision:
    """What the rulebook says about an alert: an answer for every alert, never an error.

    A rule whose trigger cannot be understood never matches (``configfile`` refuses such a file). ``now`` says which
    silences are in force.
    """
    values = fields(alert)
    for silence in in_force(rulebook.silences, now):
        if _matches(silence.match, values):
            return _by_silence(rulebook, silence)
    for rule in rulebook.rules:
        if _matches(rule.trigger, values):
            return _by_rule(rulebook, rule, alert)
    return _by_map(rulebook, alert)


def explain(rulebook: Rulebook, alert: Alert, now: datetime) -> tuple[Tried, ...]:
    """Every silence and rule that ``decide`` asks, in order and up to the first match; the severity map last when none
    matched."""
    values = fields(alert)
    tried: list[Tried] = []
    asked = [(silence.name, silence.match, "silence") for silence in in_force(rulebook.silences, now)]
    asked += [(rule.name, rule.trigger, "rule") for rule in rulebook.rules]
    for name, trigger, kind in asked:
        tried.append(_tried(name, trigger, kind, alert, values))
        if tried[-1].matched:
            return tuple(tried)
    decision = _by_map(rulebook, alert)
    told = "was not told" if alert.severity is None else f"is {scrub(alert.severity[:_MAX_QUOTED_CHARS])}"
    outcome = f"{decision.urgency} urgency" if decision.urgency else "no incident"
    unknown = ", which the map does not name and which counts as high" if decision.reason == "unknown_severity" else ""
    return (*tried, Tried(SEVERITY_MAP, True, f"severity {told}{unknown}: {outcome}", SEVERITY_MAP))


@lru_cache(maxsize=4096)
def understood(text: str) -> "Trigger | str":
    """The trigger, or why it says nothing. The language is loaded with the first rule: many do without one."""
    from app.domain.trigger import compile_trigger
    from app.domain.trigger_text import BadTrigger

    try:
        return compile_trigger(text)
    except BadTrigger as fault:
        return str(fault)


def _matches(text: str, values: Mapping[str, Scalar]) -> bool:
    trigger = understood(text)
    return not isinstance(trigger, str) and trigger.matches(values)


def _by_silence(rulebook: Rulebook, silence: Silence) -> Decision:
    return Decision(urgency=None, rule=silence.name, version=rulebook.version, reason=SILENCED)


def _by_rule(rulebook: Rulebook, rule: Rule, alert: Alert) -> Decision:
    if rule.action is RuleAction.SUPPRESS:
        return Decision(urgency=None, rule=rule.name, version=rulebook.version, reason="suppressed")
    mapped = urgency_of(alert.severity, rulebook.severity_map)
    return Decision(
        urgency=rule.urgency or mapped or Urgency.HIGH,
        rule=rule.name,
        version=rulebook.version,
        reason="rule",
        title=rule.title,
        service_id=rule.service_id or rulebook.service_id,
        escalation_policy_id=rule.escalation_policy_id or rulebook.escalation_policy_id,
        hold_resolve_minutes=rule.hold_resolve_minutes,
    )


def _by_map(rulebook: Rulebook, alert: Alert) -> Decision:
    urgency = urgency_of(alert.severity, rulebook.severity_map)
    reason = SEVERITY_MAP if urgency else "severity_none"
    return Decision(
        urgency=urgency,
        rule=SEVERITY_MAP,
        version=rulebook.version,
        reason=reason if is_known(alert.severity, rulebook.severity_map) else "unknown_severity",
        service_id=rulebook.service_id,
        escalation_policy_id=rulebook.escalation_policy_id,
    )


def _tried(name: str, text: str, kind: str, alert: Alert, values: Mapping[str, Scalar]) -> Tried:
    trigger = understood(text)
    if isinstance(trigger, str):
        return Tried(name, False, f"the trigger {trigger}", kind)
    why = "; ".join(_answered(leaf, alert, values) for leaf in leaves(trigger.expression))
    return Tried(name, trigger.matches(values), why, kind)


def _answered(leaf: Leaf, alert: Alert, values: Mapping[str, Scalar]) -> str:
    word = {True: "yes", False: "no", None: "not told"}[leaf.test(values)]
    met = ", ".join(_met(name, alert, values) for name in names(leaf))
    return f"{leaf}: {word}" + (f" ({met})" if met else "")


def _met(name: str, alert: Alert, values: Mapping[str, Scalar]) -> str:
    value = values.get(name)
    if value is None:
        return f"{name} is missing"
    if name in _PRIVATE or name in alert.people:
        return f"{name} is there"
    quoted = scrub(str(value), alert.people.values())[:_MAX_QUOTED_CHARS]
    return f"{name} is {quoted} ({kind_of(value)})" if kind_of(value) != "number" else f"{name} is {quoted}"
