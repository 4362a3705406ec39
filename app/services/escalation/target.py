"""Use case: which incident somebody means to escalate, and whether PagerDuty knows it and the policy.

It is asked before anything is stored: the worker acts later and cannot ask back, and an incident stored under its
number as well as its id would be escalated twice. What is stored is the ``Command.detail`` of ``CommandType.ESCALATE``,
written and read here.
"""

import json
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.domain.escalation.state import EscalationPlan, PlanLevel
from app.domain.model.outcome import Done, Held, Refused
from app.domain.model.types import IncidentId, number_meant
from app.ports.partners import Policies, Standing

NOT_FOUND, POLICY_NOT_FOUND, NUMBER_ONLY = "not_found", "policy_not_found", "number_only"
NO_KEY = "no_pagerduty_api_key"

TARGET_MESSAGES: Mapping[str, str] = {
    NOT_FOUND: "PagerDuty knows no such incident; nothing was stored. Its id is the end of its address in PagerDuty.",
    POLICY_NOT_FOUND: "PagerDuty knows no such escalation policy; nothing was stored. Its id is the end of its address "
    "in PagerDuty.",
    NUMBER_ONLY: "Which incident has this number could not be looked up; nothing was stored. Give its id, the end of "
    "its address in PagerDuty; looking up a number needs PAGERDUTY_API_KEY, and PagerDuty's answer.",
}
"""What each refusal means, for people."""


@dataclass(frozen=True, slots=True)
class Target:
    """An incident by its id."""

    incident_id: IncidentId
    unchecked: str = ""
    """Why PagerDuty did not say that the incident and the policy exist; empty when it did."""


@dataclass(frozen=True)
class FindTarget:
    """Asks PagerDuty; both adapters are None without an API key."""

    incidents: Standing | None
    policies: Policies | None

    def __call__(self, named: str, policy_id: str | None = None) -> Done[Target] | Refused:
        """The incident of that id or number (``2``, ``#2``). ``Refused``: ``not_found``, ``policy_not_found``, or
        ``number_only`` when nobody can tell which incident has the number.

        ``GET /incidents/{id}`` takes either. https://developer.pagerduty.com/api-reference/ (incidents)
        """
        found = self._incident(named)
        if isinstance(found, Refused) or self.policies is None or not policy_id:
            return found
        match self.policies.policy(policy_id):
            case Done():
                return found
            case Refused(status=404):
                return Refused(POLICY_NOT_FOUND, 404)
            case reply:
                return Done(Target(found.value.incident_id, reply.reason))

    def _incident(self, named: str) -> Done[Target] | Refused:
        number = number_meant(named)
        asked = IncidentId(named if number is None else str(number))
        match self.incidents.get(asked) if self.incidents is not None else Held(NO_KEY):
            case Done(facts):
                return Done(Target(facts.incident_id))
            case Refused(status=404):
                return Refused(NOT_FOUND, 404)
            case reply:
                return Refused(NUMBER_ONLY, 0) if number is not None else Done(Target(asked, reply.reason))


MAX_LEVELS = 20
MAX_MINUTES = 60 * 24 * 31
MAX_ID_CHARS = 64
SOMEBODY = "somebody"
"""Who asked, where nobody says."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants done about one incident. ``plan`` None, and not ``now``: no more escalation."""

    plan: EscalationPlan | None
    drill: bool = False
    now: bool = False
    """The next level of whatever plan there is, at once."""
    raise_urgency: bool = False
    """With ``now``: raise a low urgency to high first."""
    saw: int | None = None
    """With ``now``: how often the incident had been moved when whoever asks looked at it."""
    ask: str = ""
    """With ``now``: tells this request from others."""


def arming(
    policy_id: str | None, minutes: float | Sequence[float], *, raise_urgency: bool = False, drill: bool = False
) -> str:
    """The detail that escalates an incident unless somebody acknowledges it.

    ``minutes``: to wait before level 1, or before each level, counted from the one before; more than 0, fractions
    legal, at most 31 days. ``policy_id`` None: it stays on its policy and only rises. Raises ``ValueError`` saying what
    is wrong with it.
    """
    waits = [minutes] if isinstance(minutes, int | float) else minutes
    levels = [{"minutes": wait, "description": ""} for wait in waits]
    content = {"policy_id": policy_id, "levels": levels, "raise_urgency": raise_urgency, "drill": drill}
    detail = json.dumps(content)
    if read(detail) is None:
        bounds = f"1 to {MAX_LEVELS} levels, each with more than 0 and at most {MAX_MINUTES} minutes"
        raise ValueError(f"an escalation has {bounds}, and a policy id without blanks")
    return detail


def hurrying(raise_urgency: bool = False, saw: int | None = None, key: str = "") -> str:
    """The detail that makes the next level of an incident due now. A version that does not know it refuses it. ``saw``:
    the ``moves`` of the escalation that whoever asks has seen. The same ``key`` is the same request."""
    content = {"now": True, "raise_urgency": raise_urgency, "saw": saw, "ask": key or uuid.uuid4().hex}
    return json.dumps(content)


CANCELLING = json.dumps({"cancel": True})
"""The detail that ends an incident's escalation."""


def read(detail: str) -> Asked | None:
    """What a detail asks; None when it asks nothing that can be done. ``timeout_minutes`` alone is one level."""
    try:
        content = json.loads(detail)
    except ValueError:
        return None
    if not isinstance(content, dict):
        return None
    if content.get("cancel") is True:
        return Asked(None)
    if content.get("now") is True:
        saw, raise_urgency = content.get("saw"), content.get("raise_urgency") is True
        saw = saw if type(saw) is int else None
        return Asked(None, now=True, raise_urgency=raise_urgency, saw=saw, ask=str(content.get("ask") or ""))
    levels = content.get("levels") or [{"minutes": content.get("timeout_minutes")}]
    policy = content.get("policy_id")
    if not isinstance(levels, list) or len(levels) > MAX_LEVELS or not (policy is None or fit_for_an_id(policy)):
        return None
    levels = tuple(map(_level, levels))
    plan = EscalationPlan(policy, tuple(filter(None, levels)), content.get("raise_urgency") is True)
    return Asked(plan, content.get("drill") is True) if all(levels) else None


def _level(content: object) -> PlanLevel | None:
    level = content if isinstance(content, Mapping) else {}
    minutes = level.get("minutes", level.get("timeout_minutes"))
    if not isinstance(minutes, int | float) or isinstance(minutes, bool) or not math.isfinite(minutes):
        return None
    return PlanLevel(minutes * 60, str(level.get("description") or "")[:200]) if 0 < minutes <= MAX_MINUTES else None


def fit_for_an_id(text: object) -> bool:
    """Whether PagerDuty could have such an id: 1 to 64 printable characters without blanks."""
    if not isinstance(text, str) or not 0 < len(text) <= MAX_ID_CHARS:
        return False
    return text.isprintable() and not any(map(str.isspace, text))
