"""Routes about one alert: what a person says of it, and what shall come of it. And the erasing of many."""

from typing import Any

from marshmallow import fields, validate

from app.domain.model.events import CommandOutcome, CommandType
from app.domain.model.text import clean
from app.domain.sync.asked import MAX_WORDS_CHARS
from app.ports import utc_now
from app.ports.jobs import ConnectionTestWanted, EraseWanted, ReconcileWanted, RepairWanted
from app.services.escalation.target import hurrying
from app.shapes import Instant, answer_of
from app.web.api.endpoint import Answer, Asked, Endpoint, View, commands, operate, result_of
from app.web.api.jobs import JOBS, JobStarted, Yes, start_job
from app.web.api.parameters import MAX_NUMBER, BadRequest, Body
from app.web.bridge import WebBridge

ALERTS, ESCALATIONS = "links", "escalations"
MAX_ERASED = 1_000
"""Alerts in one request."""
MAX_BODY_BYTES = 128 * 1024


class ResolveBody(Body):
    """How it ended."""

    note = fields.String(
        load_default="",
        validate=validate.Length(max=MAX_WORDS_CHARS),
        metadata={"description": "For both sides: the alert's resolution, and a note on the incident."},
    )


class NoteBody(Body):
    """What is written to the incident."""

    note = fields.String(required=True, validate=validate.Length(1, MAX_WORDS_CHARS))


class EscalateBody(Body):
    """How."""

    raise_urgency = Yes(
        load_default=False,
        metadata={"description": "Raise a low urgency to high first, without which PagerDuty escalates nothing."},
    )
    moves = fields.Integer(
        strict=True,
        validate=validate.Range(0, MAX_NUMBER),
        metadata={
            "description": "As the escalation had it when you looked, 0 where there was none: a level that came since "
            "is not asked for again."
        },
    )


class ReconcileBody(Body):
    """How both sides are read."""

    dry_run = Yes(load_default=False, metadata={"description": "Only look: nothing is taken in."})
    since = Instant(
        metadata={"description": "Also take in alerts raised from then on, even before this store existed."}
    )


class EraseBody(Body):
    """Which alerts."""

    alerts = fields.List(
        fields.String(validate=validate.Length(1)), required=True, validate=validate.Length(1, MAX_ERASED)
    )


def acknowledge_alert(bridge: WebBridge, asked: Asked) -> Answer:
    return _about_alert(bridge, asked, CommandType.ACKNOWLEDGE)


def resolve_alert(bridge: WebBridge, asked: Asked) -> Answer:
    return _about_alert(bridge, asked, CommandType.RESOLVE, clean(asked.body["note"]).strip())


def mark_false_alert(bridge: WebBridge, asked: Asked) -> Answer:
    return _about_alert(bridge, asked, CommandType.FALSE_ALERT)


def add_note(bridge: WebBridge, asked: Asked) -> Answer:
    note = clean(asked.body["note"]).strip()
    if not note:
        raise BadRequest("note: it is blank.")
    return _about_alert(bridge, asked, CommandType.NOTE, note)


def erase_alert(bridge: WebBridge, asked: Asked) -> Answer:
    return _about_alert(bridge, asked, CommandType.ERASE)


def escalate_now(bridge: WebBridge, asked: Asked) -> Answer:
    detail = hurrying(asked.body["raise_urgency"], asked.body.get("moves"), asked.key)
    return result_of(operate(bridge, asked)(CommandType.ESCALATE, asked.path["incident_id"], asked.key, detail))


def erase_alerts(bridge: WebBridge, asked: Asked) -> Answer:
    return start_job(bridge, asked, EraseWanted(tuple(dict.fromkeys(map(clean, asked.body["alerts"])))))


def start_reconciliation(bridge: WebBridge, asked: Asked) -> Answer:
    since = asked.body.get("since")
    if since is not None and since > utc_now():
        raise BadRequest("since: it has to be past.")
    return start_job(bridge, asked, ReconcileWanted(asked.body["dry_run"], since))


def start_repair(bridge: WebBridge, asked: Asked) -> Answer:
    return start_job(bridge, asked, RepairWanted())


def start_connection_test(bridge: WebBridge, asked: Asked) -> Answer:
    return start_job(bridge, asked, ConnectionTestWanted())


def _about_alert(bridge: WebBridge, asked: Asked, command: CommandType, detail: str = "") -> Answer:
    return result_of(operate(bridge, asked)(command, asked.path["alert_id"], asked.key, detail))


def _route(action: str, view: View, summary: str, **more: Any) -> Endpoint:
    path = f"/links/<path:alert_id>/{action}"
    return commands(path, view, summary, ALERTS, CommandOutcome.NO_SUCH_LINK, max_body_bytes=MAX_BODY_BYTES, **more)


def _job(kind: str, view: View, summary: str, **more: Any) -> Endpoint:
    return commands(
        f"/jobs/{kind}", view, summary, JOBS, answer=answer_of(JobStarted), max_body_bytes=MAX_BODY_BYTES, **more
    )


ENDPOINTS: tuple[Endpoint, ...] = (
    _route("acknowledge", acknowledge_alert, "Acknowledge an alert on both sides"),
    _route("resolve", resolve_alert, "Resolve an alert on both sides", body=ResolveBody),
    _route("false-alert", mark_false_alert, "Record that it was a false alert", description="Neither side changes."),
    _route(
        "note",
        add_note,
        "Write a note to the incident",
        body=NoteBody,
        description="The same words of the same caller are one note.",
    ),
    _route("erase", erase_alert, "Erase what an alert says and whom it names", description="For ever."),
    commands(
        "/escalations/<path:incident_id>/now",
        escalate_now,
        "Have the next level now",
        ESCALATIONS,
        CommandOutcome.BAD_REQUEST,
        body=EscalateBody,
        description="Nothing moves after an acknowledge or a resolve. Two who ask for the same level ask for one.",
    ),
    _job("erase", erase_alerts, "Erase many alerts", body=EraseBody),
    _job(
        "reconcile",
        start_reconciliation,
        "Read both sides back, and tell what differs",
        body=ReconcileBody,
        description="The result is what `truthvouch reconcile --json` prints.",
    ),
    _job("repair", start_repair, "Examine everything and mend", description="As `truthvouch doctor --repair`."),
    _job(
        "connection-test",
        start_connection_test,
        "Open a test incident",
        description="As `truthvouch config pagerduty --test`.",
    ),
)
