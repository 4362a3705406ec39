"""Long work: which jobs wait, run and are over; one job with its progress and what came of it."""

import json
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, abort, request

from app.domain.model.events import CommandOutcome, CommandType
from app.ports import Page
from app.ports.jobs import (
    BacktestWanted,
    ConnectionTestWanted,
    EraseWanted,
    Job,
    JobKind,
    JobState,
    ReconcileWanted,
    RepairWanted,
    ReplayWanted,
    ReportFormat,
    ReportWanted,
)
from app.services.operator.operator import Operate
from app.services.operator.workbench import Workbench
from app.web.access import Access, needs
from app.web.console.frame import (
    PREFIX,
    ROUTE,
    Frame,
    address,
    as_actor,
    did,
    key_of_form,
    number_of,
    outcome_of,
    see_other,
    text_of,
    zone_name,
)

PAGE = 50
MAX_SHOWN_BYTES = 4 * 1024 * 1024
"""Of a result that is shown on a page; a larger one is a file."""
FORMATS = tuple(form.value for form in ReportFormat)
NAMES: Mapping[str, str] = {
    JobKind.BACKTEST: "Backtest",
    JobKind.REPORT: "Report",
    JobKind.REPLAY: "Replay of dead letters",
    JobKind.ERASE: "Erasing",
    JobKind.REPAIR: "Examination and repair",
    JobKind.CONNECTION_TEST: "Connection test",
    JobKind.RECONCILE: "Reconciliation",
}


def name_of(job: Job) -> str:
    """What a job is called."""
    return NAMES.get(job.kind, job.kind.replace("_", " ").capitalize())


def about(job: Job) -> str:
    """What it is about, in a few words; never the text of a draft. Empty where its parameters were not read."""
    match job.wanted:
        case None:
            return ""
        case BacktestWanted(draft=draft, text=text):
            return f"the draft {draft}" if draft else "a pasted draft" if text else "the rules in force"
        case ReportWanted(form=form, period=period, start=start, end=end):
            return f"{f'{start} to {end}' if start else period}, as {form.value.upper()}"
        case ReplayWanted(dead_letters=numbers, reason=reason, side=side):
            named = " ".join(filter(None, (reason, f"of {side}" if side else "")))
            return f"{len(numbers)} by number" if numbers else f"all open ones {named}".rstrip()
        case EraseWanted(alerts=alerts):
            return f"{len(alerts)} alerts" if alerts else "what a search found"
        case RepairWanted():
            return "everything, and PagerDuty's webhook subscription"
        case ConnectionTestWanted():
            return "an incident that opens and is resolved"
        case ReconcileWanted(dry_run=dry_run, since=since):
            both = "both sides, only to look" if dry_run else "both sides"
            return f"{both}, from {since:%Y-%m-%d %H:%M} UTC on" if since else both


def started(operate: Operate, detail: str, key: str = "") -> Response:
    """Ask for a job, and lead to its page. ``key``: where the page has several forms for jobs."""
    result = as_actor(operate).start_job(detail, key or key_of_form())
    if result.outcome and result.outcome != CommandOutcome.QUEUED:
        return see_other(address("jobs", done=result.outcome))
    waits = "" if result.outcome else outcome_of(result)  # a job that is queued shows how it stands by itself
    return see_other(address("job", key=result.key, done=waits))


def install(blueprint: Blueprint, frame: Frame, work: Workbench, operate: Operate) -> None:
    """The routes of these pages."""

    @blueprint.get(f"{PREFIX}/jobs", **ROUTE)
    @needs(Access.READ)
    def jobs() -> Response:
        """All of them, newest first."""
        before = number_of("before") or 0
        found = work.jobs.listed(Page(PAGE, before))
        return frame.page(
            "jobs.html", "jobs", "Jobs", rows=[(job, name_of(job), about(job)) for job in found],
            older=address("jobs", before=found[-1].job_id) if len(found) == PAGE else "",
            newest=address("jobs") if before else "", is_live=any(not job.state.is_over for job in found),
            formats=FORMATS,
        )  # fmt: skip

    @blueprint.get(f"{PREFIX}/job", **ROUTE)
    @needs(Access.READ)
    def job() -> Response:
        """One of them; by its key as long as the worker has given it no number."""
        key, number = text_of("key", 64), number_of("job")
        found = work.jobs.job(number) if number is not None else work.jobs.of_key(key) if key else None
        if found is None:
            if number is not None or not key:
                abort(HTTPStatus.NOT_FOUND)
            return frame.page("job.html", "jobs", "A job", job=None, waits_for=key)
        return _job_page(frame, work, found)

    @blueprint.get(f"{PREFIX}/job/result", **ROUTE)
    @needs(Access.READ)
    def job_result() -> Response:
        """What it made, as a file."""
        number = number_of("job")
        result = work.jobs.result(number) if number is not None else None
        if result is None:
            abort(HTTPStatus.NOT_FOUND)
        response = Response(result.body, content_type=result.content_type)
        response.headers["Content-Disposition"] = f'attachment; filename="{result.name}"'
        return response

    @blueprint.post(f"{PREFIX}/job", **ROUTE)
    @needs(Access.ADMIN)
    def cancel_job() -> Response:
        """End one, whether it waits or runs."""
        number = request.form.get("job", "")
        return see_other(address("job", job=number, done=did(operate, CommandType.CANCEL_JOB, number)))

    @blueprint.post(f"{PREFIX}/jobs", **ROUTE)
    @needs(Access.ADMIN)
    def start_job() -> Response:
        """A report as a file, or a replay of all that was given up."""
        match request.form.get("kind"):
            case "report":
                return started(operate, work.encode_job(_report_of_form()))
            case "replay":
                return started(operate, work.encode_job(ReplayWanted()))
            case _:
                abort(HTTPStatus.BAD_REQUEST)


def _report_of_form() -> ReportWanted:
    form, period = request.form.get("format", ""), request.form.get("period", "").strip()[:40]
    if form not in FORMATS:
        abort(HTTPStatus.BAD_REQUEST)
    return ReportWanted(ReportFormat(form), period=period or "monthly", time_zone=zone_name())


def _job_page(frame: Frame, work: Workbench, job: Job) -> Response:
    return frame.page(
        "job.html", "jobs", f"{name_of(job)} · job {job.job_id}", job=job, about=about(job), waits_for="",
        result=_result(work, job), file=address("job/result", job=job.job_id) if job.result_name else "",
        is_backtest=job.kind == JobKind.BACKTEST,
    )  # fmt: skip


def _result(work: Workbench, job: Job) -> dict[str, Any] | None:
    """What it made, where a page can show it."""
    if job.state is not JobState.DONE or job.kind == JobKind.REPORT:
        return None
    found = work.jobs.result(job.job_id)
    if found is None or not found.content_type.startswith("application/json") or len(found.body) > MAX_SHOWN_BYTES:
        return None
    read = json.loads(found.body)
    return {name: _instant(value) for name, value in read.items()} if isinstance(read, dict) else None


def _instant(value: Any) -> Any:
    """An instant is written as a text in JSON."""
    with suppress(TypeError, ValueError):
        return datetime.fromisoformat(value)
    return value
