"""``truthvouch jobs``: long work that the worker does beside its deliveries, in a process of its own."""

import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli import base, output
from app.cli.output import Moment
from app.domain.model.events import CommandType

if TYPE_CHECKING:
    from app.bootstrap.container import Container
    from app.ports.jobs import JobResult, JobWanted, Progress, ReportWanted
    from app.services.jobs.commands import JobRow

HEAD = ("job", "kind", "state", "done", "asked", "by", "why it failed")


@click.group(short_help="Backtests, reports and replays that take long.")
def jobs() -> None:
    """Long work: backtests, large reports, replays of many dead letters. The worker runs one at a time."""


@jobs.command(name="list", short_help="List the jobs, newest first.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="At most so many.")
@base.json_option
def list_jobs(limit: int, as_json: bool) -> None:
    """List the jobs, newest first."""
    from app.ports import Page

    with base.open_bridge() as made:
        found = made.jobs_overview.rows(Page(limit))
    output.listing(found, as_json, "No jobs.", HEAD, _cells)


@jobs.command(short_help="Show a job, and write its result to a file.")
@click.argument("job_id", metavar="JOB", type=click.IntRange(1))
@click.option("-o", "--output", "path", metavar="FILE", help="Write its result to this file; - is standard output.")
@base.json_option
def show(job_id: int, path: str | None, as_json: bool) -> None:
    """Show a job: how far it is, or what came of it."""
    with base.open_bridge() as made:
        job = made.jobs_overview.row(job_id)
        result = made.jobs_overview.result(job_id) if path else None
    if job is None:
        base.not_so(f"There is no job {job_id}: `truthvouch jobs list` names them.")
    if path is not None:
        if result is None:
            why = output.text(job["failure"])
            base.not_so(f"Job {job_id} has no result: it is {job['state']}. {why}".rstrip())
        _write(result, path)
        return
    if as_json:
        output.as_json(job)
    else:
        output.facts({name: value for name, value in job.items() if value not in (None, "")})


@jobs.command(short_help="End jobs, whether they wait or run.")
@click.argument("job_ids", metavar="JOB...", type=click.IntRange(1), nargs=-1, required=True)
@base.json_option
def cancel(job_ids: tuple[int, ...], as_json: bool) -> None:
    """End jobs, whether they wait or run. What a replay has replayed stays so."""
    with base.open_bridge() as made:
        base.ask(made, CommandType.CANCEL_JOB, [str(number) for number in job_ids], as_json)


@jobs.group()
def start() -> None:
    """Have the worker do something long."""


@start.command(short_help="A draft over the stored alerts.")
@click.option("--since", type=Moment(), default="30d", show_default=True, help="From then on: 30d, or a day.")
@click.option("--until", type=Moment(), help="Before then; now if it is left out.")
@click.option("--draft", default="", metavar="NAME", help="A draft in the store.")
@click.option("--config", "path", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Or a file.")
@base.json_option
def backtest(since: datetime, until: datetime | None, draft: str, path: Path | None, as_json: bool) -> None:
    """Run a draft over the stored alerts, as `truthvouch rules backtest` does; without one, the rules in force."""
    from app.ports.jobs import BacktestWanted

    until = until or datetime.now(UTC)
    if since >= until:
        base.refuse("--since has to be before --until.")
    if draft and path:
        base.refuse("Name one draft: --draft or --config.")
    text = ""
    if path:
        if not base.is_elsewhere():  # there it is said when the job has begun
            settings, live = base.read_config()
            base.read_draft(settings, path, live)
        text = path.read_text("utf-8-sig")
    start_wanted(BacktestWanted(since, until, draft, text), as_json)


@start.command(short_help="A report of a period.")
@click.option("--service", "service_id", metavar="ID", help="Only incidents of this PagerDuty service.")
@click.option("--period", default="monthly", show_default=True, metavar="PERIOD", help="As `truthvouch report` has it.")
@click.option("--previous", is_flag=True, help="The period before that one.")
@click.option("--from", "first", metavar="DAY", help="First day, instead of --period.")
@click.option("--to", "last", metavar="DAY", help="Last day, included.")
@click.option("--tz", "time_zone", default="UTC", show_default=True, metavar="ZONE", help="An IANA time zone.")
@click.option("--format", "form", type=click.Choice(["json", "csv", "html"]), default="html", show_default=True)
@base.json_option
def report(
    service_id: str | None,
    period: str,
    previous: bool,
    first: str | None,
    last: str | None,
    time_zone: str,
    form: str,
    as_json: bool,
) -> None:
    """Make a report, as `truthvouch report` does."""
    from app.ports.jobs import ReportFormat, ReportWanted

    start_wanted(ReportWanted(ReportFormat(form), service_id, period, first, last, previous, time_zone), as_json)


@start.command(short_help="Dead letters, tried again.")
@click.argument("numbers", metavar="[NUMBER...]", type=click.IntRange(1), nargs=-1)
@click.option("--reason", default="", metavar="REASON", help="All open ones of this reason.")
@click.option("--side", type=click.Choice(["truthvouch", "pagerduty"]), help="All open ones of this side.")
@click.option("--all", "everything", is_flag=True, help="All open ones.")
@base.json_option
def replay(numbers: tuple[int, ...], reason: str, side: str | None, everything: bool, as_json: bool) -> None:
    """Try many dead letters again, twenty at a time."""
    from app.domain.model.types import Side
    from app.ports.jobs import ReplayWanted

    if not (numbers or reason or side or everything):
        base.refuse("Say which: numbers, --reason, --side or --all.")
    start_wanted(ReplayWanted(numbers, reason, Side(side) if side else None), as_json)


def start_wanted(wanted: "JobWanted", as_json: bool) -> None:
    """Ask the worker for it, and tell its number."""
    with base.open_bridge() as made:
        result, job_id = made.start_job(wanted)
    if as_json:
        output.as_json({**result.answer, "job_id": job_id})
    else:
        click.echo(f"Job {job_id}: {result.message}" if job_id else result.message)
    sys.exit(base.NOT_SO if result.outcome in base.NOT_DONE else 0)


def _cells(job: "JobRow") -> list[object]:
    far = f"{job['done']} of {job['total']}" if job["total"] else None
    return [job["job_id"], job["kind"], job["state"], far, job["asked_at"], job["asked_by"], job["failure"]]


def _write(result: "JobResult", path: str) -> None:
    if path == "-":
        sys.stdout.buffer.write(result.body)
        return
    from app.cli import reports

    try:
        with open(path, "wb", opener=reports.private) as file:
            file.write(result.body)
    except OSError as fault:
        base.refuse(f"{path} cannot be written: {fault.strerror}")
    click.echo(path)


# ---------------------------------------------------------------------------------------------------- in the process


@jobs.command(hidden=True)
@click.argument("job_id", type=int)
@click.argument("run_id")
def run(job_id: int, run_id: str) -> None:
    """Do one job. The worker starts this, in a process that ends with it."""
    from app import logs
    from app.process import job_child, startup

    startup.few_arenas()
    job_child.be_modest()
    settings = base.read_settings()
    logs.configure(settings.log_format, settings.log_level)
    logs.conceal(logs.hidden_in(settings))
    from app.bootstrap.container import Container
    from app.bootstrap.jobs import run_job

    with Container.existing(settings) as made:
        running = run_job(made, made_report)
        job_child.end_with_parent(partial(running.give_back, job_id, run_id))
        running(job_id, run_id)


TYPES = {"json": "application/json", "csv": "text/csv; charset=utf-8", "html": "text/html; charset=utf-8"}


def made_report(made: "Container", wanted: "ReportWanted", progress: "Progress") -> "JobResult":
    """A report as a file. Raises ``JobRefused`` for what is no period."""
    from app.cli import reports
    from app.domain.reports.period import BadPeriod
    from app.ports.jobs import JobRefused, JobResult

    form = wanted.form.value
    options: dict[str, Any] = {
        "service_id": wanted.service_id,
        "period": wanted.period,
        "start": wanted.start,
        "end": wanted.end,
        "previous": wanted.previous,
        "time_zone": wanted.time_zone,
    }
    try:
        progress(0, 1)
        report = made.reports.report(**options)
        if form == "html":
            report["before"] = reports.before(made.reports, report["period"]["name"], options)
        progress(1, 1)
    except BadPeriod as fault:
        raise JobRefused(str(fault)) from fault
    encoding = reports.SPREADSHEET if form == "csv" else "utf-8"
    body = reports.written(report, form).encode(encoding, "replace")
    return JobResult(f"truthvouch-report-{report['period']['name']}.{form}", TYPES[form], body)
