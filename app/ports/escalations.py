"""What the bridge remembers about its own escalation of incidents."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from app.domain.account import OnCall, PolicyFacts
from app.domain.escalation import Climb
from app.domain.incident import IncidentFacts
from app.domain.link import Link
from app.domain.names import IncidentId, Urgency
from app.domain.outcome import Reply
from app.ports.memory import Tx


class Climbs(Protocol):
    """One climb for each incident. Locks are taken in one order: first an incident's links, then its climb."""

    def find(self, tx: Tx, incident_id: IncidentId) -> Climb | None:
        """The climb of this incident, locked for the rest of the transaction."""
        ...

    def peek(self, tx: Tx, incident_id: IncidentId) -> Climb | None:
        """The climb as it is, locking nobody out; ``tx`` may be one from ``read``."""
        ...

    def of_letter(self, tx: Tx, letter_id: int) -> Climb | None:
        """The climb that became this dead letter, locked."""
        ...

    def due(self, tx: Tx, now: datetime, limit: int) -> tuple[IncidentId, ...]:
        """Incidents that somebody has to look at by now, the longest due first."""
        ...

    def save(self, tx: Tx, climb: Climb, at: datetime) -> None:
        """Write it, new or not."""
        ...

    def missing(self, tx: Tx, since: datetime) -> Sequence[Link]:
        """Links first seen since then that are owed an incident, know it, are not resolved and have no climb. As they
        are, locking nobody out; ``tx`` may be one from ``read``."""
        ...

    def listed(self, tx: Tx, limit: int, every: bool = False) -> Sequence[Climb]:
        """Those that are not finished, or all: the next due first, then the newest changed."""
        ...


class Policies(Protocol):
    """Who is on call where: the part of ``Account`` that an escalation asks."""

    def policy(self, policy_id: str) -> Reply[PolicyFacts]: ...

    def on_call(self, policy_id: str) -> Reply[tuple[OnCall, ...]]: ...


class Standing(Protocol):
    """Where an incident stands: the part of ``Incidents`` that an escalation asks."""

    def get(self, incident_id: IncidentId) -> Reply[IncidentFacts]: ...


class Moves(Protocol):
    """The part of ``Responders`` that an escalation asks."""

    def escalate(
        self,
        incident_id: IncidentId,
        *,
        policy_id: str | None = None,
        level: int | None = None,
        urgency: Urgency | None = None,
    ) -> Reply[IncidentFacts]: ...
