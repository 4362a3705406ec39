"""A job is run: by a child process that does the work, and a worker that starts it, watches it and ends it.

The child reports how far it is and looks whether somebody wants it to end, once a second. The worker ends one that does
not listen, and notices one that died. Where the worker itself is gone, another finds a run without a sign of life and
begins it again. A run may write only while the job is running under its own ``run_id``, so one that was given up does
no harm when it comes back.
"""

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from app.ports import Asked, Clock, PeriodicTask, StoreUnavailable, Transactions, Tx, utc_now
from app.ports.jobs import Job, JobCancelled, JobKind, JobRefused, JobResult, Jobs, JobState, Runner

log = structlog.get_logger()

EVERY_SECONDS = 5.0
"""How often the leader looks for a job that nobody told it of."""
BEAT_SECONDS = 1.0
"""How often a run says that it lives and how far it is."""
POLL_SECONDS = 0.5
LOST_AFTER = timedelta(seconds=15)
"""A run without a sign of life for so long has no process any more."""
HUNG_AFTER = timedelta(seconds=60)
"""A process without a sign of life for so long is killed."""
CANCEL_WITHIN = timedelta(seconds=2)
"""What a run has to end by itself when somebody wants it to; then its process is killed."""
CANCEL_TEST_WITHIN = timedelta(seconds=60)
"""The same of a connection test, which resolves its incident first: by an event, and where that had no effect in half a
minute, by REST."""
MAX_STARTS = 2
"""A job is begun again once after its process died."""
MAX_RESULT_BYTES = 32 * 1024 * 1024
TEST_KILLED = "It was killed before it had ended: its test incident may still be open. Resolve it by hand in PagerDuty."
DIED = "Its process ended twice without a result, perhaps for want of memory: ask for less, a shorter time say."
BROKE = "It broke ({}): see the event job.failed in the worker's log."
TOO_LARGE = f"Its result is larger than {MAX_RESULT_BYTES // 1024**2} MiB: ask for less, a shorter time say."


class Child(Protocol):
    """A process that runs a job."""

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""

    def kill(self) -> None:
        """End it at once, and wait until it is gone. One that has ended stays so."""


@dataclass
class RunWaitingJobs:
    """The leader's: runs what waits, one after another, each in a child process."""

    transactions: Transactions
    jobs: Jobs
    start: Callable[[Job, str], Child]
    """Starts the process for this job and ``run_id``."""
    clock: Clock = utc_now
    pause: Callable[[float], None] = time.sleep

    def __call__(self) -> int:
        """Run all that wait; the answer is how many runs that were."""
        count = 0
        while claimed := self._claim():
            self._run(*claimed)
            count += 1
        return count

    def _claim(self) -> tuple[Job, str] | None:
        with self.transactions.read() as tx:
            if not self.jobs.is_any_pending(tx):
                return None
        run_id, now = secrets.token_hex(8), self.clock()
        with self.transactions.begin() as tx:
            running = self.jobs.running(tx)
            if running is not None:
                if running.seen_at is not None and now - running.seen_at < LOST_AFTER:
                    return None  # another worker's, which was the leader a moment ago
                self._died(tx, running, now)
            job = self.jobs.claim(tx, run_id, now)
        return (job, run_id) if job else None

    def _run(self, job: Job, run_id: str) -> None:
        log.info("job.started", job_id=job.job_id, kind=job.kind, by=job.asked_by, start=job.starts)
        child = self.start(job, run_id)
        try:
            while child.poll() is None:
                self.pause(POLL_SECONDS)
                if self._must_end(job, run_id):
                    break
        finally:
            child.kill()
        with self.transactions.begin() as tx:
            left = self.jobs.standing(tx, job.job_id)
            if left is not None and left.state is JobState.RUNNING and left.run_id == run_id:
                log.warning("job.process_ended", job_id=job.job_id, exit_code=child.poll())
                self._died(tx, left, self.clock())

    def _must_end(self, job: Job, run_id: str) -> bool:
        """Whether its process has to be killed: it does not listen, it hangs, or the job is not its own any more."""
        now = self.clock()
        try:
            with self.transactions.read() as tx:
                known = self.jobs.standing(tx, job.job_id)
        except StoreUnavailable:
            return False  # the job meets that itself
        if known is None or known.run_id != run_id:
            return True
        seen = known.seen_at or now
        asked = None if known.state.is_over else known.cancel_asked_at
        within = CANCEL_TEST_WITHIN if known.kind == JobKind.CONNECTION_TEST else CANCEL_WITHIN
        return (asked is not None and now - asked > within) or now - seen > HUNG_AFTER

    def _died(self, tx: Tx, job: Job, now: datetime) -> None:
        """A run left no result: it was to end, or it is begun again, or it was begun often enough."""
        run_id = job.run_id or ""
        if job.cancel_asked_at is not None:
            left = TEST_KILLED if job.kind == JobKind.CONNECTION_TEST else ""
            self.jobs.finish(tx, job.job_id, run_id, JobState.CANCELLED, now, left)
            log.info("job.cancelled", job_id=job.job_id)
        elif job.starts < MAX_STARTS:
            self.jobs.give_back(tx, job.job_id, run_id, counted=True)
            log.warning("job.lost", job_id=job.job_id, begun=job.starts)
        else:
            self.jobs.finish(tx, job.job_id, run_id, JobState.FAILED, now, DIED)
            log.error("job.failed", job_id=job.job_id, reason="process_ended")


def jobs_task(run_waiting: Callable[[], object], asked: Asked) -> PeriodicTask:
    """The run as the leader's periodic task: when somebody asked for a job, and every few seconds."""
    return PeriodicTask("jobs", EVERY_SECONDS, run_waiting, asked=asked)


@dataclass
class RunJob:
    """In the child: does one job and writes down what came of it."""

    transactions: Transactions
    jobs: Jobs
    runners: Mapping[str, Runner]
    """By ``JobKind``."""
    clock: Clock = utc_now
    beat_seconds: float = BEAT_SECONDS
    _progress: tuple[int, int] = field(default=(0, 0), init=False)
    _ended: threading.Event = field(default_factory=threading.Event, init=False)
    _cancelled: threading.Event = field(default_factory=threading.Event, init=False)

    def __call__(self, job_id: int, run_id: str) -> JobState | None:
        """How it ended; None where the job is not this run's."""
        with self.transactions.read() as tx:
            job = self.jobs.get(tx, job_id)
        if job is None or job.run_id != run_id or job.state is not JobState.RUNNING:
            return None
        heart = threading.Thread(target=self._beat, args=(job, run_id), name="job-heart", daemon=True)
        heart.start()
        try:
            state, failure, result = self._outcome(job)
        finally:
            self._ended.set()
        heart.join()
        return self._write_down(job, run_id, state, failure, result)

    def give_back(self, job_id: int, run_id: str) -> None:
        """The worker is gone in good order, or not: whoever leads next begins the job again."""
        with suppress(StoreUnavailable), self.transactions.begin() as tx:
            self.jobs.give_back(tx, job_id, run_id, counted=False)

    def _outcome(self, job: Job) -> tuple[JobState, str, JobResult | None]:
        try:
            result = self.runners[job.kind](job, self._report)
        except JobCancelled as ended:
            return JobState.CANCELLED, str(ended), None
        except JobRefused as refusal:
            return JobState.FAILED, str(refusal), None
        except MemoryError:
            return JobState.FAILED, "It needs more memory than a job may have: ask for less, a shorter time say.", None
        except Exception as fault:
            log.exception("job.failed", job_id=job.job_id, reason=type(fault).__name__)
            return JobState.FAILED, BROKE.format(type(fault).__name__), None
        if len(result.body) > MAX_RESULT_BYTES:
            return JobState.FAILED, TOO_LARGE, None
        return JobState.DONE, "", result

    def _report(self, done: int, total: int) -> None:
        """Implements ``ports.jobs.Progress``."""
        self._progress = (done, total)
        if self._cancelled.is_set():
            raise JobCancelled

    def _write_down(
        self, job: Job, run_id: str, state: JobState, failure: str, result: JobResult | None
    ) -> JobState | None:
        now, (done, total) = self.clock(), self._progress
        with self.transactions.begin() as tx:
            self.jobs.beat(tx, job.job_id, run_id, done, total, now)
            written = self.jobs.finish(tx, job.job_id, run_id, state, now, failure, result)
        log.info("job.finished", job_id=job.job_id, kind=job.kind, state=state.value, counted=written)
        return state if written else None

    def _beat(self, job: Job, run_id: str) -> None:
        """Once a second, until the work has ended. A store that is away for a while ends nothing."""
        while not self._ended.wait(self.beat_seconds):
            with suppress(StoreUnavailable):
                done, total = self._progress
                with self.transactions.begin() as tx:
                    ours = self.jobs.beat(tx, job.job_id, run_id, done, total, self.clock())
                    known = self.jobs.standing(tx, job.job_id)
                if not ours or known is None or known.cancel_asked_at is not None:
                    self._cancelled.set()
