"""Jobs as rows: one runs at a time, and only the run that has it may write."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta

import pytest
import sqlalchemy as sa

from app.domain.model.events import Way
from app.domain.model.types import Side
from app.ports import Page, Tx
from app.ports.console import AuditEntry, AuditFilter, LinkFilter, SubjectKind
from app.ports.jobs import (
    BacktestWanted,
    ConnectionTestWanted,
    EraseWanted,
    Job,
    JobResult,
    JobState,
    JobWanted,
    ReconcileWanted,
    RepairWanted,
    ReplayWanted,
    ReportFormat,
    ReportWanted,
)
from app.store.database import connection
from app.store.jobs import LISTED_CHARS, StoredAudit, StoredJobs, decode_job, encode_job
from app.store.schema import jobs
from tests.fakes import START
from tests.store.conftest import Stores

JOBS, AUDIT = StoredJobs(), StoredAudit()
WANTED: list[JobWanted] = [
    BacktestWanted(START, START + timedelta(days=1), "calm", "severity_map: {}"),
    ReportWanted(ReportFormat.CSV, "PMAIN", "weekly", "2026-01-01", None, True, "Europe/Berlin"),
    ReplayWanted((1, 2), "refused", Side.TRUTHVOUCH),
    EraseWanted(("a1", "a2")),
    EraseWanted(chosen=LinkFilter(is_open=False, severity="low", since=START, before=7)),
    RepairWanted(),
    ConnectionTestWanted(),
    ReconcileWanted(True, START),
]


@contextmanager
def begun(stores: Stores) -> Iterator[Tx]:
    with stores.bridge.begin() as tx:
        yield tx


def queued(stores: Stores, key: str = "k1", wanted: JobWanted = WANTED[0]) -> Job:
    with begun(stores) as tx:
        JOBS.add(tx, key, encode_job(wanted), START, "dana", "console")
        job = JOBS.by_key(tx, key)
    assert job is not None
    return job


def claimed(stores: Stores, run_id: str = "run-1") -> Job | None:
    with begun(stores) as tx:
        return JOBS.claim(tx, run_id, START)


def now_is(stores: Stores, job: Job) -> Job:
    with stores.bridge.read() as tx:
        found = JOBS.get(tx, job.job_id)
    assert found is not None
    return found


@pytest.mark.parametrize("wanted", WANTED)
def test_what_was_asked_comes_back_as_it_was(stores: Stores, wanted: JobWanted):
    job = queued(stores, wanted=wanted)
    assert (wanted, JobState.WAITING, "dana", "console") == (job.wanted, job.state, job.asked_by, job.asked_way)


@pytest.mark.parametrize("text", ["", "nonsense {}", "report [1]", "backtest {}", 'replay {"dead_letters": "all"}'])
def test_what_is_no_job_is_refused(text: str):
    with pytest.raises(ValueError):
        decode_job(text)


def test_a_key_asks_once(stores: Stores):
    with begun(stores) as tx:
        added = [JOBS.add(tx, "k1", encode_job(one), START, "dana", None) for one in WANTED[:2]]
        assert ([True, False], 1) == (added, JOBS.count_waiting(tx))


def test_the_oldest_that_waits_is_claimed_and_one_runs_at_a_time(stores: Stores):
    first, second = queued(stores, "k1"), queued(stores, "k2")
    job = claimed(stores)
    assert job is not None
    assert (first.job_id, JobState.RUNNING, 1) == (job.job_id, job.state, job.starts)
    assert claimed(stores, "run-2") is None
    with begun(stores) as tx:
        assert JOBS.finish(tx, first.job_id, "run-1", JobState.DONE, START)
    job = claimed(stores, "run-2")
    assert job is not None
    assert second.job_id == job.job_id


@pytest.mark.parametrize("stores", ["postgresql"], indirect=True)
def test_two_workers_that_claim_at_once_run_one_job(stores: Stores):
    queued(stores, "k1"), queued(stores, "k2")
    with ThreadPoolExecutor(1) as other, begun(stores) as first:
        assert JOBS.claim(first, "run-1", START) is not None
        second = other.submit(claimed, stores, "run-2")
        with pytest.raises(TimeoutError):  # it waits for the row that the first has
            second.result(0.5)
    assert second.result(10) is None


def test_the_store_itself_lets_one_run_at_a_time(stores: Stores):
    for key in ("k1", "k2"):
        queued(stores, key)
    assert claimed(stores) is not None
    with pytest.raises(sa.exc.IntegrityError), begun(stores) as tx:
        connection(tx).execute(sa.update(jobs).values(state=JobState.RUNNING.value))


def test_only_the_run_that_has_it_writes(stores: Stores):
    job = queued(stores)
    claimed(stores)
    later = START + timedelta(seconds=3)
    with begun(stores) as tx:
        assert JOBS.beat(tx, job.job_id, "run-1", 3, 10, later)
        assert not JOBS.beat(tx, job.job_id, "run-0", 9, 10, later)
        assert not JOBS.finish(tx, job.job_id, "run-0", JobState.DONE, later)
        assert not JOBS.give_back(tx, job.job_id, "run-0", counted=True)
    found = now_is(stores, job)
    assert (3, 10, later, JobState.RUNNING) == (found.done, found.total, found.seen_at, found.state)


@pytest.mark.parametrize(("counted", "starts"), [(True, 1), (False, 0)])
def test_a_job_that_is_given_back_waits_again(stores: Stores, counted: bool, starts: int):
    job = queued(stores)
    claimed(stores)
    with begun(stores) as tx:
        assert JOBS.give_back(tx, job.job_id, "run-1", counted)
        assert JOBS.is_any_pending(tx)
    found = now_is(stores, job)
    assert (JobState.WAITING, None, starts) == (found.state, found.run_id, found.starts)


def test_a_result_is_kept_as_it_was_made(stores: Stores):
    job = queued(stores)
    claimed(stores)
    made = JobResult("report.csv", "text/csv", bytes(range(256)) * 10)
    with begun(stores) as tx:
        assert JOBS.result(tx, job.job_id) is None
        assert JOBS.finish(tx, job.job_id, "run-1", JobState.DONE, START, result=made)
        assert made == JOBS.result(tx, job.job_id)
        assert not JOBS.is_any_pending(tx)


def test_one_that_waits_is_cancelled_at_once_and_one_that_runs_is_asked(stores: Stores):
    first, second = queued(stores, "k1"), queued(stores, "k2")
    claimed(stores)
    with begun(stores) as tx:
        assert [True, True, True] == [JOBS.ask_to_cancel(tx, job.job_id, START) for job in (second, first, first)]
        assert not JOBS.ask_to_cancel(tx, 999, START)
        assert not JOBS.ask_to_cancel(tx, second.job_id, START)
    assert (JobState.CANCELLED, START) == (now_is(stores, second).state, now_is(stores, second).finished_at)
    assert (JobState.RUNNING, START) == (now_is(stores, first).state, now_is(stores, first).cancel_asked_at)


def test_jobs_are_listed_newest_first_a_page_at_a_time(stores: Stores):
    ids = [queued(stores, f"k{number}").job_id for number in range(5)]
    with stores.bridge.read() as tx:
        assert ids[:2:-1] == [job.job_id for job in JOBS.listed(tx, Page(2))]
        assert ids[2:0:-1] == [job.job_id for job in JOBS.listed(tx, Page(2, ids[3]))]


def test_long_parameters_are_read_only_where_the_job_is_run_or_shown(stores: Stores):
    short, long = WANTED[0], BacktestWanted(START, START + timedelta(days=1), text="# ä\n" * LISTED_CHARS)
    ids = [queued(stores, f"k{number}", wanted).job_id for number, wanted in enumerate((short, long))]
    with begun(stores) as tx:
        assert [None, short] == [job.wanted for job in JOBS.listed(tx, Page(2))]
        assert [short, long] == [job.wanted for number in ids if (job := JOBS.get(tx, number))]
        assert [None, None] == [job.wanted for number in ids if (job := JOBS.standing(tx, number))]
        assert [True, False] == [JOBS.is_known(tx, key) for key in ("k1", "k2")]
        for job in (JOBS.claim(tx, "run-1", START), JOBS.running(tx)):
            assert job is not None
            assert (ids[0], None) == (job.job_id, job.wanted)


def test_a_job_of_a_newer_version_waits_and_is_listed_as_what_it_is(stores: Stores):
    newer = queued(stores, "k1")
    with begun(stores) as tx:
        connection(tx).execute(sa.update(jobs).values(kind="audit_export", parameters='{"days": 7}'))
        assert not JOBS.is_any_pending(tx)
        assert JOBS.claim(tx, "run-1", START) is None
    known = queued(stores, "k2")
    with begun(stores) as tx:
        claimed = JOBS.claim(tx, "run-1", START)
        assert claimed is not None
        assert known.job_id == claimed.job_id
        for job in (JOBS.get(tx, newer.job_id), JOBS.by_key(tx, "k1"), JOBS.listed(tx, Page(2))[1]):
            assert job is not None
            assert ("audit_export", None, JobState.WAITING) == (job.kind, job.wanted, job.state)


def test_a_job_of_a_newer_version_whose_worker_died_is_given_back(stores: Stores):
    queued(stores)
    claimed(stores)
    with begun(stores) as tx:
        connection(tx).execute(sa.update(jobs).values(kind="audit_export"))
        running = JOBS.running(tx)
        assert running is not None
        assert JOBS.give_back(tx, running.job_id, "run-1", counted=True)


# ---------------------------------------------------------------------------------------------------------- audit


def acted(actor: str, subject: str, hours: int = 0, action: str = "replay") -> AuditEntry:
    at = START + timedelta(hours=hours)
    return AuditEntry(at, actor, Way.CONSOLE, action, SubjectKind.DEAD_LETTER, subject, "replayed")


@pytest.mark.parametrize(
    ("wanted", "subjects"),
    [
        (AuditFilter(), ["4", "3", "2", "1"]),
        (AuditFilter(limit=2), ["4", "3"]),
        (AuditFilter(actor="dana"), ["3", "1"]),
        (AuditFilter(subject="2"), ["2"]),
        (AuditFilter(since=START + timedelta(hours=3)), ["4", "3"]),
        (AuditFilter(actor="dana", before=3), ["1"]),
    ],
)
def test_what_people_did_is_found_newest_first(stores: Stores, wanted: AuditFilter, subjects: list[str]):
    with begun(stores) as tx:
        for number in range(1, 5):
            AUDIT.write(tx, acted("dana" if number % 2 else "li", str(number), number))
        assert subjects == [entry.subject for entry in AUDIT.find(tx, wanted)]


def test_a_line_of_the_log_stays_a_line(stores: Stores):
    with begun(stores) as tx:
        AUDIT.write(tx, acted("da\x00na\ud800", "x" * 5000))
        (entry,) = AUDIT.find(tx, AuditFilter())
    assert (300, "\x00" in entry.actor) == (len(entry.subject), False)
