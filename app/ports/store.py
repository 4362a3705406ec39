"""What the bridge remembers of its links and escalations, what operators read, and how far their commands are."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, NewType, NotRequired, Protocol, TypedDict

from app.domain.escalation.state import Escalation
from app.domain.model.events import IncidentEvent
from app.domain.model.types import AlertId, IncidentId, IncidentKey, LinkId, Side, Status
from app.domain.sync.link import Link

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
"""The effects at PagerDuty that may page somebody, as dead letters name them: also by an incident that is opened
again."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A dead letter: an event that could not be read or an effect that was given up."""

    dead_letter_id: int
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


NO_BODY = 0
"""No row of the inbox has this number. It stands for the store's logs, which repeat what was erased for a while."""


@dataclass(frozen=True, slots=True)
class TakenBody:
    """The raw body of an inbox row that was taken in, and what it is about; one about several things is several."""

    inbox_id: int
    subject: str
    """The id of an alert or of an incident."""
    due: bool = False
    """It is to be erased at once: the evidence of its alert is erased already."""


class Evidence(Protocol):
    """What is erased besides the texts and people of an alert, which ``Links.save`` erases."""

    def over(self, tx: Tx, before: datetime, after: LinkId, limit: int) -> Sequence[LinkId]:
        """The numbers above ``after``, in order, of links with evidence of which the store last heard before that
        instant, with no incident open and nothing pending; the link itself may know of something later. ``tx`` may be
        one from ``read``."""

    def take_out(self, tx: Tx, link_id: LinkId, taken_out: Callable[[str], str]) -> None:
        """Change what the link's time line and dead letters say, text by text."""

    def make_due(self, tx: Tx, subjects: Sequence[str]) -> None:
        """Have the raw bodies about these erased, and the logs of the store, soon. The alert's id comes first."""


class Links(Protocol):
    """Links, the events that could not be matched yet, the time line and the dead letters."""

    def batch(self, tx: Tx) -> AbstractContextManager[None]:
        """Inside, every link is read once and written once, at the end, however often it changes: so an alert that
        says a thousand things holds nobody up."""

    def by_alert(self, tx: Tx, alert_id: AlertId) -> Link | None:
        """The link of this alert, locked for the rest of the transaction."""

    def by_incident(self, tx: Tx, incident_id: IncidentId) -> tuple[Link, ...]:
        """Every link on this incident (several after a merge), locked, oldest first."""

    def left(self, tx: Tx, incident_id: IncidentId) -> tuple[Link, ...]:
        """The links that were on this incident and left it for one of their own, locked."""

    def by_key(self, tx: Tx, key: IncidentKey) -> Link | None:
        """The link whose incident carries this key, locked."""

    def get(self, tx: Tx, link_id: LinkId) -> Link:
        """The link, locked. Raises ``KeyError``."""

    def peek(self, tx: Tx, link_id: LinkId) -> Link:
        """The link as it is, locking nobody out; ``tx`` may be one from ``read``. Raises ``KeyError``."""

    def add(self, tx: Tx, link: Link) -> Link:
        """Store a new link; the answer carries its id."""

    def save(self, tx: Tx, link: Link) -> None:
        """Write a link that was read in this transaction."""

    def keep_unmatched(self, tx: Tx, event: IncidentEvent, inbox_id: int, at: datetime) -> None:
        """Keep an event about an incident no link knows yet."""

    def take_unmatched(self, tx: Tx, incident_id: IncidentId) -> tuple[IncidentEvent, ...]:
        """Remove and return the events kept for this incident, oldest first."""

    def take_bodies(self, tx: Tx, bodies: Sequence[TakenBody]) -> None:
        """Write down what the raw bodies of rows that are taken in are about, so that they can be erased with it."""

    def write_timeline(self, tx: Tx, entries: Sequence[TimelineEntry]) -> None: ...
    def add_dead_letter(self, tx: Tx, dead_letter: DeadLetter) -> int: ...

    def close_dead_letters(self, tx: Tx, link_id: LinkId, side: Side, effect: str, at: datetime) -> int:
        """Close the open dead letters about this effect, which was done after all; the answer is how many."""

    def open_dead_letters(self, tx: Tx, link_id: LinkId, side: Side) -> tuple[str, ...]:
        """The reasons of the open dead letters behind which that link and side waits, oldest first."""


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

    def count_open(self, tx: Tx, kind: OpenKind, link_id: LinkId) -> int:
        """How many open links of this kind have a number above ``link_id``."""

    def last_before(self, tx: Tx, at: datetime) -> LinkId:
        """A number that is below those of all links first seen since then; 0 where all were."""

    def on_incidents(self, tx: Tx, ids: Collection[IncidentId], keys: Collection[IncidentKey]) -> tuple[Link, ...]:
        """Every link, open or not, on one of these incidents or with one of these keys, oldest first."""

    def of_alerts(self, tx: Tx, ids: Collection[AlertId]) -> Mapping[AlertId, Link]:
        """The links of these alerts, open or not."""


class HourlyQuota(Protocol):
    """Calls that may be made in an hour, counted durably over restarts and processes."""

    def take(self, tx: Tx, now: datetime) -> bool:
        """Pay for one; False when none is left."""

    def left(self, tx: Tx, now: datetime) -> int:
        """How many could be made at once."""


class DeadLetters(Protocol):
    """Dead letters as an operator's command meets them."""

    def get(self, tx: Tx, dead_letter_id: int) -> DeadLetter | None:
        """The dead letter, locked."""

    def others_of_side(self, tx: Tx, dead_letter: DeadLetter) -> tuple[str, ...]:
        """The reasons of the other open dead letters behind which that link and side waits, oldest first; a note's is
        none. The link is locked."""

    def close(self, tx: Tx, dead_letter_id: int, outcome: str, at: datetime, by: str) -> None: ...

    def tried(self, tx: Tx, dead_letter_id: int) -> None:
        """It was tried once more, in vain."""


COPIED = "store.copied"
"""Key: when everything here was copied from another store, without what that store's engine had in hand; absent once
what is owed is submitted again. A stored name."""


class KeyValueStore(Protocol):
    """Small named facts about the running bridge: heartbeats, paused targets."""

    def read(self, tx: Tx, name: str) -> str | None: ...
    def put(self, tx: Tx, name: str, value: str) -> None: ...
    def clear(self, tx: Tx, name: str) -> None: ...


class Transactions(Protocol):
    """``with transactions.begin() as tx``: everything inside commits together or not at all, and is durable after.
    Both raise ``StoreUnavailable`` when the store cannot be reached or written."""

    def begin(self) -> AbstractContextManager[Tx]: ...

    def read(self) -> AbstractContextManager[Tx]:
        """A read that waits for nobody, locks nobody out and changes nothing."""

    def after_commit(self, tx: Tx, act: Callable[[], None]) -> None:
        """Do this in the same thread once that transaction has committed, and not at all if it does not. ``act`` must
        not raise: that would only be logged."""


Row = Mapping[str, Any]


class DeadLetterRow(TypedDict):
    """One dead letter, as the API and the commands write it."""

    id: int
    at: datetime
    """When it was given up, or could not be read."""
    kind: Literal["event", "effect", "escalation"]
    """`event`: a delivery that could not be read. `effect`: a call that was given up. `escalation`: a level that could
    not be moved."""
    reason: str
    """A code: `bad_request`, `gave_up:http_503`, `not_json`."""
    attempts: int
    side: Side | None
    """Who sent the event, or was to be called."""
    effect: str
    """What was given up: `SetIncident acknowledged`; empty for an event."""
    detail: str
    """The partner's own words about its refusal, or the type that the event gives."""
    alert_id: str | None
    incident_id: str | None
    inbox_id: int | None
    """The stored delivery of an event."""
    closed_at: datetime | None
    outcome: str
    """How it was closed: `replayed`, `nothing_to_do`, `discarded`, `gone`; empty while it is open."""
    closed_by: str


class LinkSummary(TypedDict):
    """One link in short, likewise."""

    id: int
    alert_id: str
    incident_id: str | None
    first_seen_at: datetime
    status: Status
    """What both sides should be."""
    alert_status: Status | None
    """What the bridge last knew of the alert."""
    incident_status: Status | None
    """What the bridge last knew of the incident; null: there is none."""
    paged: bool
    """Whether the alert wants an incident."""
    truthvouch_since: datetime | None
    """Since when a delivery to TruthVouch is pending; null when none is."""
    pagerduty_since: datetime | None
    """Since when a delivery to PagerDuty is pending; null when none is."""
    frozen_at: datetime | None
    """When the link was frozen; null when it is not."""


class TimelineRow(TypedDict):
    """One entry of the time line, likewise."""

    id: int
    at: datetime
    event: str
    alert_id: str | None
    incident_id: str | None
    incident_number: NotRequired[int | None]
    author: str | None
    facts: dict[str, Any]


"""One line of a list: facts by name. No text an alert says about prompts and answers is ever among them."""


@dataclass(frozen=True, slots=True)
class Page:
    """A piece of a list in its own order: links newest first, everything else oldest first."""

    limit: int
    after: int = 0
    """The last line's ``id`` of the piece before; 0 = from the beginning."""


class Records(Protocol):
    """Reads for people; locks nobody out. ``tx`` is one from ``Transactions.read``."""

    def dead_letters(self, tx: Tx, page: Page, closed: bool = False) -> Sequence[DeadLetterRow]:
        """The dead letters that wait for a decision, or those that had one."""

    def dead_letter(self, tx: Tx, dead_letter_id: int) -> Row | None:
        """One dead letter with its ``link_id``."""

    def dead_letters_of(self, tx: Tx, link_id: LinkId) -> Sequence[Row]:
        """The open dead letters of one link, oldest first; a hundred at most."""

    def links(
        self, tx: Tx, page: Page, is_open: bool | None = None, frozen: bool | None = None, since: datetime | None = None
    ) -> Sequence[LinkSummary]:
        """Links, newest first; None = whether or not they are open (as long as either side is), or frozen, and
        whenever first seen."""

    def link(self, tx: Tx, alert_id: AlertId) -> Link | None:
        """The link of an alert."""

    def link_of(self, tx: Tx, link_id: LinkId) -> Link | None:
        """The link of that number; None when it is kept no more."""

    def on_incident(self, tx: Tx, incident_id: IncidentId) -> tuple[Link, ...]:
        """Every link on this incident, oldest first."""

    def about(self, tx: Tx, wanted: str) -> tuple[Link, ...]:
        """Links of this alert id or incident id, else of this incident number (``2``, ``#2``), oldest first."""

    def numbered(self, tx: Tx, number: int) -> tuple[Link, ...]:
        """Links of the incident with this number, oldest first."""

    def kept_bodies(self, tx: Tx, link: Link) -> int:
        """How many webhooks about a link are stored with their raw body. Never 0 before no file holds what is
        erased."""

    def escalation(self, tx: Tx, incident_id: IncidentId) -> Escalation | None: ...

    def escalations(self, tx: Tx, limit: int, every: bool = False) -> Sequence[Escalation]:
        """Escalations under way, or all that are kept: the next due first."""

    def timeline(self, tx: Tx, wanted: str, page: Page) -> Sequence[TimelineRow]:
        """What happened to an alert or an incident; nothing when neither is known."""


class KeyUse(StrEnum):
    """How a request under an idempotency key stands."""

    ANSWERED = "answered"
    OTHER_REQUEST = "other_request"
    """The key was used with another request."""
    UNDER_WAY = "under_way"
    """Somebody began the same request and has no answer yet."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """What is kept under an idempotency key; status and body only where it is answered."""

    use: KeyUse
    status: int = 0
    body: bytes = b""


class AnswerStore(Protocol):
    """Answers by the name of their request, for requests that may come again."""

    def begin(self, tx: Tx, name: str, digest: str, now: datetime, alive_since: datetime) -> KeptAnswer | None:
        """None: it is the caller's to answer, from ``now`` on. ``digest`` is the request's own; whoever began before
        ``alive_since`` and has no answer is not waited for."""

    def keep(self, tx: Tx, name: str, status: int, body: bytes) -> None: ...
    def forget(self, tx: Tx, name: str) -> None: ...
    def forget_before(self, tx: Tx, at: datetime) -> None:
        """All that began before."""


class CommandStatus(Protocol):
    """Commands and other internal events on their way through the inbox. Both raise ``StoreUnavailable``."""

    def taken(self, delivery_id: str) -> bool | None:
        """Whether the worker has taken this event in; None when no such event is stored."""

    def worker_seen_at(self) -> datetime | None:
        """The newest sign of life of a worker."""


class EscalationStore(Protocol):
    """One escalation for each incident. Locks are taken in one order: first an incident's links, then its
    escalation."""

    def find(self, tx: Tx, incident_id: IncidentId) -> Escalation | None:
        """The escalation of this incident, locked for the rest of the transaction."""

    def peek(self, tx: Tx, incident_id: IncidentId) -> Escalation | None:
        """The escalation as it is, locking nobody out; ``tx`` may be one from ``read``."""

    def of_dead_letter(self, tx: Tx, dead_letter_id: int) -> Escalation | None:
        """The escalation that became this dead letter, locked."""

    def due(self, tx: Tx, now: datetime, limit: int) -> tuple[IncidentId, ...]:
        """Incidents that somebody has to look at by now, the longest due first."""

    def save(self, tx: Tx, escalation: Escalation, at: datetime) -> None:
        """Write it, new or not."""

    def without_escalation(self, tx: Tx, since: datetime) -> Sequence[Link]:
        """Links first seen since then that are owed an incident, know it, are not resolved and have no escalation. As
        they are, locking nobody out; ``tx`` may be one from ``read``."""

    def listed(self, tx: Tx, limit: int, every: bool = False) -> Sequence[Escalation]:
        """Those that are not finished, or all: the next due first, then the newest changed."""
