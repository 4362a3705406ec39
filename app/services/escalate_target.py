"""Use case: which incident somebody means to escalate, and whether PagerDuty knows it and the policy.

It is asked before anything is stored: the worker acts later and cannot ask back, and an incident stored under its
number as well as its id would be escalated twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.names import IncidentId, number_meant
from app.domain.outcome import Done, Refused, Reply
from app.ports.escalations import Policies, Standing

NOT_FOUND, POLICY_NOT_FOUND, NUMBER_ONLY = "not_found", "policy_not_found", "number_only"
NO_KEY = "no_pagerduty_api_key"

TARGET_WORDS: Mapping[str, str] = {
    NOT_FOUND: "PagerDuty knows no such incident; nothing was stored. Its id is the end of its address in PagerDuty.",
    POLICY_NOT_FOUND: "PagerDuty knows no such escalation policy; nothing was stored. Its id is the end of its address "
    "in PagerDuty.",
    NUMBER_ONLY: "Which incident has this number could not be looked up; nothing was stored. Give its id, the end of "
    "its address in PagerDuty; looking up a number needs PAGERDUTY_API_KEY, and PagerDuty's answer.",
}
"""Every refusal in words."""


@dataclass(frozen=True, slots=True)
class Target:
    """An incident by its id."""

    incident_id: IncidentId
    unchecked: str = ""
    """Why PagerDuty did not say that the incident and the policy exist; empty when it did."""


@dataclass(frozen=True)
class FindTarget:
    """Asks PagerDuty; both doors are None without an API key."""

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
        reply = self.policies.policy(policy_id)
        if _is_unknown(reply):
            return Refused(POLICY_NOT_FOUND, 404)
        return found if isinstance(reply, Done) else Done(Target(found.value.incident_id, reply.reason))

    def _incident(self, named: str) -> Done[Target] | Refused:
        number = number_meant(named)
        asked = IncidentId(named if number is None else str(number))
        reply = self.incidents.get(asked) if self.incidents is not None else None
        if isinstance(reply, Done):
            return Done(Target(reply.value.incident_id))
        if reply is not None and _is_unknown(reply):
            return Refused(NOT_FOUND, 404)
        if number is not None:
            return Refused(NUMBER_ONLY, 0)
        return Done(Target(asked, reply.reason if reply is not None else NO_KEY))


def _is_unknown(reply: Reply[object]) -> bool:
    return isinstance(reply, Refused) and reply.status == 404
