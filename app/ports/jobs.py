"""Long work: a job is a row of the store, run by a child process of the worker, one at a time over all machines."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from app.domain.model.types import Side
from app.ports.console import LinkFilter
from app.ports.store import Page, Tx


class JobKind(StrEnum):
    """What kinds of long work there are."""

    BACKTEST = "backtest"
    REPORT = "report"
    REPLAY = "replay"
    ERASE = "erase"
    REPAIR = "repair"
    CONNECTION_TEST = "connection_test"
    RECONCILE = "reconcile"


class JobState(StrEnum):
    """How a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        """Whether nothing more comes of it."""
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class ReportFormat(StrEnum):
    """What a report is written as."""

    JSON = "json"
    CSV = "csv"
    HTML = "html"


@dataclass(frozen=True, slots=True)
class BacktestWanted:
    """A draft over the stored alerts; the result is JSON, as ``truthvouch rules backtest --json`` writes it."""

    since: datetime
    until: datetime
    draft: str = ""
    """The name of a stored draft; empty: ``text``."""
    text: str = ""
    """The draft itself, as ``bridge.yaml`` would have it; empty with no ``draft``: the rules in force."""


@dataclass(frozen=True, slots=True)
class ReportWanted:
    """A report of a period. What is empty is what ``truthvouch report`` takes without the option."""

    form: ReportFormat = ReportFormat.HTML
    service_id: str | None = None
    period: str = "monthly"
    start: str | None = None
    """First day, as ``2026-03-01``, instead of ``period``."""
    end: str | None = None
    previous: bool = False
    time_zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class ReplayWanted:
    """Dead letters to be tried again; the result is JSON: how many came to which outcome."""

    dead_letters: tuple[int, ...] = ()
    """By number; empty: all open ones that the rest describes."""
    reason: str = ""
    side: Side | None = None


@dataclass(frozen=True, slots=True)
class EraseWanted:
    """Alerts whose evidence is erased; the result is JSON: how many came to which outcome."""

    alerts: tuple[str, ...] = ()
    """By id; empty: all that ``chosen`` finds."""
    chosen: LinkFilter | None = None
    """Its ``limit`` counts for nothing, and its ``text`` is empty: words of an alert are kept nowhere."""


@dataclass(frozen=True, slots=True)
class RepairWanted:
    """What ``truthvouch doctor --repair`` does; the result is JSON, the findings."""


@dataclass(frozen=True, slots=True)
class ConnectionTestWanted:
    """What ``truthvouch config pagerduty --test`` does; the result is JSON, the findings."""


@dataclass(frozen=True, slots=True)
class ReconcileWanted:
    """What ``truthvouch reconcile`` does; the result is JSON, as it writes it."""

    dry_run: bool = False
    since: datetime | None = None


JobWanted = (
    BacktestWanted | ReportWanted | ReplayWanted | EraseWanted | RepairWanted | ConnectionTestWanted | ReconcileWanted
)

KINDS: Mapping[type[JobWanted], JobKind] = {
    BacktestWanted: JobKind.BACKTEST,
    ReportWanted: JobKind.REPORT,
    ReplayWanted: JobKind.REPLAY,
    EraseWanted: JobKind.ERASE,
    RepairWanted: JobKind.REPAIR,
    ConnectionTestWanted: JobKind.CONNECTION_TEST,
    ReconcileWanted: JobKind.RECONCILE,
}
"""The kind of job that parameters of a type belong to."""


@dataclass(frozen=True, slots=True)
class Job:
    """One job without its result."""

    job_id: int
    key: str
    """Chosen by whoever asked: asking again under the same key asks nothing new."""
    kind: str
    """A ``JobKind``, or what a newer version calls one of its own."""
    wanted: JobWanted | None
    """None where it was not read, and where this version does not know the kind."""
    state: JobState
    asked_at: datetime
    asked_by: str
    asked_way: str | None = None
    """A ``Way``."""
    starts: int = 0
    """How often it was begun; a run that was given back in good order does not count."""
    run_id: str | None = None
    """Of the run that may write about it; None while it waits."""
    started_at: datetime | None = None
    seen_at: datetime | None = None
    """The newest sign of life of its process."""
    done: int = 0
    total: int = 0
    """What ``done`` counts towards; 0 = not known yet."""
    cancel_asked_at: datetime | None = None
    finished_at: datetime | None = None
    failure: str = ""
    """Why it failed, as one sentence; of one that was cancelled, what it left behind."""
    result_name: str | None = None
    """The file name of its result; None where there is none."""
    result_type: str | None = None


@dataclass(frozen=True, slots=True)
class JobResult:
    """What a job made, for a download or a page."""

    name: str
    """A file name."""
    content_type: str
    body: bytes


class JobRefused(Exception):
    """A job cannot be done; the text is one sentence for whoever asked."""


class JobCancelled(Exception):
    """Somebody wants the job to end: raised where it reports progress. The text says what it leaves behind, if anything
    that somebody has to see to."""


Progress = Callable[[int, int], None]
"""Told how much is done and how much there is; cheap, may be called often. Raises ``JobCancelled``."""
Runner = Callable[[Job, Progress], JobResult]
"""Does the work of one kind. Raises ``JobRefused``, ``JobCancelled`` and whatever breaks."""


class Jobs(Protocol):
    """The rows. What a run writes counts only while the job is running under its ``run_id``."""

    def add(self, tx: Tx, key: str, text: str, at: datetime, by: str, way: str | None) -> bool:
        """Queue what ``encode_job`` made; False where the key is known. Raises ``ValueError`` for another text."""

    def get(self, tx: Tx, job_id: int) -> Job | None: ...
    def by_key(self, tx: Tx, key: str) -> Job | None: ...
    def is_known(self, tx: Tx, key: str) -> bool: ...

    def standing(self, tx: Tx, job_id: int) -> Job | None:
        """How it stands: without ``wanted``, which may be a whole draft."""

    def listed(self, tx: Tx, page: Page) -> Sequence[Job]:
        """Newest first, ``wanted`` only where it is short; ``page.after``: only those with a smaller number."""

    def result(self, tx: Tx, job_id: int) -> JobResult | None:
        """None where there is none, or none any more."""

    def count_waiting(self, tx: Tx) -> int:
        """How many wait that this version can run."""

    def is_any_pending(self, tx: Tx) -> bool:
        """Whether any waits that this version can run, or any is marked as running."""

    def running(self, tx: Tx) -> Job | None:
        """The one that is marked as running, locked, without ``wanted``."""

    def claim(self, tx: Tx, run_id: str, now: datetime) -> Job | None:
        """Mark the oldest that waits as running, of the kinds that this version knows; None where none waits, or one
        runs already. Without ``wanted``."""

    def beat(self, tx: Tx, job_id: int, run_id: str, done: int, total: int, now: datetime) -> bool:
        """A sign of life; False where the job is not this run's any more."""

    def ask_to_cancel(self, tx: Tx, job_id: int, now: datetime) -> bool:
        """One that waits is cancelled at once, one that runs soon. False where it is over, or nobody knows it."""

    def give_back(self, tx: Tx, job_id: int, run_id: str, counted: bool) -> bool:
        """It waits again. ``counted``: the start counts."""

    def finish(
        self,
        tx: Tx,
        job_id: int,
        run_id: str,
        state: JobState,
        now: datetime,
        failure: str = "",
        result: JobResult | None = None,
    ) -> bool:
        """It is over; False where it was not this run's any more."""
