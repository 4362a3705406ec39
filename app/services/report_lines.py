"""One incident as a report lists it."""

from datetime import datetime
from typing import Any

from app.domain.draft import draft
from app.domain.link import Link
from app.domain.rulebook import Rulebook
from app.domain.stats_record import UNKNOWN, Course, Record


def line_of(link: Link, record: Record, stood: Course, rulebook: Rulebook, as_of: datetime) -> dict[str, Any]:
    """Facts by name, ready for JSON, as they stood at ``as_of``.

    The title is what the rulebook in force would send to PagerDuty: nothing in it that the redaction policy keeps in.
    The instants are by the clock of the side that told each, so their differences say nothing: the minutes are measured
    (see ``stats_record``). ``duration_minutes`` of an open incident is what it has lasted so far.
    """
    return {
        "incident_number": link.incident_number,
        "incident_id": link.incident_id,
        "title": _title(link, rulebook),
        "status": stood.status,
        "urgency": record.urgency or UNKNOWN,
        "service_id": record.service_id,
        "triggered_at": _text(stood.triggered_at),
        "acknowledged_at": _text(stood.acknowledged_at),
        "acknowledged_by": stood.acknowledged_by,
        "acknowledged_after_minutes": _rounded(stood.minutes_to_acknowledge),
        "resolved_at": _text(stood.resolved_at),
        "duration_minutes": _rounded(_lasted(stood, as_of)),
        "escalated": stood.escalated > 0,
        "reopened": stood.reopened,
        "merged": stood.merged,
        "history_incomplete": record.incomplete,
        "rule": record.rule,
        "severity": record.severity,
        "alert_id": record.alert_id,
        "verdict": record.verdict,
        "url": link.incident_url,
    }


def _title(link: Link, rulebook: Rulebook) -> str:
    return draft(link.alert, link.decision, rulebook).title if link.decision else link.alert.alert_id


def _lasted(stood: Course, as_of: datetime) -> float:
    ended = stood.minutes_to_resolve
    return stood.minutes_until(as_of) if ended is None else ended


def _rounded(minutes: float | None) -> float | None:
    return None if minutes is None else round(minutes, 2)


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
