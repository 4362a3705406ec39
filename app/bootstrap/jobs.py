"""Jobs, wired: what does the work of each kind."""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from app.bootstrap.container import Container
from app.bootstrap.rules import parsed_draft
from app.domain.model.events import CommandType, Way
from app.domain.rules.rulebook import Rulebook
from app.errors import ConfigFault
from app.ports import Page
from app.ports.jobs import (
    BacktestWanted,
    Job,
    JobKind,
    JobRefused,
    JobResult,
    Progress,
    ReplayWanted,
    ReportWanted,
    Runner,
)
from app.services.jobs.run import RunJob
from app.services.rules.rulebook import backtested
from app.store.jobs import StoredJobs

REPLAYED_AT_ONCE = 20
"""Commands that are in the inbox at a time: what arrives meanwhile waits behind no more."""
REPLAY_TIMEOUT_SECONDS = 60.0
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

    runners: Mapping[JobKind, Runner] = {
        JobKind.BACKTEST: lambda job, progress: _backtest(made, job, progress),
        JobKind.REPORT: reporting,
        JobKind.REPLAY: lambda job, progress: _replay(made, job, progress),
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
    """Asked under keys of its own, so that asking again asks nothing twice."""
    wanted = job.wanted
    assert isinstance(wanted, ReplayWanted)
    way = Way(job.asked_way) if job.asked_way else None
    operate = made.operate_as(job.asked_by, REPLAY_TIMEOUT_SECONDS, way)
    numbers = wanted.dead_letters or _open_ones(made, wanted)
    outcomes: Counter[str] = Counter()
    left: dict[str, str] = {}
    progress(0, len(numbers))
    for begin in range(0, len(numbers), REPLAYED_AT_ONCE):
        some = [str(number) for number in numbers[begin : begin + REPLAYED_AT_ONCE]]
        for result in operate.all(CommandType.REPLAY, some, key=f"job-{job.key}"):
            outcomes[result.outcome or "stored"] += 1
            if result.outcome not in ("replayed", "nothing_to_do"):
                left[result.subject] = result.outcome or "stored"
        progress(outcomes.total(), len(numbers))
    shown = {"dead_letters": len(numbers), "outcomes": dict(outcomes.most_common()), "not_replayed": left}
    return _json(f"truthvouch-replay-{job.job_id}.json", shown)


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


def _json(name: str, shown: Mapping[str, Any]) -> JobResult:
    return JobResult(name, JSON_TYPE, json.dumps(shown, default=_as_text).encode())


def _as_text(value: Any) -> str:
    with suppress(AttributeError):
        return str(value.isoformat())
    return str(value)
