"""The bridge as it runs: its engine, its pulse, its counters and its rulebook."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from app.domain.names import LinkId, Side, Source
from app.domain.proof import RefusedDeliveries
from app.domain.rulebook import Rulebook
from app.domain.subscription import Verdict
from app.ports.memory import Tx


@dataclass(frozen=True, slots=True)
class Pulse:
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
    holds: Mapping[str, str] = field(default_factory=dict)
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


class Vitals(Protocol):
    """Reads the pulse without locking anybody out. Raises ``StoreUnavailable``."""

    def read(self) -> Pulse: ...


class Meter(Protocol):
    """Counts what happens, for ``/metrics``. Never raises and never waits: a page matters more than its count.

    Labels are words from our own code, never text from outside, so that their number stays small.
    """

    def accepted(self, source: Side) -> None:
        """A delivery was stored."""
        ...

    def duplicated(self, source: Side) -> None:
        """A delivery was already stored."""
        ...

    def refused(self, source: Side, reason: str) -> None:
        """A delivery was not stored; the sender was told so."""
        ...

    def matched(self, source: Side, secret_index: int) -> None:
        """Which webhook secret proved a delivery (0 = newest): an old one still in use shows here."""
        ...

    def called(self, target: str, outcome: str) -> None:
        """A partner answered a call, or did not. ``outcome``: ``done``, or the reason word of the reply."""
        ...

    def delivered(self, target: str, seconds: float) -> None:
        """What was owed to this target is done, so many seconds after the word that caused it was accepted."""
        ...

    def dropped(self, source: Source, reason: str) -> None:
        """A word was heard and moves nothing, or a severity was unknown: whatever is recorded under a reason word."""
        ...

    def parked(self, kind: str, reason: str) -> None:
        """A dead letter was written. ``kind``: ``event``, ``effect``, ``escalation``, or ``page``: an
        incident finally not opened."""
        ...

    def drifted(self, side: Side, outcome: str) -> None:
        """Reconciliation found a side to be elsewhere than we knew: ``moved``, ``not_kept``, ``missed``, ..."""
        ...

    def resubmitted(self, side: Side) -> None:
        """A delivery was owed and nobody would have made it: it was submitted again. Should never happen."""
        ...

    def escalated(self, outcome: str) -> None:
        """A level of our own escalation had its turn: ``moved``, ``nobody_on_call``, ``acknowledged``, ..."""
        ...


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
        ...

    def pause(self, seconds: float, part: str = "") -> None:
        """The partner asked for a rest: nobody calls with this key (or for this part) until then; at most 300."""
        ...


@dataclass(frozen=True, slots=True)
class Order:
    """One delivery to be made: number ``seq`` of a link's lane."""

    queue: str
    """The target: one dead target holds back only its own."""
    link_id: LinkId
    side: Side
    seq: int
    priority: int
    """1 (first) to 10."""
    delay_seconds: float | None = None
    """None = now."""


@dataclass
class Asked:
    """Whether somebody wants a run now; shared between whoever wants it and whoever runs."""

    now: bool = False

    def ask(self) -> None:
        """Want one."""
        self.now = True


@dataclass(frozen=True)
class Round:
    """Work that a worker does again and again, each in a thread of its own: reconciliation, retention."""

    name: str
    every_seconds: float
    """From the end of one run to the beginning of the next."""
    run: Callable[[], None]
    """May raise: that is logged, and the next run comes all the same."""
    first_after_seconds: float = 0.0
    leader_only: bool = True
    asked: Asked = field(default_factory=Asked)


class Engine(Protocol):
    """Durable delivery: what is submitted runs at least once, by one worker at a time, through any crash."""

    def submit(self, tx: Tx, orders: Sequence[Order]) -> None:
        """Enqueue deliveries in the caller's transaction.

        One given twice may start twice; the lane of its link knows that it is done.
        """
        ...

    def wake(self) -> None:
        """Say that something was committed, so that it starts now and not at the next poll."""
        ...
