"""Routes about rules and silences: what is in force, what it does with an alert, and silences kept in the store."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypedDict

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from app.domain.model.events import CommandOutcome, CommandType
from app.domain.model.text import clean
from app.domain.rules.rulebook import Origin, Silence
from app.ports import utc_now
from app.services.rules.overview import ExplanationShown, RulesShown, SilencePreview, SilenceRow, silence_preview
from app.services.rules.stored import MAX_NAME_CHARS, previewed, problem_of, silence_as_text
from app.shapes import Instant, answer_of
from app.web.api.endpoint import Answer, Asked, Endpoint, commands, looks, one, operate, result_of
from app.web.api.parameters import BadRequest, Body, flag
from app.web.bridge import WebBridge

MAX_ALERT_BYTES = 1024 * 1024
WHY_NOT: Mapping[str, str] = {
    "ping": "`alert` is a ping, about no alert.",
    "not_an_alert": "`alert` is about no alert.",
    "no_alert_id": "`alert` names no alert.",
}
RULES, SILENCES = "rules", "silences"


class SilencesQuery(Schema):
    """Which silences."""

    all = flag(load_default=False, metadata={"description": "`true`: also those that are over."})


class ExplainBody(Body):
    """Which alert: one that the bridge knows, or one that comes along."""

    alert_id = fields.String(validate=validate.Length(min=1))
    alert = fields.Dict(metadata={"description": "A TruthVouch webhook's body, or an alert alone."})

    @validates_schema
    def is_one(self, data: Mapping[str, object], **_: object) -> None:
        """Neither says nothing, and both say two things."""
        if len(data) != 1:
            raise ValidationError("Give either alert_id or alert.")


class PreviewBody(Body):
    """Which alerts."""

    match = fields.String(
        required=True, validate=validate.Length(1), metadata={"description": "A trigger, in the language of the rules."}
    )


class SilenceBody(PreviewBody):
    """A silence as it shall be; one of that name in the store is changed."""

    name = fields.String(required=True, validate=validate.Length(1, MAX_NAME_CHARS))
    owner = fields.String(
        validate=validate.Length(1, MAX_NAME_CHARS),
        metadata={"description": "Who is responsible for it; without one, whose token it is."},
    )
    reason = fields.String(required=True, validate=validate.Length(1))
    starts = Instant(data_key="from", allow_none=True, metadata={"description": "At once without one."})
    until = Instant(required=True, metadata={"description": "At most 31 days ahead."})


class SilencesAnswer(TypedDict):
    """Those of `bridge.yaml`, then those of the store."""

    silences: Sequence[SilenceRow]


def show_rules(bridge: WebBridge, _asked: Asked) -> Answer:
    return Answer(bridge.rules_overview.listed())


def explain_alert(bridge: WebBridge, asked: Asked) -> Answer:
    if "alert_id" in asked.body:
        return one(bridge.rules_overview.explained(asked.body["alert_id"]), CommandOutcome.NO_SUCH_LINK)
    found = bridge.rules_overview.explained_body(json.dumps(asked.body["alert"]).encode())
    if isinstance(found, str):
        raise BadRequest(WHY_NOT.get(found, f"`alert` cannot be read ({found})."))
    return Answer(found)


def list_silences(bridge: WebBridge, asked: Asked) -> Answer:
    return Answer(SilencesAnswer(silences=bridge.rules_overview.silences(asked.query["all"])))


def preview_silence(bridge: WebBridge, asked: Asked) -> Answer:
    rules = bridge.rules_overview
    found = previewed(asked.body["match"], rules.rules.current(), rules.backtests, utc_now())
    shown = silence_preview(found)
    if shown is None:
        raise BadRequest(f"match: {found.problem}")
    return Answer(shown)


def add_silence(bridge: WebBridge, asked: Asked) -> Answer:
    silence = _silence(asked.body, asked.by)
    if problem := problem_of(silence, utc_now()):
        raise BadRequest(problem)
    return result_of(
        operate(bridge, asked)(CommandType.SILENCE, silence.name, asked.key, detail=silence_as_text(silence))
    )


def end_silence(bridge: WebBridge, asked: Asked) -> Answer:
    return result_of(operate(bridge, asked)(CommandType.END_SILENCE, asked.path["name"], asked.key))


def _silence(body: Mapping[str, object], by: str) -> Silence:
    until, starts = body["until"], body.get("starts")
    assert isinstance(until, datetime)
    assert starts is None or isinstance(starts, datetime)
    if starts is not None and until <= starts:
        raise BadRequest("until: it has to be after `from`.")
    match, reason = clean(str(body["match"])), clean(str(body["reason"]))
    return Silence(str(body["name"]), match, str(body.get("owner", by)), reason, until, starts, Origin.STORE)


ENDPOINTS: tuple[Endpoint, ...] = (
    looks("/rules", show_rules, answer_of(RulesShown), "The rules in force, with their version", RULES),
    looks(
        "/rules/explain",
        explain_alert,
        answer_of(ExplanationShown),
        "What the rules do with an alert, and why",
        RULES,
        CommandOutcome.NO_SUCH_LINK,
        method="POST",
        body=ExplainBody,
        max_body_bytes=MAX_ALERT_BYTES,
        description="It changes nothing. `incident` is what PagerDuty would be sent, as redaction allows.",
    ),
    looks("/silences", list_silences, answer_of(SilencesAnswer), "Silences", SILENCES, query=SilencesQuery),
    looks(
        "/silences/preview",
        preview_silence,
        answer_of(SilencePreview),
        "How many alerts of the last 7 days a silence would have silenced",
        SILENCES,
        method="POST",
        body=PreviewBody,
        max_body_bytes=16 * 1024,
        description="It changes nothing.",
    ),
    commands(
        "/silences",
        add_silence,
        "Keep a silence in the store",
        SILENCES,
        body=SilenceBody,
        max_body_bytes=32 * 1024,
        description="It is in force on every machine within seconds.",
    ),
    commands(
        "/silences/<path:name>/end",
        end_silence,
        "End a silence of the store",
        SILENCES,
        CommandOutcome.NO_SUCH_SILENCE,
        description="What it silenced and is still open is decided anew.",
    ),
)
