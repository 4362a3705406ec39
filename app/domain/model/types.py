"""The identifiers, closed vocabularies and values that every room shares; among them the alert."""

import dataclasses
import hashlib
import operator
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from itertools import repeat
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, NewType, overload

# ------------------------------------------------------------------------------------------------------------- replace

if TYPE_CHECKING:
    from dataclasses import replace as replace
else:
    # An alert takes two dozen of these, half of them of a link's forty fields: a twentieth of what the worker does.
    def replace(value: Any, /, **changes: Any) -> Any:
        """As ``dataclasses.replace``, which asks each field of each value what it is: for slots a third of the time."""
        shape = _shapes.get(type(value)) or _shape_of(type(value))
        if shape is None:
            return dataclasses.replace(value, **changes)
        values_of, places, setters = shape
        values = list(values_of(value))
        for name, changed in changes.items():
            values[places[name]] = changed
        made = object.__new__(type(value))
        deque(map(operator.call, setters, repeat(made), values), 0)
        return made

    _shapes = {}

    def _shape_of(kind: type) -> Any:
        """How to read all fields, the place of each, and how to write each; None where making one does more."""
        members = [(one.name, getattr(kind, one.name, None)) for one in fields(kind)]
        plain = all(isinstance(member, MemberDescriptorType) for _, member in members)
        if len(members) < 2 or not plain or hasattr(kind, "__post_init__"):
            return None
        names = [name for name, _ in members]
        places = {name: place for place, name in enumerate(names)}
        _shapes[kind] = (operator.attrgetter(*names), places, [member.__set__ for _, member in members])
        return _shapes[kind]


# --------------------------------------------------------------------------------------------------------------- names

AlertId = NewType("AlertId", str)
IncidentId = NewType("IncidentId", str)
LinkId = NewType("LinkId", int)
IncidentKey = NewType("IncidentKey", str)
"""``incident_key`` (REST) and ``dedup_key`` (Events API) of one alert: the same text."""

MAX_INCIDENT_KEY_CHARS = 255
"""The Events API's limit on ``dedup_key``; REST documents none.
https://developer.pagerduty.com/docs/events-api-v2/trigger-events/"""

MAX_NUMBER_DIGITS = 15

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""What claims to be earlier comes from a clock that was never set, or means "no time" (0001-01-01, 1970-01-01)."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
_FIRST_MILLISECONDS = 100_000_000_000
"""As seconds it would be the year 5138, as milliseconds it is 1973."""
_MAX_INSTANT_CHARS = 100
_DIGITS_OF_A_DATE = 8
"""``20260504`` is a date."""
_WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
"""How HTTP dates begin, all three kinds of them. https://www.rfc-editor.org/rfc/rfc9110#section-5.6.7"""
_UTC = re.compile(r"\s*(?:Z|UTC|GMT)$")
_SECOND_60 = re.compile(r"(\d{4}-?\d\d-?\d\d.\d\d:?\d\d:?)60")
_HOUR_24 = re.compile(r"(\d{4}-?\d\d-?\d\d.)24(?=:?00(:?00(\.0+)?)?(?:[+-]|$))")


class Side(StrEnum):
    """The two systems a link keeps in step."""

    TRUTHVOUCH = "truthvouch"
    PAGERDUTY = "pagerduty"


class Source(StrEnum):
    """Who put a delivery into the inbox: one of the two systems, or the bridge itself."""

    TRUTHVOUCH = "truthvouch"
    PAGERDUTY = "pagerduty"
    BRIDGE = "bridge"
    """What reconciliation found and what an operator asked for."""

    @property
    def side(self) -> Side:
        """The system that speaks. Raises ``ValueError`` for the bridge, which is none of the two."""
        return Side(self.value)


class Status(StrEnum):
    """How far along an alert or its incident is; both sides have the same three statuses."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"

    @property
    def rank(self) -> int:
        """0 open, 1 acknowledged, 2 resolved."""
        return list(Status).index(self)


class Urgency(StrEnum):
    """PagerDuty's urgency of an incident: high pages, low queues."""

    HIGH = "high"
    LOW = "low"


class Via(StrEnum):
    """The PagerDuty API that an incident goes to."""

    REST = "rest"
    EVENTS = "events"


def incident_key(alert_id: AlertId) -> IncidentKey:
    """The one key an alert's incident will ever have: stable, 75 characters, never empty."""
    return IncidentKey("truthvouch-" + hashlib.sha256(alert_id.encode("utf-8", "surrogatepass")).hexdigest())


def number_meant(text: str) -> int | None:
    """The incident's number in ``2`` or ``#2``, as people write it; None for anything else."""
    digits = text.strip().removeprefix("#")
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) <= MAX_NUMBER_DIGITS else None


def first_instant(*values: object) -> tuple[datetime | None, bool]:
    """The first of these that is an instant; and whether one was told, but none that was understood."""
    found = next((at for at in map(instant, values) if at is not None), None)
    return found, found is None and any(value is not None for value in values)


@overload
def instant_of(value: int) -> datetime: ...
@overload
def instant_of(value: int | None) -> datetime | None: ...
def instant_of(value: int | None) -> datetime | None:
    """The instant so many whole microseconds after 1970."""
    return None if value is None else EPOCH + timedelta(0, 0, value)


def instant(value: object) -> datetime | None:
    """Read an instant as aware UTC; None for anything that is not one, whatever it is.

    ISO 8601 and RFC 3339 (a time without a zone is UTC, as both vendors write it; second 60 is the first second of the
    next minute), HTTP dates, and seconds or milliseconds since 1970 as a number or as its digits. Before 2000 there is
    no time: that is how programs say that they know none.
    """
    try:
        read = _since_1970(value) if isinstance(value, int | float) else _written(value)
        at = read.astimezone(UTC) if read else None
    except (ValueError, OverflowError, TypeError, IndexError):  # the last two are of `email.utils`
        return None
    return at if at and at >= EARLIEST else None


def _since_1970(number: int | float) -> datetime | None:
    """Seconds, or milliseconds where as seconds it would be thousands of years from now."""
    if isinstance(number, bool):
        return None
    return EPOCH + (timedelta(seconds=number) if abs(number) < _FIRST_MILLISECONDS else timedelta(milliseconds=number))


def _written(value: object) -> datetime | None:
    if not isinstance(value, str) or len(value) > _MAX_INSTANT_CHARS:
        return None
    text = value.strip().upper()
    if text.isascii() and text.isdigit() and len(text) != _DIGITS_OF_A_DATE:
        return _since_1970(int(text))
    read = parsedate_to_datetime(text) if text.startswith(_WEEKDAYS) else _iso(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _iso(text: str) -> datetime:
    """As ``datetime.fromisoformat``, with the second 60, the hour 24 and the zones ``Z``, ``UTC`` and ``GMT``."""
    later = timedelta(0)
    text = _UTC.sub("+00:00", text)
    if found := _SECOND_60.match(text):
        text, later = f"{found[1]}59{text[found.end() :]}", timedelta(seconds=1)
    elif found := _HOUR_24.match(text):
        text, later = f"{found[1]}00{text[found.end() :]}", timedelta(days=1)
    return datetime.fromisoformat(text) + later


TOGETHER = "+"
"""In the name of a workflow with more than one delivery; only the first of them can be read from it."""


def delivery_name(side: Side, link_id: LinkId, seq: int) -> str:
    """What a delivery's workflow is called, for ever: that is how it is found again, and why none is enqueued twice. It
    is zero-padded, so that the engine's tie-break by id is the order of submission."""
    return f"{side}-{link_id:019d}-{seq:010d}"


# ------------------------------------------------------------------------------------------------------------ severity

UNKNOWN_COUNTS_AS = "high"
"""A severity that the map does not name, or that was never told, is treated like this one, and is counted."""

RANK: Mapping[str, int] = {"low": 0, "medium": 1, "high": 2, "critical": 3}
"""TruthVouch's four severities in their order."""

_EVENTS_SEVERITY: Mapping[str, str] = {"critical": "critical", "high": "error", "medium": "warning", "low": "info"}
_EVENTS_SEVERITY_OF_UNKNOWN = "error"
_PAGING = ("critical", "error")


def is_known(severity: str | None, severity_map: Mapping[str, Urgency | None]) -> bool:
    """Whether the map has a word on this severity, upper or lower case."""
    return severity is not None and severity.lower() in severity_map


def urgency_of(severity: str | None, severity_map: Mapping[str, Urgency | None]) -> Urgency | None:
    """The urgency the map gives this severity; None means no incident. An unknown severity counts as ``high``."""
    known = severity.lower() if severity is not None and is_known(severity, severity_map) else UNKNOWN_COUNTS_AS
    return severity_map.get(known, Urgency.HIGH)


def events_severity(severity: str | None, urgency: Urgency | None = None) -> str:
    """One of the four severities the Events API takes: critical, error, warning, info.

    The Events API has no urgency. On a service with dynamic notifications its severity decides instead: critical and
    error page, warning and info do not. So high urgency is at least ``error``, and low urgency at most ``warning``.
    https://support.pagerduty.com/main/docs/dynamic-notifications
    """
    mapped = _EVENTS_SEVERITY.get((severity or "").lower(), _EVENTS_SEVERITY_OF_UNKNOWN)
    if urgency is Urgency.HIGH:
        return mapped if mapped in _PAGING else "error"
    return "warning" if urgency is Urgency.LOW and mapped in _PAGING else mapped


# ---------------------------------------------------------------------------------------------------------- confidence

# TruthVouch's pages write the same thing as ``0.05``, ``"5%"``, ``5`` (out of 100) and ``"15/100"``. They also use the
# word for two opposite things, how true the answer is and how sure the detection is. This module reads numbers and does
# not know which of the two it reads; the caller keeps them in different fields (``Alert.confidence``,
# ``Alert.detection_confidence``) and never mixes them.

MAX_TEXT_CHARS = 100

_NUMBER = r"(?:[0-9]{1,20}(?:\.[0-9]{0,40})?|\.[0-9]{1,40})(?:[eE][+-]?[0-9]{1,3})?"
_WRITTEN = re.compile(rf"({_NUMBER})\s*(?:(%)|/\s*({_NUMBER}))?", re.ASCII)


def normalise(value: object) -> tuple[float | None, str | None]:
    """A confidence on the scale 0 to 1, and the text to show to people.

    A bare number above 1 is out of 100, so ``5`` is 0.05 and ``1`` is 1.0. What is no confidence (NaN, infinity,
    negative, beyond 100, a boolean, prose) gives None for the number; a text is kept as it was written, at most 100
    characters of it.
    """
    if isinstance(value, str):
        text = value.strip()
        return _read(text), text[:MAX_TEXT_CHARS] or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None, None
    share = _out_of_one(value)
    return share, None if share is None else str(value)


def _read(text: str) -> float | None:
    written = _WRITTEN.fullmatch(text)
    if written is None:
        return None
    number, percent, whole = written.groups()
    if percent:
        return _ratio(float(number), 100)
    if whole:
        return _ratio(float(number), float(whole))
    return _out_of_one(float(number))


def _out_of_one(number: int | float) -> float | None:
    if not 0 <= number <= 100:  # NaN fails this comparison too
        return None
    return float(number) if number <= 1 else number / 100


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if 0 <= part <= whole and 0 < whole < float("inf") else None


# ------------------------------------------------------------------------------------------------------------- verdict

# TruthVouch closes an alert with a reason; on an incident anybody can write a tag into a note or the resolution.

FALSE_ALERT, TRUE_ALERT = "false_alert", "true_alert"

FALSE_REASONS = frozenset({"false_positive", "paraphrase_ok", "paraphrase", "outdated_fact", "not_a_hallucination"})
"""TruthVouch's reasons that say the AI was right after all (``resolution_reason``, the dialogue of a dismissal)."""
TRUE_REASONS = frozenset({"true_positive", "confirmed", "corrected", "correction_verified", "fixed"})

TAGS = {"#false-alert": FALSE_ALERT, "#true-alert": TRUE_ALERT}
"""What may stand anywhere in a PagerDuty note or resolution, in any case."""
_TAG = re.compile("|".join(map(re.escape, TAGS)), re.IGNORECASE)


def verdict_of(reason: str | None, *texts: str | None) -> str | None:
    """The verdict in a reason or in texts; a tag is the clearer word. None where neither says anything."""
    for text in texts:
        if found := _TAG.search(text or ""):
            return TAGS[found[0].lower()]
    word = re.sub(r"[^a-z]+", "_", (reason or "").lower()).strip("_")
    return FALSE_ALERT if word in FALSE_REASONS else TRUE_ALERT if word in TRUE_REASONS else None


# ---------------------------------------------------------------------------------------------------------------- alert

Scalar = str | int | float | bool | None

EVIDENCE_FIELDS = ("message", "claim", "truth", "query", "response", "confidence_text", "dashboard_url")
"""The fields of an alert that hold free text. They, its people and the texts among its other fields are its evidence:
what is kept for a time only."""


@dataclass(frozen=True, slots=True)
class Alert:
    """What TruthVouch told about an alert, put together from every event so far.

    ``confidence`` is how true the AI's answer is, 0 (false) to 1 (true); ``detection_confidence`` is how
    sure TruthVouch is of its finding, 0 to 1. They have opposite meanings and are never mixed.
    None always means "never sent".
    """

    alert_id: AlertId
    severity: str | None = None
    """critical, high, medium, low, or whatever word came, in lower case."""
    kind: str | None = None
    """hallucination, pii, injection, toxicity, ... (``data.type``, ``detection_type``)."""
    category: str | None = None
    message: str | None = None
    claim: str | None = None
    """What the AI claimed (``fact``)."""
    truth: str | None = None
    """What is true instead (``actualFact``)."""
    query: str | None = None
    response: str | None = None
    model: str | None = None
    confidence: float | None = None
    confidence_text: str | None = None
    """The confidence as it was written, for people: ``5%``."""
    detection_confidence: float | None = None
    trust_score: float | None = None
    dashboard_url: str | None = None
    created_at: datetime | None = None
    people: Mapping[str, str] = field(default_factory=dict)
    """Personal data: user ids, e-mails, IP addresses. Leaves only by opt-in."""
    extra: Mapping[str, Scalar] = field(default_factory=dict)
    """Every other scalar field TruthVouch sent, by its snake_case name; rules may name them."""
    erased_at: datetime | None = None
    """Since when its evidence is erased: what comes later is not taken. None: it is not."""

    @property
    def evidence(self) -> Mapping[str, str]:
        """Every text and every person it holds, by field; a person's as ``people.<role>``."""
        own = {name: text for name in EVIDENCE_FIELDS if (text := getattr(self, name))}
        others = {name: value for name, value in self.extra.items() if isinstance(value, str)}
        return {**others, **own, **{f"people.{role}": person for role, person in self.people.items()}}

    def without_evidence(self, at: datetime) -> "Alert":
        """This alert with its evidence erased, for ever, since ``at``. Its id, labels and numbers stay."""
        numbers = {name: value for name, value in self.extra.items() if not isinstance(value, str)}
        nothing: dict[str, None] = dict.fromkeys(EVIDENCE_FIELDS)
        return replace(self, **nothing, people={}, extra=numbers, erased_at=at)  # type: ignore[arg-type]

    def updated_by(self, newer: "Alert") -> "Alert":
        """This alert with everything ``newer`` tells laid over it; silence in ``newer`` erases nothing. Of one whose
        evidence is erased only labels and numbers change."""
        if self.erased_at is not None:
            newer = newer.without_evidence(self.erased_at)
        known_fields = {
            f.name: getattr(newer, f.name)
            for f in fields(newer)
            if f.name not in ("people", "extra") and getattr(newer, f.name) is not None
        }
        return replace(
            self, **known_fields, people={**self.people, **newer.people}, extra={**self.extra, **newer.extra}
        )
