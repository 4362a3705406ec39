"""What a TruthVouch severity means at PagerDuty. Every function here answers for every string, and for none at all."""

from collections.abc import Mapping

from app.domain.names import Urgency

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
