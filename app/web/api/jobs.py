"""Routes about long work, and about who did what."""

import hashlib
import uuid
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, TypedDict

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.domain.model.events import CommandOutcome, CommandType
from app.domain.model.text import clean
from app.domain.model.types import Side
from app.ports.console import AuditFilter
from app.ports.jobs import BacktestWanted, JobWanted, ReplayWanted, ReportFormat, ReportWanted
from app.services.jobs.commands import JobRow
from app.services.operator.audit import AuditRow
from app.services.operator.operator import CommandAnswer
from app.services.rules.stored import MAX_DRAFT_BYTES, MAX_NAME_CHARS
from app.shapes import Instant, answer_of, page_of_shape
from app.web.api.endpoint import Answer, Asked, Endpoint, commands, looks, one, operate, piece, result_of
from app.web.api.parameters import MAX_NUMBER, BadRequest, Body, Numbered, Paged, page_of
from app.web.bridge import WebBridge

MAX_REPLAYED = 10_000
"""Dead letters by number in one request; more are meant by their reason or side."""
NO_RESULT = "no_result"
JOBS, AUDIT = "jobs", "audit"


class Yes(fields.Boolean):
    """``true`` or ``false`` of JSON, and nothing that is like them."""

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise self.make_error("invalid")
        return value


class BacktestBody(Body):
    """A draft over the stored alerts. Without `draft` and `text`: the rules in force."""

    since = Instant(required=True)
    until = Instant(required=True)
    draft = fields.String(
        load_default="",
        validate=validate.Length(max=MAX_NAME_CHARS),
        metadata={"description": "The name of a draft in the store."},
    )
    text = fields.String(
        load_default="",
        validate=validate.Length(max=MAX_DRAFT_BYTES),
        metadata={"description": "The draft itself, as `bridge.yaml` has it."},
    )

    @validates_schema
    def is_one(self, data: Mapping[str, Any], **_: object) -> None:
        """One draft, over a time that is one."""
        if data["draft"] and data["text"]:
            raise ValidationError("Give either draft or text.")
        if data["since"] >= data["until"]:
            raise ValidationError("since has to be before until.")


class ReportBody(Body):
    """A report of a period. `from` and `to` make `period` unused."""

    format = fields.String(load_default="html", validate=validate.OneOf([one.value for one in ReportFormat]))
    service_id = fields.String(validate=validate.Length(1, 100))
    period = fields.String(load_default="monthly", validate=validate.Length(1, 50))
    start = fields.Date(data_key="from")
    end = fields.Date(data_key="to")
    previous = Yes(load_default=False)
    time_zone = fields.String(load_default="UTC", validate=validate.Length(1, 100))


class ReplayBody(Body):
    """Which dead letters: by number, or all open ones of a reason, of a side, or `all`."""

    dead_letters = fields.List(
        fields.Integer(strict=True, validate=validate.Range(1, MAX_NUMBER)),
        load_default=(),
        validate=validate.Length(max=MAX_REPLAYED),
    )
    reason = fields.String(load_default="", validate=validate.Length(max=100))
    side = fields.String(validate=validate.OneOf([one.value for one in Side]))
    all = Yes(load_default=False)

    @validates_schema
    def says_which(self, data: Mapping[str, Any], **_: object) -> None:
        """Nobody means all of them by saying nothing."""
        if not (data["dead_letters"] or data["reason"] or data.get("side") or data["all"]):
            raise ValidationError("Say which: dead_letters, reason, side or all.")


class AuditQuery(Paged):
    """Which actions."""

    since = Instant(metadata={"description": "Only those from then on."})
    actor = fields.String(load_default="", metadata={"description": "By this person or token."})
    subject = fields.String(load_default="", metadata={"description": "About this alert, incident, job and so on."})


class JobStarted(CommandAnswer):
    """What became of the request for a job."""

    job_id: int | None
    """Null until the worker has taken it in."""


class ResultAnswer(TypedDict):
    """What a job made."""

    name: str
    """A file name."""
    content_type: str
    text: str
    """What the file holds, in UTF-8."""


def list_jobs(bridge: WebBridge, asked: Asked) -> Answer:
    page = page_of(asked.query)
    return piece("jobs", bridge.jobs_overview.rows(page), page, "job_id")


def show_job(bridge: WebBridge, asked: Asked) -> Answer:
    return one(bridge.jobs_overview.row(asked.path["id"]), CommandOutcome.NO_SUCH_JOB)


def show_job_result(bridge: WebBridge, asked: Asked) -> Answer:
    made = bridge.jobs_overview.result(asked.path["id"])
    if made is None:
        return Answer.nothing(NO_RESULT, "There is no such job, or it has no result, or none any more.")
    text = made.body.decode("utf-8", "replace")
    return Answer(ResultAnswer(name=made.name, content_type=made.content_type, text=text))


def cancel_job(bridge: WebBridge, asked: Asked) -> Answer:
    return result_of(operate(bridge, asked)(CommandType.CANCEL_JOB, str(asked.path["id"]), asked.key))


def start_backtest(bridge: WebBridge, asked: Asked) -> Answer:
    given = asked.body
    return start_job(
        bridge, asked, BacktestWanted(given["since"], given["until"], clean(given["draft"]), clean(given["text"]))
    )


def start_report(bridge: WebBridge, asked: Asked) -> Answer:
    given = asked.body
    first, last = (str(given[name]) if name in given else None for name in ("start", "end"))
    form, zone, service_id = ReportFormat(given["format"]), clean(given["time_zone"]), given.get("service_id")
    period, service_id = clean(given["period"]), clean(service_id) if service_id else None
    return start_job(bridge, asked, ReportWanted(form, service_id, period, first, last, given["previous"], zone))


def start_replay(bridge: WebBridge, asked: Asked) -> Answer:
    given = asked.body
    side = Side(given["side"]) if given.get("side") else None
    return start_job(bridge, asked, ReplayWanted(tuple(given["dead_letters"]), clean(given["reason"]), side))


def list_audit(bridge: WebBridge, asked: Asked) -> Answer:
    page, given = page_of(asked.query), asked.query
    about = (given.get("since"), clean(given["actor"]), clean(given["subject"]))
    found = bridge.audit_log.rows(AuditFilter(*about, page.after or None, page.limit))
    return piece("audit", found, page, "number")


def start_job(bridge: WebBridge, asked: Asked, wanted: JobWanted) -> Answer:
    """A job is found by its key, so the same key of another caller, or with other work, is another job's."""
    key, detail = asked.key or uuid.uuid4().hex, bridge.job_detail(wanted)
    own = hashlib.sha256(f"{asked.by}\0{detail}\0{key}".encode()).hexdigest()[:32]
    result = operate(bridge, asked).start_job(detail, own)
    if result.outcome == CommandOutcome.INVALID:
        raise BadRequest(result.message)
    job = bridge.jobs_overview.of_key(result.key) if result.key else None
    status = HTTPStatus.OK if result.outcome else HTTPStatus.ACCEPTED
    answer = {**result.answer, "idempotency_key": key if result.key else None, "job_id": job.job_id if job else None}
    return Answer(answer, status)


def _job_route(kind: str, view: Any, body: type[Schema], summary: str, **more: Any) -> Endpoint:
    return commands(f"/jobs/{kind}", view, summary, JOBS, answer=answer_of(JobStarted), body=body, **more)


ENDPOINTS: tuple[Endpoint, ...] = (
    looks("/jobs", list_jobs, page_of_shape("jobs", JobRow), "Jobs, newest first", JOBS, query=Paged),
    looks(
        "/jobs/<id>",
        show_job,
        answer_of(JobRow),
        "One job: how far it is, or what came of it",
        JOBS,
        CommandOutcome.NO_SUCH_JOB,
        numbers=Numbered,
    ),
    looks(
        "/jobs/<id>/result", show_job_result, answer_of(ResultAnswer), "What a job made", JOBS, NO_RESULT,
        numbers=Numbered,
    ),
    commands(
        "/jobs/<id>/cancel",
        cancel_job,
        "End a job, whether it waits or runs",
        JOBS,
        CommandOutcome.NO_SUCH_JOB,
        numbers=Numbered,
        description="What a replay has replayed stays so.",
    ),
    _job_route(
        "backtest", start_backtest, BacktestBody, "Run a draft over the stored alerts", max_body_bytes=600 * 1024,
        description="The result is what `truthvouch rules backtest --json` prints. A faulty draft makes the job fail.",
    ),
    _job_route("report", start_report, ReportBody, "Make a report", description="As `truthvouch report` does."),
    _job_route(
        "replay", start_replay, ReplayBody, "Try many dead letters again", max_body_bytes=256 * 1024,
        description="Twenty at a time.",
    ),
    looks(
        "/audit", list_audit, page_of_shape("audit", AuditRow), "What people did, newest first", AUDIT,
        query=AuditQuery,
    ),
)  # fmt: skip
