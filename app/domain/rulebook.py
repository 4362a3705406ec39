"""The operator's word on routing, as values. ``configfile`` reads and writes it, ``rules`` applies it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from app.domain.names import Urgency, Via
from app.domain.silences import Silence


class RuleAction(StrEnum):
    """What a matching rule asks for."""

    CREATE_INCIDENT = "create_incident"
    SUPPRESS = "suppress"


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of ``rules:``. First match wins."""

    name: str
    trigger: str
    action: RuleAction
    title: str | None = None
    urgency: Urgency | None = None
    """None: the severity map decides, and high where the map says none."""
    service_id: str | None = None
    escalation_policy_id: str | None = None
    hold_resolve_minutes: float = 0
    """How long a resolve from TruthVouch is held back from PagerDuty, fractions legal; 0 = not at all."""


@dataclass(frozen=True, slots=True)
class EscalationLevel:
    """One rung of our own escalation. ``timeout_minutes`` > 0, fractions legal, counted from the rung before."""

    level: int
    timeout_minutes: float
    description: str = ""


@dataclass(frozen=True, slots=True)
class Escalation:
    """``escalation:``; no levels means we never escalate."""

    policy_id: str | None = None
    levels: tuple[EscalationLevel, ...] = ()
    raise_urgency: bool = False


@dataclass(frozen=True, slots=True)
class Redaction:
    """What may leave for PagerDuty. The defaults keep prompts, answers and people in."""

    send_claim: bool = True
    send_query: bool = False
    send_response: bool = False
    send_people: bool = False


@dataclass(frozen=True, slots=True)
class Sla:
    """Targets for one severity, in minutes; None = no target."""

    acknowledge_minutes: float | None = None
    resolve_minutes: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One configurable TruthVouch call. ``{alert_id}`` (URL-encoded in paths) and ``{resolution}`` are filled in."""

    method: str
    path: str
    body: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TruthVouchCalls:
    """How TruthVouch is told. Only *resolve* is documented there, so all of it is configurable."""

    acknowledge: Call = Call("PATCH", "/alerts/{alert_id}", {"status": "acknowledged"})
    resolve: Call = Call("PATCH", "/alerts/{alert_id}", {"status": "resolved", "resolution": "{resolution}"})
    reopen: Call = Call("PATCH", "/alerts/{alert_id}", {"status": "open"})
    note: Call | None = None
    """None: TruthVouch documents no notes call, so none is made."""


DEFAULT_SEVERITY_MAP: Mapping[str, Urgency | None] = {
    "critical": Urgency.HIGH,
    "high": Urgency.LOW,
    "medium": None,
    "low": None,
}
"""None = no incident. Values are the documented defaults of ``bridge.yaml``."""

DEFAULT_DASHBOARD_URL = "https://dash.truthvouch.com/alerts/{alert_id}"


@dataclass(frozen=True, slots=True)
class Rulebook:
    """``bridge.yaml`` as values, all defaults filled in."""

    rules: tuple[Rule, ...] = ()
    severity_map: Mapping[str, Urgency | None] = field(default_factory=lambda: dict(DEFAULT_SEVERITY_MAP))
    silences: tuple[Silence, ...] = ()
    shadow: str | None = None
    """A draft that is asked beside this rulebook and decides nothing: its path, as seen from ``bridge.yaml``."""
    via: Via | None = None
    """None: REST where an API key is configured, else Events."""
    region: str | None = None
    service_id: str | None = None
    escalation_policy_id: str | None = None
    dashboard_url: str = DEFAULT_DASHBOARD_URL
    redaction: Redaction = Redaction()
    escalation: Escalation = Escalation()
    sla: Mapping[str, Sla] = field(default_factory=dict)
    calls: TruthVouchCalls = TruthVouchCalls()
    replay_window_seconds: float = 0
    """How old a TruthVouch signature's time may be; 0 = any age, because retries carry the old time."""
    reconcile_calls_per_hour: int = 300
    """Calls to TruthVouch that reconciliation may make; 0 = none."""
    retention_days: float = 31
    """How long what is done with is kept; links are kept for ever."""
    version: str = "defaults"
    """Short hash of the file's text: every decision names it."""


def completed(draft: Rulebook, live: Rulebook) -> Rulebook:
    """A draft that says nothing of PagerDuty is meant for the place of the rulebook in force.

    One that says anything of it (``via``, region, service, policy) says all of it.
    """
    if any((draft.via, draft.region, draft.service_id, draft.escalation_policy_id)):
        return draft
    return replace(
        draft,
        via=live.via,
        region=live.region,
        service_id=live.service_id,
        escalation_policy_id=live.escalation_policy_id,
    )


@dataclass(frozen=True, slots=True)
class Decision:
    """What the rulebook said about one alert, and which entry of which version said so."""

    urgency: Urgency | None
    """None: no incident."""
    rule: str
    """The rule's name, or ``severity_map``, or the silence's name."""
    version: str
    reason: str
    """Why, in one word: ``rule``, ``severity_map``, ``suppressed``, ``severity_none``, ``unknown_severity``,
    ``silenced``."""
    title: str | None = None
    service_id: str | None = None
    escalation_policy_id: str | None = None
    hold_resolve_minutes: float = 0
    """The rule's, as it was then: see ``domain/damping.py``."""
