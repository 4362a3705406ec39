"""TruthVouch's webhooks and API objects: proved, and read as ours. Pure and total.

Two envelopes are documented: nested (``id``, ``type``, ``data.alertId``) and flat (``event_type``, ``alert_id``). In
the nested one the upper ``type`` is the event's and ``data.type`` the alert's kind.
https://truthvouch-doc.pages.dev/developers/webhooks/overview (nested envelope)
https://truthvouch-doc.pages.dev/developers/webhooks/events (flat envelope)
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from urllib.parse import quote

from app.domain.model.events import AlertEvent, AlertEventType, Envelope, Ignored, Reading, Unreadable
from app.domain.model.incident import AlertFacts
from app.domain.model.types import Alert, AlertId, Scalar, Status, first_instant, instant, normalise
from app.ports import Refusal, RulebookSource
from app.remote.payload import (
    MAX_ID_CHARS,
    Fault,
    clean,
    delivery_id,
    digests,
    entries,
    id_of,
    matching_secret,
    read_object,
    scalar_of,
    series_of,
    table_of,
    text_of,
    usable,
)

# Nested or flat, camelCase or snake_case: the pages disagree, so the nearest layer that tells a field wins.
# https://docs.truthvouch.ai/developers/api/shield , https://truthvouch-doc.pages.dev/developers/webhooks/events

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
        if content := text_of(fields.get(name), limit):
            del fields[name]
            return content
    return None


def take_people(fields: Fields) -> dict[str, str]:
    """Take every field that is about people, and all of ``source`` (who called, from where)."""
    source = table_of(fields.get("source"))
    if source:
        del fields["source"]
    names = [name for name in fields if _ABOUT_PEOPLE.fullmatch(name)]
    content = {snake_case(name): value for name, value in islice(source.items(), MAX_EXTRA_FIELDS)}
    content |= {name: fields.pop(name) for name in names[:MAX_EXTRA_FIELDS]}
    return {name: text for name, value in content.items() if (text := _person(value))}


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
        content = text_of(fields.get(name), MAX_WORD_CHARS)
        if content and content.startswith(("https://", "http://")):
            del fields[name]
            return content
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
    content = id_of(value)
    return content[:MAX_WORD_CHARS] if content else None


MAX_EVENT_CHARS = 100
LISTED = "alert.listed"
"""The name of an event that was read from the API, not sent."""

EVENT_TYPES: Mapping[str, AlertEventType] = {
    "alert.created": AlertEventType.CREATED,
    "alert.detected": AlertEventType.CREATED,
    "alert.acknowledged": AlertEventType.ACKNOWLEDGED,
    "alert.investigating": AlertEventType.ACKNOWLEDGED,
    "alert.resolved": AlertEventType.RESOLVED,
    "alert.dismissed": AlertEventType.RESOLVED,
    "alert.reopened": AlertEventType.REOPENED,
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
"""The API documents ``open`` and ``resolved``; the rest are the dashboard's names of the same statuses.
https://truthvouch-doc.pages.dev/platform/shield/alerts/overview"""

_EVENT_TYPE_OF_STATUS = {
    Status.OPEN: AlertEventType.CREATED,
    Status.ACKNOWLEDGED: AlertEventType.ACKNOWLEDGED,
    Status.RESOLVED: AlertEventType.RESOLVED,
}
_ENVELOPE_FIELDS = ("id", "event_id", "eventId", "event_type", "eventType", "timestamp", "data", "alert")
_ID_FIELDS = ("alert_id", "alertId", "alertID")
_REASONS = ("resolution_reason", "dismissal_reason", "dismiss_reason", "escalation_reason", "reason")
_TEXTS = ("resolution_notes", "resolution_note", "notes", "note", "resolution", "comment")
_TESTS = ("ping", "test")


def event_type(content: Mapping[str, object]) -> str:
    """The event's type in either envelope; empty where there is none."""
    for name in ("event_type", "eventType", "type"):
        if kind := text_of(content.get(name), MAX_EVENT_CHARS):
            return kind.strip()
    return ""


def alert_id(content: Mapping[str, object]) -> str | None:
    """The alert an event is about. The upper ``id`` is the event's and never counts."""
    layers = _layers(content)
    named = (id_of(layer.get(name)) for layer in layers for name in _ID_FIELDS)
    inner = (id_of(layer.get("id")) for layer in layers[:-1])
    return next(filter(None, named), None) or next(filter(None, inner), None)


def reading(content: Mapping[str, object]) -> Reading:
    """What one webhook body says, as an event."""
    kind, subject = event_type(content), alert_id(content)
    if not kind:
        return Unreadable("no_event_type")
    if subject is None:
        topic, _, happening = kind.lower().partition(".")
        if topic == "alert":
            return Unreadable("no_alert_id", kind)
        return Ignored("ping" if topic in _TESTS or happening in _TESTS else "not_an_alert")
    our_type = EVENT_TYPES.get(kind.lower(), AlertEventType.MENTIONED)
    return _event(our_type, subject, kind, gathered(_layers(content)), at=content.get("timestamp"))


def listed(content: object) -> Reading:
    """What one object of the API's alert list says: where the alert stands now, without a time of its own."""
    alert = table_of(content)
    subject = next(filter(None, (id_of(alert.get(name)) for name in ("id", *_ID_FIELDS))), None)
    if subject is None:
        return Unreadable("no_alert_id", LISTED)
    status = status_of(alert)
    if status is None:
        return Unreadable("unknown_status", LISTED)
    return _event(_EVENT_TYPE_OF_STATUS[status], subject, LISTED, gathered([alert]), at=None)


def facts(content: object, asked: AlertId) -> AlertFacts | None:
    """Where one alert of an API answer stands; None if it says no status we know."""
    status = status_of(table_of(content))
    return AlertFacts(asked, status) if status else None


def status_of(alert: Mapping[str, object]) -> Status | None:
    """An alert's standing; None for one we do not know."""
    return STATUSES.get((text_of(alert.get("status"), MAX_EVENT_CHARS) or "").strip().lower())


def _event(our_type: AlertEventType, subject: str, kind: str, fields: Fields, at: object) -> Reading:
    if len(subject) > MAX_ID_CHARS:
        return Unreadable("alert_id_too_long", kind)
    for known in ("id", "status", *_ID_FIELDS):  # its status is the event itself
        fields.pop(known, None)
    people = take_people(fields)
    reason, text = take_text(fields, *_REASONS), take_text(fields, *_TEXTS, limit=MAX_TEXT_CHARS)
    alert = read_alert(AlertId(subject), fields, people)
    event_at, time_unread = first_instant(at)
    return AlertEvent(our_type, alert, kind, event_at, _author(kind, people), reason, text, time_unread=time_unread)


def _author(kind: str, people: Mapping[str, str]) -> str | None:
    """Who did it: ``resolved_by`` for ``alert.resolved``, and so on."""
    happening = kind.rpartition(".")[2]
    names = (f"{happening}_by", "updated_by", "actor", "user", "resolved_by", "dismissed_by", "acknowledged_by")
    return next((people[name] for name in names if name in people), None)


def _layers(content: Mapping[str, object]) -> tuple[Mapping[str, object], ...]:
    """Where an event's alert fields may stand, nearest first; the last layer is the envelope itself."""
    data = table_of(content.get("data"))
    outer = {name: value for name, value in content.items() if name not in _ENVELOPE_FIELDS}
    if "event_type" not in content and "eventType" not in content:
        outer.pop("type", None)
    return table_of(data.get("alert")), table_of(content.get("alert")), {**data, "alert": None}, outer


_PLACEHOLDER = re.compile(r"\{(alert_id|resolution)\}")


class _Absent(Exception):
    """A template wants a value that nobody gave."""


def path(template: str, alert_id: str) -> str:
    """The path with the alert id in it, percent-encoded whole; a template without a leading slash gets one."""
    filled = template.replace("{alert_id}", quote(alert_id, safe="", errors="replace"))
    return filled if filled.startswith("/") else "/" + filled


def body(template: Mapping[str, object], values: Mapping[str, str | None]) -> dict[str, object]:
    """The body with ``{alert_id}`` and ``{resolution}`` filled in, once: what a value says is never a template.

    A field whose placeholder has no value is left out.
    """
    filled = {}
    for name, value in template.items():
        try:
            filled[name] = _filled(value, values)
        except _Absent:
            continue
    return filled


def _filled(value: object, values: Mapping[str, str | None]) -> object:
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: _given(values, found[1]), value)
    if isinstance(value, Mapping):
        return body(value, values)
    if isinstance(value, list | tuple):
        return [_filled(entry, values) for entry in value]
    return value


def _given(values: Mapping[str, str | None], name: str) -> str:
    value = values.get(name)
    if not value:
        raise _Absent(name)
    return value


# ---------------------------------------------------------------------------------------------------------- signatures

# Three signatures are documented. The header says which one applies; none stands in for another.

# =============  ========================  ==========================  ======================
# scheme         header                    value                       what is signed
# =============  ========================  ==========================  ======================
# sha256-body    X-TruthVouch-Signature    ``sha256=<hex>``, ``<hex>``   the body
# t-v1           X-TruthVouch-Signature    ``t=<seconds>,v1=<hex>``      ``<t>.`` and the body
# x-signature    X-Signature               ``hmac-sha256=<hex>``         the body
# =============  ========================  ==========================  ======================
#
# https://docs.truthvouch.ai/developers/webhooks/signatures/
# https://truthvouch-doc.pages.dev/developers/webhooks/signatures
# https://truthvouch-doc.pages.dev/developers/webhooks/overview

SIGNATURE_HEADER = "X-TruthVouch-Signature"
OVERVIEW_HEADER = "X-Signature"
BODY_SCHEME = "sha256-body"
TIMED_SCHEME = "t-v1"
OVERVIEW_SCHEME = "x-signature"

_SECONDS = re.compile(r"[0-9]{1,15}")
_TIMED_MESSAGE = re.compile(rb"[0-9]{1,15}\.\s*\{")


@dataclass(frozen=True, slots=True)
class Claim:
    """What a header claims: these signatures, made this way, at ``signed_at`` (epoch seconds) if it says so."""

    scheme: str
    signatures: Sequence[bytes]
    signed_at: str | None = None

    def message(self, body: bytes) -> bytes:
        """The bytes the claim is about."""
        return body if self.signed_at is None else self.signed_at.encode() + b"." + body


def claimed(headers: Mapping[str, str]) -> Claim:
    """Read the claim. Raises ``Refusal``: ``signature_missing``, ``signature_malformed``."""
    if header := (headers.get(SIGNATURE_HEADER) or "").strip():
        signed = entries(header)
        timed = any(entry.startswith(("t=", "v1=")) for entry in signed)
        claim = _timed(signed) if timed else _plain(signed, BODY_SCHEME, "sha256=")
    elif overview := (headers.get(OVERVIEW_HEADER) or "").strip():
        claim = _plain(entries(overview), OVERVIEW_SCHEME, "hmac-sha256=")
    else:
        raise Refusal("signature_missing")
    if not claim.signatures:
        raise Refusal("signature_malformed")
    return claim


def prove(claim: Claim, body: bytes, secrets: Sequence[str], now: float, replay_window_seconds: float) -> int:
    """Which secret proves the claim. Raises ``Refusal``: ``signature_mismatch``, ``signature_stale``.

    ``replay_window_seconds`` is the greatest distance between ``signed_at`` and ``now``, either way; 0 means any,
    because TruthVouch's retries, hours later, may carry the first attempt's time.
    """
    # A timed signature proves "<t>.<body>". Those bytes must not pass as an untimed body: it would shed its time.
    recut = claim.signed_at is None and _TIMED_MESSAGE.match(body)
    index = None if recut else matching_secret(claim.message(body), claim.signatures, secrets)
    if index is None:
        raise Refusal("signature_mismatch")
    if replay_window_seconds > 0 and claim.signed_at and abs(now - int(claim.signed_at)) > replay_window_seconds:
        raise Refusal("signature_stale")
    return index


def _plain(entries: Sequence[str], scheme: str, prefix: str) -> Claim:
    return Claim(scheme, digests(entry.removeprefix(prefix) for entry in entries))


def _timed(entries: Sequence[str]) -> Claim:
    times = {entry.removeprefix("t=") for entry in entries if entry.startswith("t=")}
    if len(times) != 1 or not _SECONDS.fullmatch(signed_at := times.pop()):
        raise Refusal("signature_malformed")
    values = [entry.removeprefix("v1=") for entry in entries if entry.startswith("v1=")]
    return Claim(TIMED_SCHEME, digests(values), signed_at)


def verify(
    headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float, *, replay_window_seconds: float = 0
) -> Envelope:
    """Prove that TruthVouch signed ``body``, then read its envelope.

    ``now`` is epoch seconds. ``replay_window_seconds`` 0 lets a signature be of any age; it can judge only the
    scheme that signs a time. Raises ``Refusal`` (``no_secret``, ``signature_missing``, ``signature_malformed``,
    ``signature_mismatch``, ``signature_stale``) and nothing else.
    """
    if not usable(secrets):
        raise Refusal("no_secret")
    claim = claimed(headers)
    secret_index = prove(claim, body, secrets, now, replay_window_seconds)
    return _envelope(body, headers.get("Content-Encoding"), secret_index, claim.scheme)


def verify_by(
    rulebook: RulebookSource, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float
) -> Envelope:
    """``verify``, with the replay window of the rulebook in force."""
    return verify(headers, body, secrets, now, replay_window_seconds=rulebook.current().replay_window_seconds)


def read(body: bytes, content_encoding: str | None) -> tuple[Reading, ...]:
    """The one event in an authentic body. Never raises."""
    content = read_object(body, content_encoding)
    return (Unreadable(content.reason),) if isinstance(content, Fault) else (reading(content),)


def _envelope(body: bytes, content_encoding: str | None, secret_index: int, scheme: str) -> Envelope:
    content = read_object(body, content_encoding)
    if isinstance(content, Fault):
        return Envelope(delivery_id(None, body), secret_index=secret_index, scheme=scheme, fault=content.reason)
    kind, subject = event_type(content), alert_id(content) or ""
    own_id = _event_id(content, subject)
    series = series_of(subject) if subject and kind and own_id is None else ""
    return Envelope(
        delivery_id=series + delivery_id(own_id, body, kind, subject),
        event=kind,
        subject=subject,
        secret_index=secret_index,
        scheme=scheme,
        fault="" if kind else "no_event_type",
        series=series,
    )


def _event_id(content: Mapping[str, object], subject: str) -> str | None:
    """The event's own id; in a flat envelope ``id`` may be the alert's, which tells no two events apart."""
    named = (content.get(name) for name in ("event_id", "eventId", "id"))
    return next((text for text in named if isinstance(text, str) and text.strip() and text != subject), None)
