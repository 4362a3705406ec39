"""The bridge as it runs: its engine, health, counters and rulebook; its inbox, and what proves and reads a webhook."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Any, Protocol

from app.domain.model.events import Command, CommandOutcome, Envelope, IncidentEvent, Reading
from app.domain.model.subscription import Verdict
from app.domain.model.types import Alert, LinkId, Side, Source, Urgency
from app.domain.rules.rulebook import Decision, Rulebook
from app.domain.sync.circuit_breaker import BreakerKind
from app.domain.sync.link import Link
from app.ports.store import DeadLetter, TimelineEntry, Tx
from app.remote.payload import RefusedDeliveries

Clock = Callable[[], datetime]
utc_now: Clock = partial(datetime.now, UTC)
"""This instant."""


@dataclass(frozen=True, slots=True)
class WorkerRules:
    """By what rules one worker decides, as it published it."""

    version: str
    """Of its ``bridge.yaml``."""
    since: datetime
    """Since when it runs with its configuration."""
    seen_at: datetime
    """When it last said so."""


@dataclass(frozen=True, slots=True)
class HealthSnapshot:
    """How the bridge is, as its store shows it."""

    worker_seen_at: datetime | None
    waiting: int
    """Deliveries to a partner that are owed and not yet done, plus inbox rows not yet taken in."""
    oldest_waiting_at: datetime | None
    dead: int
    """Dead letters nobody has replayed or discarded."""
    truthvouch_seen_at: datetime | None
    """When TruthVouch last sent us an authentic delivery."""
    pagerduty_seen_at: datetime | None
    paused_targets: Mapping[str, str] = field(default_factory=dict)
    """Targets whose credentials are refused or that do not answer, with the reason."""
    dead_pages: int = 0
    """Those of them that may be a page: an incident not opened, an escalation, an alert that could not be read."""
    oldest_page_at: datetime | None = None
    """Since when the oldest page waits that nobody got yet, or the oldest delivery that may become one."""
    frozen: int = 0
    """Links that a ping-pong froze."""
    subscription: Verdict | None = None
    """The newest look at PagerDuty's webhook subscription; None where nobody looks."""
    refused: Mapping[Side, Sequence[RefusedDeliveries]] = field(default_factory=dict)
    """The newest deliveries of each side whose signature proved nothing, by reason."""
    untaken: int = 0
    """Inbox rows not yet taken in."""
    oldest_untaken_at: datetime | None = None
    """When the oldest of them was received."""
    open_breakers: frozenset[tuple[str, BreakerKind]] = frozenset()
    """Targets with an open breaker, and which of the two it is."""
    reconciled_at: datetime | None = None
    """When the worker's reconciliation last read everything it asked for; None while it is switched off."""
    swept_at: datetime | None = None
    """When retention last went through everything."""
    truthvouch_secret: int = 0
    """Which of its webhook secrets proved the newest authentic delivery, 0 = the newest."""
    pagerduty_secret: int = 0
    workers: Sequence[WorkerRules] = ()
    """By what rules each worker decides; also of some that are gone by now."""


@dataclass(frozen=True, slots=True)
class BudgetLeft:
    """What may be called with one key now."""

    key: str
    """Whose calls are counted: ``pagerduty-rest``; never the key itself."""
    calls: int | None
    """How many calls could go at once; None where no budget of our own is kept, only pauses."""
    pause_seconds: float = 0.0
    """For how long the partner asked us to rest; 0 = it did not."""
    part: str = ""
    """The calls that rest (``creates``), where not all of them do."""


class HealthSource(Protocol):
    """Reads the snapshot without locking anybody out. Raises ``StoreUnavailable``."""

    def read(self) -> HealthSnapshot: ...


class Meter(Protocol):
    """Counts what happens, for ``/metrics``. Never raises and never waits: a page matters more than its count.

    Labels are words from our own code, never text from outside, so that their number stays small.
    """

    def accepted(self, source: Side, seconds: float) -> None:
        """A delivery was stored, so many seconds after all of it was here."""

    def duplicated(self, source: Side) -> None: ...

    def refused(self, source: Side, reason: str) -> None:
        """A delivery was not stored; the sender was told so. ``reason``: a ``RefusedReason``."""

    def matched(self, source: Side, secret_index: int) -> None:
        """Which webhook secret proved a delivery (0 = newest): an old one still in use shows here."""

    def called(self, target: str, outcome: str) -> None:
        """A partner answered a call, or did not. ``outcome``: ``done``, or the reason word of the reply."""

    def delivered(self, target: str, seconds: float) -> None:
        """What was owed to this target is done, so many seconds after the event that caused it was accepted."""

    def paged(self, urgency: Urgency, seconds: float) -> None:
        """PagerDuty confirmed an incident, so many seconds after the event that asks for it was accepted."""

    def dropped(self, source: Source, reason: str) -> None:
        """An event was applied and moves nothing, or a severity was unknown: whatever is recorded under a reason
        word."""

    def parked(self, kind: str, reason: str) -> None:
        """A dead letter was written. ``kind``: ``event``, ``effect``, ``escalation``, or ``page``: an
        incident finally not opened."""

    def drifted(self, side: Side, outcome: str) -> None:
        """Reconciliation found a side to be elsewhere than we knew: ``moved``, ``write_lost``, ``missed``, ..."""

    def resubmitted(self, side: Side) -> None:
        """A delivery was owed and nobody would have made it: it was submitted again. Should never happen."""

    def escalated(self, outcome: str) -> None:
        """A level of our own escalation had its turn: ``moved``, ``nobody_on_call``, ``acknowledged``, ..."""


class RulebookSource(Protocol):
    """The rulebook in force: hot-reloaded, the last good one when the file is broken."""

    def current(self) -> Rulebook: ...


class Budget(Protocol):
    """What one key may call, shared by everything that calls with it. ``part`` names calls with a limit of their own
    besides (``creates``)."""

    def take(self, reserve: float = 0.0, part: str = "") -> float:
        """Take one call, and wait for it up to a second. 0 = make the call now; else nothing was taken, and the
        answer is the seconds after which asking again is worthwhile.

        ``reserve`` (0..1): the share of the burst left to more urgent callers. Raises ``StoreUnavailable``.
        """

    def pause(self, seconds: float, part: str = "") -> None:
        """The partner asked for a rest: nobody calls with this key (or for this part) until then; at most 300."""


@dataclass(frozen=True, slots=True)
class Order:
    """One delivery to be made: number ``seq`` of a link towards one side."""

    queue: str
    """The target: one dead target holds back only its own."""
    link_id: LinkId
    side: Side
    seq: int
    priority: int
    """1 (first) to 10."""
    delay_seconds: float | None = None
    """None = now."""


DeliveryRef = tuple[LinkId, Side, int]
"""A delivery: its link, its side, its number."""
URGENT_ORDER = 1
"""The priority of an order that waits for no other."""


@dataclass
class Asked:
    """Whether somebody wants a run now; shared between whoever wants it and whoever runs."""

    now: bool = False

    def ask(self) -> None:
        """Want one."""
        self.now = True


@dataclass(frozen=True)
class PeriodicTask:
    """Work that a worker does again and again, each in a thread of its own: reconciliation, retention."""

    name: str
    every_seconds: float
    """From the end of one run to the beginning of the next."""
    run: Callable[[], object]
    """May raise: that is logged, and the next run comes all the same."""
    first_after_seconds: float = 0.0
    leader_only: bool = True
    asked: Asked = field(default_factory=Asked)


class Engine(Protocol):
    """Durable delivery: what is submitted runs at least once, by one worker at a time, through any crash."""

    def submit(self, tx: Tx, orders: Sequence[Order]) -> None:
        """See that these deliveries are made once the caller's transaction has committed.

        One given twice may start twice; its link knows that it is done.
        """


class Claims(Protocol):
    """Deliveries that a worker makes at once, past the engine's queues: by whom, so that another can go on."""

    def claim(self, tx: Tx, executor_id: str, orders: Sequence[Order]) -> None: ...

    def release(self, tx: Tx, deliveries: Sequence[DeliveryRef]) -> None:
        """They have ended, or somebody else makes them."""

    def of(self, tx: Tx, executor_id: str) -> tuple[DeliveryRef, ...]:
        """What that worker has claimed, the urgent first."""

    def claimants(self, tx: Tx) -> frozenset[str]:
        """Every worker that has claimed something, dead ones included."""

    def claimed(self, tx: Tx, deliveries: Collection[DeliveryRef]) -> frozenset[DeliveryRef]:
        """Which of these are claimed by anybody."""


class StoreUnavailable(Exception):
    """Nothing can be stored now: disk full, database gone. The sender must try again."""


class LeaseLost(Exception):
    """The lock that lets this worker work is gone with its session: end, and acquire a new one."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One authentic webhook delivery, as bytes."""

    source: Source
    delivery_id: str
    received_at: datetime
    body: bytes
    request_id: str = ""
    content_encoding: str | None = None
    secret_index: int = 0
    """Which configured secret proved it, 0 = the newest at that time."""
    trace: str | None = None
    """The trace it belongs to, as ``remote.trace`` keeps it; None for what no webhook brought."""


@dataclass(frozen=True, slots=True)
class InboxRow:
    """A stored delivery and its place in the order of arrival."""

    inbox_id: int
    delivery: Delivery


class Inbox(Protocol):
    """The durable inbox. ``add`` returns only after fsync."""

    def add(self, delivery: Delivery) -> bool:
        """True if new, False if this (source, delivery id) is already stored; durable either way. Raises
        ``StoreUnavailable``."""

    def newest_of(self, source: Source, series: str) -> tuple[int, str] | None:
        """The newest delivery whose id begins with ``series`` (lower-case letters and digits) and goes on with a
        hexadecimal digit: its number and its id. Raises ``StoreUnavailable``."""

    def check_writable(self) -> None:
        """Write a row and take it back in one durable transaction. Raises ``StoreUnavailable``."""


class InboxReader(Protocol):
    """Intake's view of the inbox: in the order of arrival, each row taken once."""

    def waits(self) -> bool:
        """Whether there may be rows not yet taken in. Costs little, and locks nobody out."""

    def next_rows(self, tx: Tx, limit: int) -> tuple[InboxRow, ...]:
        """The oldest rows not yet taken in. On PostgreSQL they are locked: nobody else takes them in meanwhile."""

    def row(self, tx: Tx, inbox_id: int) -> InboxRow | None:
        """One row, taken or not; None when it is kept no more, or its body was erased."""

    def mark_taken(self, tx: Tx, rows: Sequence[InboxRow], at: datetime) -> None:
        """Commits with the effect of the rows, so that a row is taken exactly once."""


class Wakeup(Protocol):
    """Wakes the intake the moment a delivery is stored. A lost notification costs one poll interval, never an event."""

    def notify(self) -> None:
        """Never blocks, never raises."""

    def wait(self, timeout: float) -> bool:
        """True when notified since the last call, however often, or when it may have been; False after ``timeout``
        seconds."""


class RefusedReason(StrEnum):
    """Every reason for which a delivery is not stored."""

    SIGNATURE_MISSING = "signature_missing"
    SIGNATURE_MALFORMED = "signature_malformed"
    SIGNATURE_MISMATCH = "signature_mismatch"
    SIGNATURE_STALE = "signature_stale"
    """TruthVouch alone: PagerDuty's signatures carry no time."""
    NO_SECRET = "no_secret"
    BODY_INCOMPLETE = "body_incomplete"
    BODY_TOO_LARGE = "body_too_large"
    STORE_UNAVAILABLE = "store_unavailable"


class Refusal(Exception):
    """A delivery that is not authentic. ``reason`` is one snake_case word for logs and counters."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Verify(Protocol):
    """``inbound.verify``: prove the raw bytes, then read only the envelope.

    Raises ``Refusal`` and nothing else, whatever the bytes are.
    ``headers`` is any case-insensitive mapping; ``now`` is epoch seconds.
    """

    def __call__(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> Envelope: ...


class Read(Protocol):
    """``inbound.read``: the events in an authentic body. Never raises; at least one reading."""

    def __call__(self, body: bytes, content_encoding: str | None) -> tuple[Reading, ...]: ...


class Escalator(Protocol):
    """Escalates incidents: the sync core says what became of a link, in the same transaction, and nothing more."""

    def attached(self, tx: Tx, before: Link, link: Link, now: datetime) -> None:
        """A link may have learned which incident is its own."""

    def event_applied(
        self, tx: Tx, event: IncidentEvent, before: Sequence[Link], links: Sequence[Link], now: datetime
    ) -> Sequence[TimelineEntry]:
        """An event or a read of an incident was applied to the links that know it, if any."""

    def followed(
        self, tx: Tx, before: Link, link: Link, now: datetime, author: str | None = None
    ) -> Sequence[TimelineEntry]:
        """A link may have changed, but not by an event of its incident: by one of its alert, a delivery, an
        operator."""

    def execute(self, tx: Tx, command: Command, at: datetime) -> CommandOutcome:
        """What an operator asked for."""

    def about_dead_letter(
        self, tx: Tx, dead_letter: DeadLetter, command: Command, discards: bool, at: datetime
    ) -> CommandOutcome:
        """A dead letter about an escalation is replayed or discarded."""


class CommandHandler(Protocol):
    """The commands of one capability: what is certain about them, what does them, and what came of them."""

    def certain(self, tx: Tx, command: Command) -> CommandOutcome | None:
        """The outcome that is certain without asking the worker; None when there is none. ``tx`` may be one from
        ``read``."""

    def execute(self, tx: Tx, command: Command, at: datetime) -> CommandOutcome:
        """Do it, in the transaction that takes the command in: so it is done once."""

    def became(self, tx: Tx, command: Command) -> CommandOutcome:
        """The outcome of one that the worker has taken in, as the store shows it; ``tx`` may be one from ``read``."""


SHADOW_DIFFERS = "rules.shadow_differs"
"""The time line entry where a draft of the rules would have decided otherwise."""


class ShadowRules(Protocol):
    """A draft of the rules that is asked beside those in force."""

    def differs(self, live: Decision, alert: Alert, now: datetime) -> dict[str, Any] | None:
        """What the draft says otherwise about an alert, as facts for its time line; None when nothing.

        Silences are no part of the comparison: an alert that is silenced is not asked about.
        """
