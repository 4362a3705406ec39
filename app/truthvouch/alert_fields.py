"""TruthVouch's many spellings of an alert's fields, read into one ``Alert``. Pure and total.

Nested or flat, camelCase or snake_case: the pages disagree, so the nearest layer that tells a field wins.
https://docs.truthvouch.ai/developers/api/shield , https://truthvouch-doc.pages.dev/developers/webhooks/events
"""

import re
from collections.abc import Iterable, Mapping
from itertools import islice

from app.domain.alert import Alert, Scalar
from app.domain.confidence import normalise
from app.domain.names import AlertId, instant
from app.domain.payload import clean, id_of, scalar_of, table_of, text_of

MAX_FIELDS = 200
MAX_EXTRA_FIELDS = 50
MAX_NAME_CHARS = 64
MAX_TEXT_CHARS = 10_000
MAX_WORD_CHARS = 1_000

Fields = dict[str, object]
"""Field values by snake_case name; reading a field takes it out, so that the rest is what nobody knew."""

_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NOT_A_NAME = re.compile(r"[^a-z0-9]+")
_ABOUT_PEOPLE = re.compile(
    r"(.*_)?(by|to|email|ip|ip_address|user|user_id|user_name|username|phone|api_key_id"
    r"|actor|author|assignee|owner|excerpt)"
)
"""Names of personal data. Excerpts are among them: the one documented quotes the personal data that was found."""


def snake_case(name: str) -> str:
    """``actualFact`` and ``Actual-Fact`` as ``actual_fact``."""
    return _NOT_A_NAME.sub("_", _WORD_START.sub("_", name[:MAX_NAME_CHARS]).lower()).strip("_")


def gathered(layers: Iterable[Mapping[str, object]]) -> Fields:
    """All fields of the layers, nearest first, and then those of their ``details``; null tells nothing.

    ``details.confidence`` is how sure the *detection* is, the opposite of ``confidence``: they never meet.
    """
    fields = _laid_over(layers)
    details = _laid_over([table_of(fields.pop("details"))] if isinstance(fields.get("details"), dict) else [])
    if "confidence" in details:
        fields.setdefault("detection_confidence", details.pop("confidence"))
    return details | fields


def _laid_over(layers: Iterable[Mapping[str, object]]) -> Fields:
    fields: Fields = {}
    for layer in layers:
        for name, value in islice(layer.items(), MAX_FIELDS):
            if value is not None:
                fields.setdefault(snake_case(name), value)
    return fields


def take_text(fields: Fields, *names: str, limit: int = MAX_WORD_CHARS) -> str | None:
    """Take the first of these fields that holds text."""
    for name in names:
        if told := text_of(fields.get(name), limit):
            del fields[name]
            return told
    return None


def take_people(fields: Fields) -> dict[str, str]:
    """Take every field that is about people, and all of ``source`` (who called, from where)."""
    source = table_of(fields.get("source"))
    if source:
        del fields["source"]
    names = [name for name in fields if _ABOUT_PEOPLE.fullmatch(name)]
    told = {snake_case(name): value for name, value in islice(source.items(), MAX_EXTRA_FIELDS)}
    told |= {name: fields.pop(name) for name in names[:MAX_EXTRA_FIELDS]}
    return {name: text for name, value in told.items() if (text := _person(value))}


def read_alert(alert_id: AlertId, fields: Fields, people: Mapping[str, str]) -> Alert:
    """Everything the fields tell about an alert; what has no place of its own goes to ``extra``."""
    confidence, confidence_text = _number(fields, "confidence")
    severity = id_of(fields.pop("severity", None))
    return Alert(
        alert_id=alert_id,
        severity=severity.strip().lower()[:MAX_NAME_CHARS] if severity else None,
        kind=take_text(fields, "detection_type", "alert_type", "kind", "type"),
        category=take_text(fields, "category"),
        message=take_text(fields, "message", "description", "summary", "title", limit=MAX_TEXT_CHARS),
        claim=take_text(fields, "fact", "claim", limit=MAX_TEXT_CHARS),
        truth=take_text(fields, "actual_fact", "truth", "correct_fact", limit=MAX_TEXT_CHARS),
        query=take_text(fields, "query", "prompt", "question", limit=MAX_TEXT_CHARS),
        response=take_text(fields, "response", "answer", limit=MAX_TEXT_CHARS),
        model=take_text(fields, "model"),
        confidence=confidence,
        confidence_text=confidence_text,
        detection_confidence=_number(fields, "detection_confidence", "confidence_score")[0],
        trust_score=_number(fields, "trust_score")[0],
        dashboard_url=_url(fields),
        created_at=instant(fields.pop("created_at", None)),
        people=dict(people),
        extra=_extra(fields),
    )


def _number(fields: Fields, *names: str) -> tuple[float | None, str | None]:
    for name in names:
        value = fields.pop(name, None)
        share, text = normalise(clean(value) if isinstance(value, str) else value)
        if share is not None or text is not None:
            return share, text
    return None, None


def _url(fields: Fields) -> str | None:
    """Where the alert can be looked at. A field called ``url`` or ``link`` may be what a model said: no place to send
    people who were just woken."""
    for name in ("dashboard_url", "dashboard_link"):
        told = text_of(fields.get(name), MAX_WORD_CHARS)
        if told and told.startswith(("https://", "http://")):
            del fields[name]
            return told
    return None


def _extra(fields: Fields) -> dict[str, Scalar]:
    scalars = ((name, scalar_of(value, MAX_WORD_CHARS)) for name, value in fields.items() if name)
    return dict(islice(((name, value) for name, value in scalars if value is not None), MAX_EXTRA_FIELDS))


def _person(value: object) -> str | None:
    """A name or address however it is wrapped: a text, a number, a list of them, an object with a name in it."""
    if isinstance(value, list):
        return ", ".join(filter(None, map(id_of, value[:10])))[:MAX_WORD_CHARS] or None
    if isinstance(value, dict):
        value = value.get("name") or value.get("email") or value.get("id")
    told = id_of(value)
    return told[:MAX_WORD_CHARS] if told else None
