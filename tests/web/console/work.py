"""Long work, drafts and silences before a console: what a worker's child process would have done."""

import json
from datetime import timedelta

from app.bootstrap.jobs import JSON_TYPE, _as_text
from app.config import bridge_yaml
from app.domain.model.events import Command, CommandType, Way
from app.domain.model.types import Source
from app.domain.rules.rulebook import Origin, Silence, completed
from app.ports.jobs import BacktestWanted, Job, JobKind, JobResult, Progress, ReportWanted, Runner
from app.services.jobs.run import RunJob
from app.services.rules.rulebook import backtested
from app.services.rules.stored import silence_as_text
from app.store.jobs import StoredJobs, encode_job
from tests.web.console.pages import ConsoleRig

CALMER = """\
rules:
  - name: Only what is sure
    trigger: confidence < 0.1
    action: {type: create_incident, urgency: high, service_id: PMAIN}
severity_map: {critical: none, high: low, medium: low, low: none}
"""


def run_job(console: ConsoleRig) -> None:
    """The oldest job that waits is run; only backtests can be."""
    jobs, database = StoredJobs(), console.rig.database
    with database.begin() as tx:
        job = jobs.claim(tx, "run", console.now())
    assert job is not None
    RunJob(database, jobs, {JobKind.BACKTEST: _backtest_of(console)}, console.rig.clock)(job.job_id, "run")


def _backtest_of(console: ConsoleRig) -> Runner:
    def backtest(job: Job, progress: Progress) -> JobResult:
        wanted, live = job.wanted, console.rules.current()
        assert isinstance(wanted, BacktestWanted)
        text = wanted.text
        if wanted.draft:
            stored = console.work.stored.draft(wanted.draft)
            assert stored is not None
            text = stored.text
        draft = completed(bridge_yaml.parse(text, "the draft"), live) if text else live
        found = console.work.backtests().run(live, draft, wanted.since, wanted.until, progress)
        shown = backtested(found, wanted.since, wanted.until, "bridge.yaml", wanted.draft or "the draft")
        return JobResult(
            f"truthvouch-backtest-{job.job_id}.json", JSON_TYPE, json.dumps(shown, default=_as_text).encode()
        )

    return backtest


def ask(console: ConsoleRig, command: CommandType, subject: str, detail: str = "") -> None:
    """As a command of somebody at the console reaches the worker."""
    console.rig.say(Source.BRIDGE, Command(command, subject, "console:Grace", detail, Way.CONSOLE))


def at_work(console: ConsoleRig) -> None:
    """A backtest that is done, a report that waits, a draft beside the rules, a silence that was made here."""
    now = console.now()
    ask(console, CommandType.SAVE_DRAFT, "calmer", CALMER)
    ask(console, CommandType.SHADOW_DRAFT, "calmer")
    ends = now + timedelta(hours=2)
    silence = Silence("Deploy", 'category == "Tone"', "Grace", "release 7", ends, origin=Origin.STORE)
    ask(console, CommandType.SILENCE, silence.name, silence_as_text(silence))
    backtest = BacktestWanted(now - timedelta(days=7), now + timedelta(seconds=1), "calmer")
    ask(console, CommandType.START_JOB, "0" * 32, encode_job(backtest))
    run_job(console)
    ask(console, CommandType.START_JOB, "1" * 32, encode_job(ReportWanted()))
