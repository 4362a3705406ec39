"""A PagerDuty service as far as its settings surprise: it can swallow a page, and it can close one by itself.

https://support.pagerduty.com/main/docs/configurable-service-settings
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """What PagerDuty says of one service."""

    service_id: str
    name: str = ""
    status: str = ""
    """``active``, ``warning``, ``critical``, ``maintenance`` or ``disabled``."""
    acknowledgement_timeout: int | None = None
    """Seconds after which an acknowledged incident is open again by itself; None = never."""
    auto_resolve_timeout: int | None = None
    """Seconds after which an incident resolves by itself; None = never."""
    urgency: str | None = None
    """What incidents of the Events API get: ``high``, ``low``, ``severity_based``; None when that is not told."""
    policy_id: str | None = None
    """Its own escalation policy."""
