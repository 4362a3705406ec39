"""TruthVouch's webhooks: prove the bytes, read the envelope, read the word. No I/O.

https://truthvouch-doc.pages.dev/developers/webhooks/overview (nested envelope)
https://truthvouch-doc.pages.dev/developers/webhooks/events (flat envelope)
"""

from collections.abc import Mapping, Sequence

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from app.domain import proof
from app.domain.payload import Fault, delivery_id, read_object, series_of, table_of
from app.domain.words import Envelope, Reading, Unreadable
from app.ports import Refusal
from app.truthvouch import signatures, wire


class _EventEnvelope(Schema):
    """The ids a delivery may be known by; one of the wrong type counts as absent."""

    class Meta:
        unknown = EXCLUDE

    id = fields.String()
    event_id = fields.String()
    eventId = fields.String()


_ENVELOPE = _EventEnvelope()  # building a schema costs a hundred times what using it does


def verify(
    headers: Mapping[str, str],
    body: bytes,
    secrets: Sequence[str],
    now: float,
    *,
    replay_window_seconds: float = 0,
) -> Envelope:
    """Prove that TruthVouch signed ``body``, then read its envelope.

    ``now`` is epoch seconds. ``replay_window_seconds`` 0 lets a signature be of any age; it can judge only the
    scheme that signs a time. Raises ``Refusal`` (``no_secret``, ``signature_missing``, ``signature_malformed``,
    ``signature_mismatch``, ``signature_stale``) and nothing else.
    """
    if not proof.usable(secrets):
        raise Refusal("no_secret")
    claim = signatures.claimed(headers)
    secret_index = signatures.prove(claim, body, secrets, now, replay_window_seconds)
    return _envelope(body, headers.get("Content-Encoding"), secret_index, claim.scheme)


def read(body: bytes, content_encoding: str | None) -> tuple[Reading, ...]:
    """The one word in an authentic body. Never raises."""
    told = read_object(body, content_encoding)
    return (Unreadable(told.reason),) if isinstance(told, Fault) else (wire.reading(told),)


def _envelope(body: bytes, content_encoding: str | None, secret_index: int, scheme: str) -> Envelope:
    told = read_object(body, content_encoding)
    if isinstance(told, Fault):
        return Envelope(delivery_id(None, body), secret_index=secret_index, scheme=scheme, fault=told.reason)
    kind, subject = wire.event_type(told), wire.alert_id(told) or ""
    own_id = _event_id(told, subject)
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


def _event_id(told: Mapping[str, object], subject: str) -> str | None:
    """The event's own id; in a flat envelope ``id`` may be the alert's, which tells no two events apart."""
    seen = _known_fields(told)
    named = (seen.get(name) for name in ("event_id", "eventId", "id"))
    return next((text for text in named if isinstance(text, str) and text.strip() and text != subject), None)


def _known_fields(told: Mapping[str, object]) -> Mapping[str, object]:
    try:
        return table_of(_ENVELOPE.load(told))
    except ValidationError as invalid:
        return table_of(invalid.valid_data)
