"""The identifiers and closed vocabularies every room shares."""

import hashlib
from datetime import UTC, datetime
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


def instant(text: object) -> datetime | None:
    """Read an ISO 8601 instant as aware UTC; None for anything that is not one.

    A time without a zone is taken as UTC, as both vendors write it.
    """
    if not isinstance(text, str):
        return None
    try:
        read = datetime.fromisoformat(text.strip())
        return (read if read.tzinfo else read.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
