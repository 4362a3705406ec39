"""Use case: an incident that was opened with an integration key alone is acknowledged or resolved by the same way.

Its id is unknown there, so it goes by its key, and nobody can be named: https://developer.pagerduty.com/docs/events-api-v2/
"""

from dataclasses import dataclass

from app.domain.incident import IncidentFacts
from app.domain.names import IncidentId, IncidentKey, Status
from app.domain.outcome import Done, Reply
from app.patience import Patience
from app.ports import Events

KEY_BEGINS = "truthvouch-"
"""What ``create_incident`` makes up; an id of PagerDuty's has no hyphen."""


@dataclass(frozen=True)
class ChangeByEvent:
    """``Done`` means queued: PagerDuty takes events for what is not open, and does nothing."""

    events: Events
    insist: Patience

    def acknowledge(self, key: IncidentKey) -> Reply[IncidentFacts]:
        """Acknowledge what is open under this key."""
        return self._told(key, Status.ACKNOWLEDGED, self.insist(lambda: self.events.acknowledge(key)))

    def resolve(self, key: IncidentKey) -> Reply[IncidentFacts]:
        """Resolve what is open under this key."""
        return self._told(key, Status.RESOLVED, self.insist(lambda: self.events.resolve(key)))

    def _told(self, key: IncidentKey, status: Status, reply: Reply[None]) -> Reply[IncidentFacts]:
        facts = IncidentFacts(IncidentId(""), status, incident_key=key)
        return Done(facts) if isinstance(reply, Done) else reply
