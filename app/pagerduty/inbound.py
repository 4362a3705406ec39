"""PagerDuty's webhooks v3: prove the bytes, read the envelope, read the word. No I/O.

https://developer.pagerduty.com/docs/webhooks/webhooks-overview/
https://developer.pagerduty.com/docs/webhooks/webhook-signatures/
"""

from collections.abc import Mapping, Sequence

from marshmallow import EXCLUDE, Schema, ValidationError, fields

from app.domain import proof
from app.domain.payload import Fault, delivery_id, read_object, table_of, text_of
from app.domain.words import Envelope, Reading, Unreadable
from app.pagerduty import webhook
from app.ports import Refusal

SIGNATURE_HEADER = "X-PagerDuty-Signature"
SCHEME = "v1"


class _EventEnvelope(Schema):
    """The two fields of ``event`` that are needed before the 202; a field of the wrong type counts as absent."""

    class Meta:
        unknown = EXCLUDE

    id = fields.String()
    event_type = fields.String()


_ENVELOPE = _EventEnvelope()  # building a schema costs a hundred times what using it does


def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> Envelope:
    """Prove that PagerDuty signed ``body``, then read its envelope.

    ``v1=`` entries are HMAC-SHA256 over the raw body; any one of several may match, as during a change of secret.
    Raises ``Refusal`` (``no_secret``, ``signature_missing``, ``signature_malformed``, ``signature_mismatch``) and
    nothing else. ``now`` is not used: PagerDuty signs no time and retries for 48 hours, so the guard against
    replay is the signed ``event.id``.
    """
    if not proof.usable(secrets):
        raise Refusal("no_secret")
    secret_index = proof.matching_secret(body, _signatures(headers.get(SIGNATURE_HEADER)), secrets)
    if secret_index is None:
        raise Refusal("signature_mismatch")
    return _envelope(body, headers.get("Content-Encoding"), secret_index)


def read(body: bytes, content_encoding: str | None) -> tuple[Reading, ...]:
    """The one word in an authentic body. Never raises."""
    told = read_object(body, content_encoding)
    return (Unreadable(told.reason),) if isinstance(told, Fault) else (webhook.reading(webhook.event_of(told)),)


def _signatures(header: str | None) -> list[bytes]:
    if not header or not header.strip():
        raise Refusal("signature_missing")
    prefix = SCHEME + "="
    values = [entry.removeprefix(prefix) for entry in proof.entries(header) if entry.startswith(prefix)]
    signatures = proof.digests(values)
    if not signatures:
        raise Refusal("signature_malformed")
    return signatures


def _envelope(body: bytes, content_encoding: str | None, secret_index: int) -> Envelope:
    told = read_object(body, content_encoding)
    if isinstance(told, Fault):
        return Envelope(delivery_id(None, body), secret_index=secret_index, scheme=SCHEME, fault=told.reason)
    event = webhook.event_of(told)
    seen = _known_fields(event)
    kind = text_of(seen.get("event_type")) or webhook.event_type(event)
    kind, subject = kind[: webhook.MAX_EVENT_CHARS], webhook.incident_id(event) or ""
    return Envelope(
        delivery_id=delivery_id(seen.get("id"), body, kind, subject),
        event=kind,
        subject=subject,
        secret_index=secret_index,
        scheme=SCHEME,
        fault="" if kind else "no_event_type",
    )


def _known_fields(event: Mapping[str, object]) -> Mapping[str, object]:
    try:
        return table_of(_ENVELOPE.load(event))
    except ValidationError as invalid:
        return table_of(invalid.valid_data)
