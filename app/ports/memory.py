"""What the bridge remembers about its links."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NewType, Protocol

from app.domain.link import Link
from app.domain.names import AlertId, IncidentId, IncidentKey, LinkId, Side
from app.domain.words import IncidentWord

Tx = NewType("Tx", object)
"""One transaction. Whoever gets one hands it on and never looks inside."""


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One line of "why was I (not) paged": facts by name, never a body or a secret."""

    at: datetime
    event: str
    """``alert.resolved``, ``incident.triggered``, ``delivery.retried``: ``noun.past_participle``."""
    link_id: LinkId | None = None
    alert_id: str | None = None
    incident_id: str | None = None
    author: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


PAGES = ("OpenIncident", "LookForIncident", "SetIncident open", "")
"""The effects at PagerDuty that may page somebody, as letters name them: also by an incident that is opened again."""


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter: an event that could not be read or an effect that was given up."""

    letter_id: int
    kind: str
    """``event``, ``effect`` or ``escalation``."""
    reason: str
    at: datetime
    attempts: int = 0
    detail: str = ""
    link_id: LinkId | None = None
    side: Side | None = None
    inbox_id: int | None = None
    effect: str = ""
    """What was given up, for people: ``SetIncident resolved``; empty for an event."""
    closed_at: datetime | None = None
    outcome: str = ""
    """How it was closed: ``replayed``, ``nothing_to_do``, ``discarded``, ``gone``."""
    closed_by: str = ""

    @property
    def is_page(self) -> bool:
        """Whether it may be a page that nobody got. One about a delivery that broke names no effect: it may be any."""
        if self.kind == "effect":
            return self.side is Side.PAGERDUTY and self.effect in PAGES
        return self.kind == "escalation" or (self.kind == "event" and self.side is Side.TRUTHVOUCH)

    @property
    def counted_as(self) -> str:
        """The kind that people are told: ``page`` for an event or an effect that may be one, else its own."""
        return "page" if self.is_page and self.kind != "escalation" else self.kind


class Links(Protocol):
    """Links, the words that could not be matched yet, the time line and the dead letters; one transaction each call."""

    def batch(self, tx: Tx) -> AbstractContextManager[None]:
        """Inside, every link is read once and written once, at the end."""
        ...

    def by_alert(self, tx: Tx, alert_id: AlertId) -> Link | None:
        """The link of this alert, locked for the rest of the transaction."""
        ...

    def by_incident(self, tx: Tx, incident_id: IncidentId) -> tuple[Link, ...]:
        """Every link on this incident (several after a merge), locked, oldest first."""
        ...

    def by_key(self, tx: Tx, key: IncidentKey) -> Link | None: ...

    def get(self, tx: Tx, link_id: LinkId) -> Link:
        """The link, locked. Raises ``KeyError``."""
        ...

    def peek(self, tx: Tx, link_id: LinkId) -> Link:
        """The link as it is, locking nobody out; ``tx`` may be one from ``read``. Raises ``KeyError``."""
        ...

    def add(self, tx: Tx, link: Link) -> Link:
        """Store a new link; the answer carries its id."""
        ...

    def save(self, tx: Tx, link: Link) -> None: ...

    def keep_stray(self, tx: Tx, word: IncidentWord, inbox_id: int, at: datetime) -> None:
        """Keep a word about an incident no link knows yet."""
        ...

    def take_strays(self, tx: Tx, incident_id: IncidentId) -> tuple[IncidentWord, ...]:
        """Remove and return the words kept for this incident, oldest first."""
        ...

    def write_timeline(self, tx: Tx, entries: Sequence[TimelineEntry]) -> None: ...

    def add_letter(self, tx: Tx, letter: Letter) -> int: ...

    def close_letters(self, tx: Tx, link_id: LinkId, side: Side, effect: str, at: datetime) -> int:
        """Close the open dead letters about this effect, which was done after all; the answer is how many."""
        ...

    def open_letters(self, tx: Tx, link_id: LinkId, side: Side) -> tuple[str, ...]:
        """The reasons of the open letters behind which that link and side waits, oldest first."""
        ...


class OpenKind(StrEnum):
    """What may still come of an open link."""

    PAGED = "paged"
    """It is owed an incident, or has one: not over on both sides."""
    SILENCED = "silenced"
    """It is decided anew when its silence ends."""
    UNPAGED = "unpaged"
    """All without an incident, those included: the others owe nobody anything."""


class OpenLinks(Protocol):
    """Links as reconciliation reads them: as they are, locking nobody out; ``tx`` may be one from ``read``."""

    def open_after(self, tx: Tx, kind: OpenKind, link_id: LinkId, limit: int) -> tuple[Link, ...]:
        """Open links of this kind, numbered above ``link_id``, in order."""
        ...

    def count_open(self, tx: Tx, kind: OpenKind, link_id: LinkId) -> int:
        """How many open links of this kind have a number above ``link_id``."""
        ...

    def last_before(self, tx: Tx, at: datetime) -> LinkId:
        """A number that is below those of all links first heard of since then; 0 where all were."""
        ...

    def on_incidents(self, tx: Tx, ids: Collection[IncidentId], keys: Collection[IncidentKey]) -> tuple[Link, ...]:
        """Every link, open or not, on one of these incidents or with one of these keys."""
        ...

    def of_alerts(self, tx: Tx, ids: Collection[AlertId]) -> Mapping[AlertId, Link]:
        """The links of these alerts, open or not."""
        ...


class Allowance(Protocol):
    """Calls that may be made in an hour, counted durably over restarts and processes."""

    def take(self, tx: Tx, now: datetime) -> bool:
        """Pay for one; False when none is left."""
        ...

    def left(self, tx: Tx, now: datetime) -> int: ...


class Letters(Protocol):
    """Dead letters as an operator's wish meets them."""

    def get(self, tx: Tx, letter_id: int) -> Letter | None:
        """The letter, locked."""
        ...

    def others_of_lane(self, tx: Tx, letter: Letter) -> tuple[str, ...]:
        """The reasons of the other open letters behind which that link and side waits, oldest first; a note's is none.
        The link is locked."""
        ...

    def close(self, tx: Tx, letter_id: int, outcome: str, at: datetime, by: str) -> None: ...

    def tried(self, tx: Tx, letter_id: int) -> None:
        """It was tried once more, in vain."""
        ...


class Marks(Protocol):
    """Small named facts about the running bridge: heartbeats, holds."""

    def read(self, tx: Tx, name: str) -> str | None: ...

    def put(self, tx: Tx, name: str, value: str) -> None: ...

    def clear(self, tx: Tx, name: str) -> None: ...


class Transactions(Protocol):
    """``with transactions.begin() as tx``: everything inside commits together or not at all, and is durable after."""

    def begin(self) -> AbstractContextManager[Tx]: ...

    def read(self) -> AbstractContextManager[Tx]:
        """A look that waits for nobody and changes nothing."""
        ...
