"""What each side can report: events, read and not yet applied.

Inbound readers make events; ``transitions.advance`` applies them. An event never holds a wire shape.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from app.domain.model.types import Alert, IncidentId, IncidentKey, Status


class AlertEventType(StrEnum):
    """What TruthVouch says happened to an alert."""

    CREATED = "created"
    """``alert.created``, ``alert.detected``, or an alert found by reading: the only type that opens an incident."""
    ACKNOWLEDGED = "acknowledged"
    """``alert.acknowledged`` and ``alert.investigating``."""
    RESOLVED = "resolved"
    """``alert.resolved`` and ``alert.dismissed``."""
    REOPENED = "reopened"
    READ = "read"
    """We looked: ``status`` says where the alert stands. News only if that differs from what we know."""
    MENTIONED = "mentioned"
    """``alert.escalated``, ``correction.*``, ``certification.*`` and whatever is not known: time line only."""


class IncidentEventType(StrEnum):
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
class AlertEvent:
    """One thing TruthVouch said. ``at`` is the event's own time, None when it did not say."""

    type: AlertEventType
    alert: Alert
    name: str
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
    """For READ: when the read began. What we learned or did since is newer."""
    time_unread: bool = False
    """It came with a time that was not understood; ``at`` is None then."""


@dataclass(frozen=True, slots=True)
class IncidentEvent:
    """One thing PagerDuty said. ``at`` is the event's own time, None when it did not say."""

    type: IncidentEventType
    incident_id: IncidentId
    name: str
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
    """For READ: when the read began. What we learned or did since is newer."""
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
    """An authentic event, understood, that concerns neither an alert nor an incident: nothing follows from it."""

    reason: str
    """``ping``, ``not_an_incident`` (``service.updated``), ``not_an_alert`` (``certification.issued``)."""


class CommandType(StrEnum):
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
    ERASE = "erase"
    """Erase the evidence of an alert now."""
    START_JOB = "start_job"
    """Queue a job under the key that is the subject: ``detail`` says which."""
    CANCEL_JOB = "cancel_job"
    """End the job of this number."""
    SILENCE = "silence"
    """Keep the silence of this name in the store: ``detail`` says which alerts, until when, and why."""
    END_SILENCE = "end_silence"
    """End the silence of this name that the store has."""
    SAVE_DRAFT = "save_draft"
    """Keep a draft of rules under this name; ``detail`` is its text."""
    DELETE_DRAFT = "delete_draft"
    SHADOW_DRAFT = "shadow_draft"
    """Ask the stored draft of this name beside the rules in force; without a name, none any more."""
    ACKNOWLEDGE = "acknowledge"
    """Acknowledge an alert on both sides."""
    RESOLVE = "resolve"
    """Resolve an alert on both sides; ``detail`` is the note that goes with it."""
    FALSE_ALERT = "false_alert"
    """Record that an alert was none. It changes nothing on either side."""
    SILENCE_ALIKE = "silence_alike"
    """Silence for two hours what looks like this alert, unless it is silenced; ``detail`` is the silence's name."""
    NOTE = "note"
    """Write ``detail`` as a note to the incident of an alert."""


class CommandOutcome(StrEnum):
    """What became of a command. ``services/operator`` says what each means, for people."""

    REPLAYED = "replayed"
    NOTHING_TO_DO = "nothing_to_do"
    DISCARDED = "discarded"
    CLOSED = "closed"
    ALREADY_CLOSED = "already_closed"
    GONE = "gone"
    STILL_UNREADABLE = "still_unreadable"
    THAWED = "thawed"
    NOT_FROZEN = "not_frozen"
    ASKED = "asked"
    ARMED = "armed"
    CANCELLED = "cancelled"
    NOT_ARMED = "not_armed"
    NOT_TAKEN = "not_taken"
    BAD_REQUEST = "bad_request"
    INVALID = "invalid"
    QUEUED = "queued"
    CANCEL_ASKED = "cancel_asked"
    ALREADY_OVER = "already_over"
    SILENCED = "silenced"
    ENDED = "ended"
    TOO_MANY = "too_many"
    SAVED = "saved"
    DELETED = "deleted"
    SHADOWED = "shadowed"
    NOT_SHADOWED = "not_shadowed"
    NO_SUCH_JOB = "no_such_job"
    NO_SUCH_SILENCE = "no_such_silence"
    NO_SUCH_DRAFT = "no_such_draft"
    NO_SUCH_DEAD_LETTER = "no_such_dead_letter"
    NO_SUCH_LINK = "no_such_link"
    ERASED = "erased"
    ERASING = "erasing"
    ALREADY_ERASED = "already_erased"
    CARRIED = "carried"
    ALREADY_SO = "already_so"
    JUDGED = "judged"
    SILENCED_BEFORE = "silenced_before"
    NOTED = "noted"
    NO_INCIDENT = "no_incident"
    HURRIED = "hurried"
    ALREADY_ASKED = "already_asked"
    IN_HAND = "in_hand"


class Way(StrEnum):
    """By which way a person acted."""

    CONSOLE = "console"
    LINK = "link"
    """A link: one that logs in once, or a signed one that needs no login."""
    API = "api"
    CLI = "cli"
    HANDLER = "handler"
    """``PagerDutyHandler``, out of a program."""


@dataclass(frozen=True, slots=True)
class Command:
    """One thing an operator asked for. It goes through the inbox like everything else, so it is durable and once."""

    type: CommandType
    subject: str = ""
    """A dead letter's number, an alert id, an incident id, a job's key or number, a silence's or a draft's name, or
    nothing."""
    by: str = ""
    """Who asked, for the time line."""
    detail: str = ""
    """What a command needs besides its subject: JSON, or a draft's text."""
    way: Way | None = None
    """None: no person asked, or an older version did not say."""


Event = AlertEvent | IncidentEvent
Reading = Event | Unreadable | Ignored | Command


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
