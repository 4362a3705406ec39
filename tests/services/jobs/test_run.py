"""A job is run by a process that is watched: one that ends, dies, hangs or does not listen."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from app.ports.jobs import (
    ConnectionTestWanted,
    Job,
    JobCancelled,
    JobKind,
    JobRefused,
    JobResult,
    JobState,
    JobWanted,
    Progress,
    ReplayWanted,
    Runner,
)
from app.services.jobs import run as run_module
from app.services.jobs.run import (
    CANCEL_TEST_WITHIN,
    CANCEL_WITHIN,
    DIED,
    HUNG_AFTER,
    LOST_AFTER,
    MAX_STARTS,
    TEST_KILLED,
    TOO_LARGE,
    RunJob,
    RunWaitingJobs,
)
from app.store.jobs import StoredJobs, encode_job
from tests.rig import Rig

JOBS = StoredJobs()
REPLAY = ReplayWanted((1,))
RESULT = JobResult("replay.json", "application/json", b"{}")


def ends_with_one() -> int | None:
    return 1


@dataclass
class FakeChild:
    """A process that does something each time it is looked at, until it ends."""

    looks: list[Callable[[], int | None]]
    was_killed: bool = False
    code: int | None = None

    def poll(self) -> int | None:
        if self.code is None and self.looks:
            self.code = self.looks.pop(0)()
        return self.code

    def kill(self) -> None:
        if self.code is None:
            self.was_killed, self.code = True, -9


@dataclass
class Jobs:
    """A store with jobs, and a worker that runs them."""

    rig: Rig
    looks: Callable[[Job, str], list[Callable[[], int | None]]] = lambda _job, _run: [ends_with_one]
    children: list[FakeChild] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.worker = RunWaitingJobs(self.rig.database, JOBS, self.start, self.rig.clock, self.pass_time)

    def pass_time(self, seconds: float) -> None:
        self.rig.clock.move(seconds)

    def start(self, job: Job, run_id: str) -> FakeChild:
        self.children.append(FakeChild(self.looks(job, run_id)))
        return self.children[-1]

    def add(self, key: str = "k1", wanted: JobWanted = REPLAY) -> int:
        with self.rig.database.begin() as tx:
            JOBS.add(tx, key, encode_job(wanted), self.rig.clock(), "dana", "cli")
            job = JOBS.by_key(tx, key)
        assert job is not None
        return job.job_id

    def job(self, job_id: int = 1) -> Job:
        with self.rig.database.read() as tx:
            job = JOBS.get(tx, job_id)
        assert job is not None
        return job

    def finishing(self, job: Job, run_id: str) -> list[Callable[[], int | None]]:
        """Lives for one look, then ends with a result."""

        def finish() -> int:
            with self.rig.database.begin() as tx:
                JOBS.finish(tx, job.job_id, run_id, JobState.DONE, self.rig.clock(), result=RESULT)
            return 0

        return [lambda: None, finish]

    def cancel(self) -> None:
        with self.rig.database.begin() as tx:
            JOBS.ask_to_cancel(tx, 1, self.rig.clock())

    def beat(self, run_id: str) -> None:
        with self.rig.database.begin() as tx:
            JOBS.beat(tx, 1, run_id, 1, 2, self.rig.clock())


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(Rig(tmp_path))


def test_what_waits_is_run_one_after_another(jobs: Jobs):
    jobs.add("k1"), jobs.add("k2")
    jobs.looks = jobs.finishing
    assert 2 == jobs.worker()
    assert [JobState.DONE] * 2 == [jobs.job(number).state for number in (1, 2)]
    assert 0 == jobs.worker()


def test_a_process_that_dies_is_begun_again_once_and_then_the_job_has_failed(jobs: Jobs):
    jobs.add()
    assert MAX_STARTS == jobs.worker()
    assert (JobState.FAILED, DIED, MAX_STARTS) == (jobs.job().state, jobs.job().failure, jobs.job().starts)


def test_a_process_that_hangs_is_killed(jobs: Jobs):
    jobs.add()
    forever: list[Callable[[], int | None]] = [lambda: None] * 1000
    jobs.looks = lambda _job, _run: list(forever)
    began = jobs.rig.clock()
    jobs.worker()
    assert [True, True] == [child.was_killed for child in jobs.children]
    assert jobs.rig.clock() - began >= 2 * HUNG_AFTER


@pytest.mark.parametrize(
    ("wanted", "within", "left"),
    [(REPLAY, CANCEL_WITHIN, ""), (ConnectionTestWanted(), CANCEL_TEST_WITHIN, TEST_KILLED)],
)
def test_one_that_does_not_listen_is_killed_some_time_after_somebody_wanted_it_to_end(
    jobs: Jobs, wanted: JobWanted, within: timedelta, left: str
):
    jobs.add(wanted=wanted)

    def looks(_job: Job, run_id: str) -> list[Callable[[], int | None]]:
        def beat() -> None:
            jobs.beat(run_id)

        return [jobs.cancel, *[beat] * 1000]

    jobs.looks = looks
    began = jobs.rig.clock()
    jobs.worker()
    assert (JobState.CANCELLED, [True]) == (jobs.job().state, [child.was_killed for child in jobs.children])
    assert within < jobs.rig.clock() - began < within + timedelta(seconds=3)
    assert left == jobs.job().failure


def test_a_job_that_another_run_has_is_left_alone_until_it_is_lost(jobs: Jobs):
    jobs.add()
    with jobs.rig.database.begin() as tx:
        JOBS.claim(tx, "elsewhere", jobs.rig.clock())
    jobs.looks = jobs.finishing
    assert 0 == jobs.worker()
    jobs.rig.clock.move(LOST_AFTER.total_seconds())
    assert 1 == jobs.worker()
    assert (JobState.DONE, 2) == (jobs.job().state, jobs.job().starts)


def test_a_job_whose_worker_ended_is_begun_again_without_being_counted(jobs: Jobs):
    jobs.add()
    with jobs.rig.database.begin() as tx:
        JOBS.claim(tx, "first", jobs.rig.clock())
    RunJob(jobs.rig.database, JOBS, {}).give_back(1, "first")
    assert (JobState.WAITING, 0) == (jobs.job().state, jobs.job().starts)


# ------------------------------------------------------------------------------------------------------- in the child


def done_by(jobs: Jobs, runner: Runner, beat_seconds: float = 60.0) -> Job:
    jobs.add()
    with jobs.rig.database.begin() as tx:
        JOBS.claim(tx, "run-1", jobs.rig.clock())
    RunJob(jobs.rig.database, JOBS, {JobKind.REPLAY: runner}, jobs.rig.clock, beat_seconds)(1, "run-1")
    return jobs.job()


def test_a_result_is_written_with_how_far_it_came(jobs: Jobs):
    def runner(_job: Job, progress: Progress) -> JobResult:
        progress(7, 7)
        return RESULT

    job = done_by(jobs, runner)
    assert (JobState.DONE, 7, 7, "replay.json") == (job.state, job.done, job.total, job.result_name)


@pytest.mark.parametrize(
    ("fault", "state", "sentence"),
    [
        (JobRefused("There is no such period."), JobState.FAILED, "There is no such period."),
        (JobCancelled(), JobState.CANCELLED, ""),
        (JobCancelled("It left Q1 open."), JobState.CANCELLED, "It left Q1 open."),
        (MemoryError(), JobState.FAILED, "It needs more memory than a job may have: ask for less, a shorter time say."),
        (ZeroDivisionError("a secret"), JobState.FAILED, "It broke (ZeroDivisionError): see the event job.failed"),
    ],
)
def test_a_job_that_fails_says_why_in_one_sentence(jobs: Jobs, fault: Exception, state: JobState, sentence: str):
    def runner(_job: Job, _progress: Progress) -> JobResult:
        raise fault

    job = done_by(jobs, runner)
    assert state is job.state
    assert job.failure.startswith(sentence)
    assert "secret" not in job.failure


def test_a_result_that_is_too_large_is_not_kept(jobs: Jobs, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(run_module, "MAX_RESULT_BYTES", 1)
    job = done_by(jobs, lambda _job, _progress: RESULT)
    assert (JobState.FAILED, TOO_LARGE, None) == (job.state, job.failure, job.result_name)


def test_a_run_sees_that_somebody_wants_it_to_end(jobs: Jobs):
    asked = threading.Event()

    def runner(_job: Job, progress: Progress) -> JobResult:
        jobs.cancel()
        asked.set()
        for count in range(10_000_000):
            progress(count, 0)
        raise AssertionError("nobody told it")

    assert JobState.CANCELLED is done_by(jobs, runner, beat_seconds=0.01).state
    assert asked.is_set()


def test_a_run_that_lost_its_job_does_nothing(jobs: Jobs):
    jobs.add()
    assert RunJob(jobs.rig.database, JOBS, {})(1, "run-1") is None
    assert JobState.WAITING is jobs.job().state
