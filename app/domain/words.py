"""What each side can say: one *word* is one event, read but not yet judged.

Inbound readers make words; ``lifecycle.advance`` judges them. A word never holds a wire shape.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain.alert import Alert
from app.domain.names import IncidentId, IncidentKey, Status


class AlertVerb(StrEnum):
    """What TruthVouch says happened to an alert."""

    CREATED = "created"
    """``alert.created``, ``alert.detected``, or an alert found by reading: the only verb that opens an incident."""
    ACKNOWLEDGED = "acknowledged"
    """``alert.acknowledged`` and ``alert.investigating``."""
    RESOLVED = "resolved"
    """``alert.resolved`` and ``alert.dismissed``."""
    REOPENED = "reopened"
    READ = "read"
    """We looked: ``status`` says where the alert stands. News only if that differs from what we know."""
    MENTIONED = "mentioned"
    """``alert.escalated``, ``correction.*``, ``certification.*`` and whatever is not known: time line only."""


class IncidentVerb(StrEnum):
    """What PagerDuty says happened to an incident."""

    TRIGGERED = "triggered"
    ACKNOWLEDGED = "acknowledged"
    UNACKNOWLEDGED = "unacknowledged"
    RESOLVED = "resolved"
    REOPENED = "reopened"
    MERGED = "merged"
    """``incident.resolved`` with a merge reason: no resolve, the matter moves to another incident."""
    ANNOTATED = "annotated"
    READ = "read"
    """We looked: ``status`` says where the incident stands. News only if that differs from what we know."""
    MENTIONED = "mentioned"
    """Every other event: time line only."""


@dataclass(frozen=True, slots=True)
class AlertWord:
    """One thing TruthVouch said. ``at`` is the event's own time, None when it did not say."""

    verb: AlertVerb
    alert: Alert
    event: str
    """The vendor's event type as it came, for the time line: ``alert.dismissed``."""
    at: datetime | None = None
    author: str | None = None
    reason: str | None = None
    """``false_positive`` and the like."""
    text: str | None = None
    """Free text a person wrote with it."""
    status: Status | None = None
    """For READ: where it stands."""
    read_at: datetime | None = None
    """For READ: when the look began. What we learned or did since is newer."""
    time_unread: bool = False
    """It came with a time that was not understood; ``at`` is None then."""


@dataclass(frozen=True, slots=True)
class IncidentWord:
    """One thing PagerDuty said. ``at`` is the event's own time, None when it did not say."""

    verb: IncidentVerb
    incident_id: IncidentId
    event: str
    """The vendor's event type as it came: ``incident.acknowledged``."""
    at: datetime | None = None
    incident_key: IncidentKey | None = None
    """None for incidents opened through the Events API: PagerDuty does not say it."""
    merged_into: IncidentId | None = None
    number: int | None = None
    html_url: str | None = None
    urgency: str | None = None
    author: str | None = None
    """Display name of the person; None for automation."""
    author_kind: str | None = None
    """``user_reference``, ``inbound_integration_reference``, ``service_reference``, ... or None."""
    note: str | None = None
    alert_id_hint: str | None = None
    """The alert id, where the older shape of the TruthVouch page carries it in ``body.details``."""
    status: Status | None = None
    """For READ: where it stands; ``at`` is when that last changed."""
    read_at: datetime | None = None
    """For READ: when the look began. What we learned or did since is newer."""
    note_id: str | None = None
    """PagerDuty's id of ``note``; None where it did not say."""
    trimmed: bool = False
    """PagerDuty cut ``note`` short; the whole of it is among the incident's notes."""
    time_unread: bool = False
    """It came with a time that was not understood; ``at`` is None then."""


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An authentic body that is no event: it is parked under this reason word, never refused."""

    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Ignored:
    """An authentic event, understood, that concerns neither an alert nor an incident: nothing is owed for it."""

    reason: str
    """``ping``, ``not_an_incident`` (``service.updated``), ``not_an_alert`` (``certification.issued``)."""


class WishVerb(StrEnum):
    """What an operator can ask of the worker."""

    REPLAY = "replay"
    """Try a dead letter again."""
    DISCARD = "discard"
    """Close a dead letter without trying it; what waits behind it goes on."""
    THAW = "thaw"
    """End a link's freeze."""
    RECONCILE = "reconcile"
    """Read both sides back now."""
    ESCALATE = "escalate"
    """Escalate an incident unless somebody acknowledges it, or end that: ``detail`` says which."""


@dataclass(frozen=True, slots=True)
class Wish:
    """One thing an operator asked for. It goes through the inbox like everything else, so it is durable and once."""

    verb: WishVerb
    subject: str = ""
    """A dead letter's number, an alert id, an incident id, or nothing."""
    by: str = ""
    """Who asked, for the time line."""
    detail: str = ""
    """JSON, for wishes that need more than a subject."""


Word = AlertWord | IncidentWord
Reading = Word | Unreadable | Ignored | Wish


@dataclass(frozen=True, slots=True)
class Envelope:
    """The little that is read before the 202."""

    delivery_id: str
    """What makes a delivery the same one: the event's id, type and subject, or the hash of the body."""
    event: str = ""
    subject: str = ""
    """Alert id or incident id, for the log line; empty when it could not be told."""
    secret_index: int = 0
    """Which configured secret matched (0 = newest)."""
    scheme: str = ""
    """Which signature variant matched."""
    fault: str = ""
    """Why the body will be parked (``not_json``, ...); empty when the envelope was readable."""
    series: str = ""
    """Of an event without an id: how the delivery ids of all such of its subject begin. It is a duplicate only if the
    newest of them has the same body: a second resolve after a reopen is news. Empty where the event has an id."""
