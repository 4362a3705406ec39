"""Use case: somebody asks for a job, or for its end. What operators see of jobs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypedDict

from app.domain.model.events import Command, CommandOutcome, CommandType
from app.domain.model.text import clean
from app.ports import Clock, Page, Transactions, Tx, utc_now
from app.ports.jobs import Job, JobResult, Jobs, JobState

MAX_WAITING = 20
"""Jobs that may wait; more are refused. Each keeps a core busy for seconds to minutes."""
MAX_DIGITS = 18
"""A longer number is nobody's: no column could hold it."""


@dataclass(frozen=True)
class JobCommands:
    """Implements ``ports.CommandHandler`` for ``START_JOB`` and ``CANCEL_JOB``."""

    jobs: Jobs
    wake: Callable[[], None] = lambda: None
    """Says that there is something to run; what is lost of it costs a few seconds."""
    clock: Clock = utc_now
    """The worker's: what a run has left to end by itself is counted by the same clock."""

    def certain(self, tx: Tx, command: Command) -> CommandOutcome | None:
        """Of a start nothing but that too many wait."""
        if command.type is CommandType.CANCEL_JOB:
            job = self._job(tx, command)
            if job is None:
                return CommandOutcome.NO_SUCH_JOB
            return CommandOutcome.ALREADY_OVER if job.state.is_over else None
        return None if self._has_room(tx, command) else CommandOutcome.TOO_MANY

    def execute(self, tx: Tx, command: Command, at: datetime) -> CommandOutcome:
        """Queue it, or mark it."""
        if command.type is CommandType.CANCEL_JOB:
            certain = self.certain(tx, command)
            if certain is None and self.jobs.ask_to_cancel(tx, int(command.subject), self.clock()):
                self.wake()
                return CommandOutcome.CANCEL_ASKED
            return certain or CommandOutcome.ALREADY_OVER
        if not command.subject or not command.subject.isprintable():
            return CommandOutcome.INVALID
        if not self._has_room(tx, command):
            return CommandOutcome.TOO_MANY
        try:
            self.jobs.add(tx, command.subject, command.detail, at, clean(command.by), command.way)
        except ValueError:
            return CommandOutcome.INVALID
        self.wake()
        return CommandOutcome.QUEUED

    def became(self, tx: Tx, command: Command) -> CommandOutcome:
        """Whether it is there; whether its end was asked for."""
        if command.type is CommandType.CANCEL_JOB:
            job = self._job(tx, command)
            asked = job is not None and job.cancel_asked_at is not None
            return CommandOutcome.CANCEL_ASKED if asked else CommandOutcome.ALREADY_OVER
        if self.jobs.is_known(tx, command.subject):
            return CommandOutcome.QUEUED
        return CommandOutcome.NOT_TAKEN if self._has_room(tx, command) else CommandOutcome.TOO_MANY

    def _has_room(self, tx: Tx, command: Command) -> bool:
        return self.jobs.count_waiting(tx) < MAX_WAITING or self.jobs.is_known(tx, command.subject)

    def _job(self, tx: Tx, command: Command) -> Job | None:
        known = command.subject.isascii() and command.subject.isdecimal() and len(command.subject) <= MAX_DIGITS
        return self.jobs.standing(tx, int(command.subject)) if known else None


class JobRow(TypedDict):
    """A job for machines; never its parameters, which may hold a whole draft."""

    job_id: int
    kind: str
    """`backtest`, `report`, `replay`, `erase`, `repair`, `connection_test`, `reconcile`, or a kind of a newer
    version."""
    state: JobState
    done: int
    """Of `total`, which is 0 as long as nobody knows it."""
    total: int
    asked_at: datetime
    asked_by: str
    asked_way: str | None
    started_at: datetime | None
    finished_at: datetime | None
    cancel_asked_at: datetime | None
    failure: str
    """Why it failed, or what a cancelled one left behind; else empty."""
    result: str | None
    """The file name of what it made; null where there is none, or none any more."""


def job_row(job: Job) -> JobRow:
    """A job as values."""
    return JobRow(
        job_id=job.job_id, kind=job.kind, state=job.state, done=job.done, total=job.total, asked_at=job.asked_at,
        asked_by=job.asked_by, asked_way=job.asked_way, started_at=job.started_at, finished_at=job.finished_at,
        cancel_asked_at=job.cancel_asked_at, failure=job.failure, result=job.result_name,
    )  # fmt: skip


@dataclass(frozen=True)
class JobOverview:
    """Looks at jobs; changes nothing. Raises ``StoreUnavailable``."""

    transactions: Transactions
    jobs: Jobs

    def listed(self, page: Page) -> Sequence[Job]:
        """Newest first, without long parameters; ``page.after``: only those with a smaller number."""
        with self.transactions.read() as tx:
            return self.jobs.listed(tx, page)

    def job(self, job_id: int) -> Job | None:
        """One, with its parameters and without its result."""
        with self.transactions.read() as tx:
            return self.jobs.get(tx, job_id)

    def rows(self, page: Page) -> Sequence[JobRow]:
        """As ``listed``, as values."""
        return [job_row(job) for job in self.listed(page)]

    def row(self, job_id: int) -> JobRow | None:
        """As ``job``, as values."""
        with self.transactions.read() as tx:
            job = self.jobs.standing(tx, job_id)
        return job_row(job) if job else None

    def of_key(self, key: str) -> Job | None:
        """The one that was asked for under this key; None while the worker has not taken it in."""
        with self.transactions.read() as tx:
            return self.jobs.by_key(tx, key)

    def result(self, job_id: int) -> JobResult | None:
        """What it made, for a download; None where it made nothing, or nothing yet."""
        with self.transactions.read() as tx:
            return self.jobs.result(tx, job_id)
