"""The identifiers and closed vocabularies every room shares."""

import hashlib
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import NewType

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

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
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
    """How far along a matter is; both sides have the same three rungs."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"

    @property
    def rung(self) -> int:
        """0 open, 1 acknowledged, 2 resolved."""
        return list(Status).index(self)


class Urgency(StrEnum):
    """PagerDuty's urgency of an incident: high pages, low queues."""

    HIGH = "high"
    LOW = "low"


class Via(StrEnum):
    """The PagerDuty door an incident goes through."""

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
    return _EPOCH + (timedelta(seconds=number) if abs(number) < _FIRST_MILLISECONDS else timedelta(milliseconds=number))


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
