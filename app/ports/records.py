"""What operators read, and how far along their own mail is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from app.domain.escalation import Climb
from app.domain.link import Link
from app.domain.names import AlertId, IncidentId, LinkId
from app.ports.memory import Tx

Row = Mapping[str, Any]
"""One line of a list: facts by name. No text an alert says about prompts and answers is ever among them."""


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of a list in its own order: links newest first, everything else oldest first."""

    limit: int
    after: int = 0
    """The last line's ``id`` of the piece before; 0 = from the beginning."""


class Records(Protocol):
    """Reads for people; locks nobody out. ``tx`` is one from ``Transactions.read``."""

    def letters(self, tx: Tx, page: Page, closed: bool = False) -> Sequence[Row]:
        """The dead letters that wait for a decision, or those that had one."""
        ...

    def letter(self, tx: Tx, letter_id: int) -> Row | None:
        """One dead letter with its ``link_id``; None when there is none."""
        ...

    def links(
        self,
        tx: Tx,
        page: Page,
        is_open: bool | None = None,
        frozen: bool | None = None,
        since: datetime | None = None,
    ) -> Sequence[Row]:
        """Links, newest first; None = whether or not they are resolved, or frozen, and whenever first heard of."""
        ...

    def link(self, tx: Tx, alert_id: AlertId) -> Link | None:
        """The link of an alert."""
        ...

    def link_of(self, tx: Tx, link_id: LinkId) -> Link | None:
        """The link of that number; None when it is kept no more."""
        ...

    def on_incident(self, tx: Tx, incident_id: IncidentId) -> tuple[Link, ...]:
        """Every link on this incident, oldest first."""
        ...

    def about(self, tx: Tx, wanted: str) -> tuple[Link, ...]:
        """Links of this alert id or incident id, else of this incident number (``2``, ``#2``), oldest first."""
        ...

    def numbered(self, tx: Tx, number: int) -> tuple[Link, ...]:
        """Links of the incident with this number, oldest first."""
        ...

    def climb(self, tx: Tx, incident_id: IncidentId) -> Climb | None:
        """How the escalation of this incident stands; None where there is none."""
        ...

    def climbs(self, tx: Tx, limit: int, every: bool = False) -> Sequence[Climb]:
        """Escalations under way, or all that are kept: the next due first."""
        ...

    def timeline(self, tx: Tx, wanted: str, page: Page) -> Sequence[Row]:
        """What happened to an alert or an incident; nothing when neither is known."""
        ...


class Postbox(Protocol):
    """Our own mail on its way through the inbox. Both raise ``StoreUnavailable``."""

    def taken(self, delivery_id: str) -> bool | None:
        """Whether the worker has done what this mail asks; None when no such mail is stored."""
        ...

    def worker_seen_at(self) -> datetime | None:
        """The newest sign of life of a worker."""
        ...
