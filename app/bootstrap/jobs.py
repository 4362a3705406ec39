"""Jobs, wired: what does the work of each kind."""

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from app.bootstrap.container import Container
from app.bootstrap.rules import parsed_draft
from app.domain.model.events import CommandType, Way
from app.domain.rules.rulebook import Rulebook
from app.errors import ConfigFault
from app.ports import Page
from app.ports.console import LinkFilter, SubjectKind
from app.ports.jobs import (
    BacktestWanted,
    EraseWanted,
    Job,
    JobCancelled,
    JobKind,
    JobRefused,
    JobResult,
    Progress,
    ReconcileWanted,
    ReplayWanted,
    ReportWanted,
    Runner,
)
from app.services.jobs.run import RunJob
from app.services.reconciliation.context import shown
from app.services.rules.rulebook import backtested
from app.store.jobs import StoredJobs

if TYPE_CHECKING:
    from app.services.diagnostics.doctor import Finding

ASKED_AT_ONCE = 20
"""Commands that are in the inbox at a time: what arrives meanwhile waits behind no more."""
ASKED_TIMEOUT_SECONDS = 60.0
"""How long each of them may wait for the worker."""
LISTED_AT_ONCE = 500
JSON_TYPE = "application/json"

Report = Callable[[Container, ReportWanted, Progress], JobResult]
"""Makes a report. Raises ``JobRefused``. It comes from the command, which alone knows how reports look."""


def run_job(made: Container, report: Report) -> RunJob:
    """What the child process does."""

    def reporting(job: Job, progress: Progress) -> JobResult:
        assert isinstance(job.wanted, ReportWanted)
        return report(made, job.wanted, progress)

    runners: Mapping[str, Runner] = {
        JobKind.BACKTEST: lambda job, progress: _backtest(made, job, progress),
        JobKind.REPORT: reporting,
        JobKind.REPLAY: lambda job, progress: _replay(made, job, progress),
        JobKind.ERASE: lambda job, progress: _erase(made, job, progress),
        JobKind.REPAIR: lambda job, progress: _repair(made, job, progress),
        JobKind.CONNECTION_TEST: lambda job, progress: _connection_test(made, job, progress),
        JobKind.RECONCILE: lambda job, progress: _reconcile(made, job, progress),
    }
    return RunJob(made.database, StoredJobs(), runners)


def _backtest(made: Container, job: Job, progress: Progress) -> JobResult:
    wanted = job.wanted
    assert isinstance(wanted, BacktestWanted)
    live = made.rulebook.current()
    name, draft = _draft(made, wanted, live)
    found = made.backtests.run(live, draft, wanted.since, wanted.until, progress)
    shown = backtested(found, wanted.since, wanted.until, str(made.settings.config_path), name)
    return _json(f"truthvouch-backtest-{job.job_id}.json", shown)


def _draft(made: Container, wanted: BacktestWanted, live: Rulebook) -> tuple[str, Rulebook]:
    """What it is called, and what it says."""
    text = wanted.text
    if wanted.draft:
        with made.database.read() as tx:
            stored = made.stored_rules.draft(tx, wanted.draft)
        if stored is None:
            raise JobRefused(f"There is no draft {wanted.draft!r} in the store any more.")
        text = stored.text
    if not text:
        return str(made.settings.config_path), live
    name = wanted.draft or "the draft"
    try:
        return name, parsed_draft(made.settings, text, name, live)
    except ConfigFault as fault:
        raise JobRefused(f"The draft is refused: {' '.join(str(fault).split())}") from fault


def _replay(made: Container, job: Job, progress: Progress) -> JobResult:
    wanted = job.wanted
    assert isinstance(wanted, ReplayWanted)
    numbers = [str(number) for number in wanted.dead_letters or _open_ones(made, wanted)]
    outcomes, left = _asked_of_each(made, job, CommandType.REPLAY, numbers, ("replayed", "nothing_to_do"), progress)
    shown = {"dead_letters": len(numbers), "outcomes": outcomes, "not_replayed": left}
    return _json(f"truthvouch-replay-{job.job_id}.json", shown)


def _asked_of_each(
    made: Container, job: Job, command: CommandType, subjects: Sequence[str], good: Sequence[str], progress: Progress
) -> tuple[Mapping[str, int], Mapping[str, str]]:
    """How many came to which outcome, and what became of those of which it was no ``good`` one. Asked in the name of
    whoever asked for the job, under keys of its own: asking again asks nothing twice."""
    operate = made.operate_as(job.asked_by, ASKED_TIMEOUT_SECONDS, Way(job.asked_way) if job.asked_way else None)
    outcomes: Counter[str] = Counter()
    left: dict[str, str] = {}
    progress(0, len(subjects))
    for begin in range(0, len(subjects), ASKED_AT_ONCE):
        for result in operate.all(command, subjects[begin : begin + ASKED_AT_ONCE], key=f"job-{job.key}"):
            outcomes[result.outcome or "stored"] += 1
            if result.outcome not in good:
                left[result.subject] = result.outcome or "stored"
        progress(outcomes.total(), len(subjects))
    return dict(outcomes.most_common()), left


def _open_ones(made: Container, wanted: ReplayWanted) -> tuple[int, ...]:
    """The numbers of the open dead letters that are meant, oldest first."""
    found: list[int] = []
    after = 0
    while rows := made.overview.dead_letters(Page(LISTED_AT_ONCE, after)):
        after = rows[-1]["id"]
        found += [
            row["id"]
            for row in rows
            if wanted.reason in ("", row["reason"]) and (wanted.side is None or row["side"] == wanted.side)
        ]
    return tuple(found)


def _erase(made: Container, job: Job, progress: Progress) -> JobResult:
    """One alert after the other, as a button or a command erases it."""
    wanted = job.wanted
    assert isinstance(wanted, EraseWanted)
    alerts = wanted.alerts or _found(made, wanted.chosen)
    good = ("erased", "erasing", "already_erased")
    outcomes, left = _asked_of_each(made, job, CommandType.ERASE, alerts, good, progress)
    shown = {"alerts": len(alerts), "outcomes": outcomes, "not_erased": left}
    return _json(f"truthvouch-erase-{job.job_id}.json", shown)


def _found(made: Container, chosen: LinkFilter | None) -> tuple[str, ...]:
    """The ids of the alerts that are meant, newest first. Nobody means all of them by saying nothing."""
    if chosen is None:
        raise JobRefused("It says neither which alerts nor what to look for.")
    found: list[str] = []
    page = replace(chosen, limit=LISTED_AT_ONCE)
    while rows := made.overview.search(page):
        found += [one.alert_id for one in rows]
        page = replace(page, before=rows[-1].number)
    return tuple(found)


def _repair(made: Container, job: Job, progress: Progress) -> JobResult:
    """As ``truthvouch doctor --repair``: mend, examine everything, and see whether a test event comes back."""
    from app.bootstrap.diagnostics import Doctor, rulebook_or_fault

    if not made.settings.pagerduty.api_key:
        raise JobRefused("PAGERDUTY_API_KEY is not set: nothing can be mended without it.")
    progress(0, 3)
    with Doctor(made.settings, *rulebook_or_fault(made.settings)) as examiner:
        mended = list(examiner.repair().mended)
        _leave_in_audit(made, job, "repair_subscription", "subscription")
        progress(1, 3)
        findings = examiner.examine()
        progress(2, 3)
        findings += examiner.ping() if mended else ()
    return _findings(made, f"truthvouch-repair-{job.job_id}.json", findings, mended=mended)


def _connection_test(made: Container, job: Job, progress: Progress) -> JobResult:
    """As ``truthvouch config pagerduty --test``. Cancelled in its midst it still resolves what it opened, and says what
    stayed open."""
    from app.bootstrap.diagnostics import Doctor, rulebook_or_fault
    from app.services.diagnostics.connection_test import LEFT_OPEN

    findings: list[Finding] = []

    def begin(_check: str) -> None:
        progress(len(findings), 0)

    def pause(seconds: float) -> None:
        progress(len(findings), 0)
        time.sleep(seconds)

    _leave_in_audit(made, job, "test_connection", "pagerduty")
    with Doctor(made.settings, *rulebook_or_fault(made.settings)) as examiner:
        try:
            for found in examiner.test(begin, pause, job.key):
                findings.append(found)
        except JobCancelled as cancelled:
            left_open = (f"{one.message} {one.remedy}" for one in findings if one.code == LEFT_OPEN)
            raise JobCancelled(" ".join(left_open)) from cancelled
    return _findings(made, f"truthvouch-connection-test-{job.job_id}.json", findings)


def _reconcile(made: Container, job: Job, progress: Progress) -> JobResult:
    """As ``truthvouch reconcile``. Cancelled in its midst, what it has found until then is taken in all the same."""
    wanted = job.wanted
    assert isinstance(wanted, ReconcileWanted)
    found = made.reconcile(wanted.since, wanted.dry_run, lambda _side, done, total: progress(done, total))
    if not wanted.dry_run:
        _leave_in_audit(made, job, "reconcile", "", SubjectKind.RECONCILIATION)
    result = shown(found, wanted.dry_run, made.taken_in(found.posted))
    return _json(f"truthvouch-reconcile-{job.job_id}.json", result)


def _leave_in_audit(
    made: Container, job: Job, action: str, subject: str, kind: SubjectKind = SubjectKind.CONFIGURATION
) -> None:
    if job.asked_way:
        made.audit_log.record(job.asked_by, Way(job.asked_way), action, kind, subject)


def _findings(made: Container, name: str, findings: "Sequence[Finding]", **more: Any) -> JobResult:
    from app.bootstrap.diagnostics import concealed
    from app.services.diagnostics.doctor import is_well

    checks = [asdict(found) for found in concealed(findings, made.settings)]
    return _json(name, {"well": is_well(findings), "checks": checks, **more})


def _json(name: str, shown: Mapping[str, Any]) -> JobResult:
    return JobResult(name, JSON_TYPE, json.dumps(shown, default=_as_text).encode())


def _as_text(value: Any) -> str:
    with suppress(AttributeError):
        return str(value.isoformat())
    return str(value)
