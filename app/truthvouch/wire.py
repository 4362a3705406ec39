"""TruthVouch's events and API objects as words. Pure and total.

Two envelopes are documented: nested (``id``, ``type``, ``data.alertId``) and flat (``event_type``, ``alert_id``).
In the nested one the upper ``type`` is the event's and ``data.type`` the alert's kind.
"""

from collections.abc import Mapping

from app.domain.incident import AlertFacts
from app.domain.names import AlertId, Status, first_instant
from app.domain.payload import MAX_ID_CHARS, id_of, table_of, text_of
from app.domain.words import AlertVerb, AlertWord, Ignored, Reading, Unreadable
from app.truthvouch.alert_fields import MAX_TEXT_CHARS, Fields, gathered, read_alert, take_people, take_text

MAX_EVENT_CHARS = 100
LISTED = "alert.listed"
"""The event name of a word that was read from the API, not sent."""

VERBS: Mapping[str, AlertVerb] = {
    "alert.created": AlertVerb.CREATED,
    "alert.detected": AlertVerb.CREATED,
    "alert.acknowledged": AlertVerb.ACKNOWLEDGED,
    "alert.investigating": AlertVerb.ACKNOWLEDGED,
    "alert.resolved": AlertVerb.RESOLVED,
    "alert.dismissed": AlertVerb.RESOLVED,
    "alert.reopened": AlertVerb.REOPENED,
}
"""Every other event is MENTIONED: ``alert.escalated``, ``correction.*``, ``certification.*``, future ones."""

STATUSES: Mapping[str, Status] = {
    "open": Status.OPEN,
    "new": Status.OPEN,
    "acknowledged": Status.ACKNOWLEDGED,
    "investigating": Status.ACKNOWLEDGED,
    "resolved": Status.RESOLVED,
    "dismissed": Status.RESOLVED,
}
"""The API documents ``open`` and ``resolved``; the rest are the dashboard's words for the same ladder.
https://truthvouch-doc.pages.dev/platform/shield/alerts/overview"""

_VERB_OF_STATUS = {
    Status.OPEN: AlertVerb.CREATED,
    Status.ACKNOWLEDGED: AlertVerb.ACKNOWLEDGED,
    Status.RESOLVED: AlertVerb.RESOLVED,
}
_ENVELOPE_FIELDS = ("id", "event_id", "eventId", "event_type", "eventType", "timestamp", "data", "alert")
_ID_FIELDS = ("alert_id", "alertId", "alertID")
_REASONS = ("resolution_reason", "dismissal_reason", "dismiss_reason", "escalation_reason", "reason")
_TEXTS = ("resolution_notes", "resolution_note", "notes", "note", "resolution", "comment")
_TESTS = ("ping", "test")


def event_type(told: Mapping[str, object]) -> str:
    """The event's type in either envelope; empty where there is none."""
    for name in ("event_type", "eventType", "type"):
        if kind := text_of(told.get(name), MAX_EVENT_CHARS):
            return kind.strip()
    return ""


def alert_id(told: Mapping[str, object]) -> str | None:
    """The alert an event is about. The upper ``id`` is the event's and never counts."""
    layers = _layers(told)
    named = (id_of(layer.get(name)) for layer in layers for name in _ID_FIELDS)
    inner = (id_of(layer.get("id")) for layer in layers[:-1])
    return next(filter(None, named), None) or next(filter(None, inner), None)


def reading(told: Mapping[str, object]) -> Reading:
    """What one webhook body says, as a word."""
    kind, subject = event_type(told), alert_id(told)
    if not kind:
        return Unreadable("no_event_type")
    verb = VERBS.get(kind.lower(), AlertVerb.MENTIONED)
    if subject is None:
        return _about_no_alert(kind)
    fields = gathered(_layers(told))
    return _word(verb, subject, kind, fields, at=told.get("timestamp"))


def listed(told: object) -> Reading:
    """What one object of the API's alert list says: where the alert stands now, without a time of its own."""
    alert = table_of(told)
    subject = next(filter(None, (id_of(alert.get(name)) for name in ("id", *_ID_FIELDS))), None)
    if subject is None:
        return Unreadable("no_alert_id", LISTED)
    status = status_of(alert)
    if status is None:
        return Unreadable("unknown_status", LISTED)
    return _word(_VERB_OF_STATUS[status], subject, LISTED, gathered([alert]), at=None)


def facts(told: object, asked: AlertId) -> AlertFacts | None:
    """Where one alert of an API answer stands; None if it says no status we know."""
    status = status_of(table_of(told))
    return AlertFacts(asked, status) if status else None


def status_of(alert: Mapping[str, object]) -> Status | None:
    """An alert's standing; None for a word we do not know."""
    return STATUSES.get((text_of(alert.get("status"), MAX_EVENT_CHARS) or "").strip().lower())


def _about_no_alert(kind: str) -> Reading:
    subject, _, happening = kind.lower().partition(".")
    if subject == "alert":
        return Unreadable("no_alert_id", kind)
    return Ignored("ping" if subject in _TESTS or happening in _TESTS else "not_an_alert")


def _word(verb: AlertVerb, subject: str, kind: str, fields: Fields, at: object) -> Reading:
    if len(subject) > MAX_ID_CHARS:
        return Unreadable("alert_id_too_long", kind)
    for known in ("id", "status", *_ID_FIELDS):  # its standing is the word itself
        fields.pop(known, None)
    people = take_people(fields)
    reason, text = take_text(fields, *_REASONS), take_text(fields, *_TEXTS, limit=MAX_TEXT_CHARS)
    alert = read_alert(AlertId(subject), fields, people)
    event_at, time_unread = first_instant(at)
    return AlertWord(verb, alert, kind, event_at, _author(kind, people), reason, text, time_unread=time_unread)


def _author(kind: str, people: Mapping[str, str]) -> str | None:
    """Who did it: ``resolved_by`` for ``alert.resolved``, and so on."""
    happening = kind.rpartition(".")[2]
    names = (f"{happening}_by", "updated_by", "actor", "user", "resolved_by", "dismissed_by", "acknowledged_by")
    return next((people[name] for name in names if name in people), None)


def _layers(told: Mapping[str, object]) -> tuple[Mapping[str, object], ...]:
    """Where an event's alert fields may stand, nearest first; the last layer is the envelope itself."""
    data = table_of(told.get("data"))
    outer = {name: value for name, value in told.items() if name not in _ENVELOPE_FIELDS}
    if "event_type" not in told and "eventType" not in told:
        outer.pop("type", None)
    return table_of(data.get("alert")), table_of(told.get("alert")), {**data, "alert": None}, outer
