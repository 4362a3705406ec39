"""What PagerDuty tells of the people and policies around its incidents.

https://developer.pagerduty.com/api-reference/ (escalation policies, on-calls, users, log entries)

A PagerDuty service as far as its settings surprise: it can swallow a page, and it can close one by itself.
"""

from dataclasses import dataclass
from datetime import datetime

# ------------------------------------------------------------------------------------------------------------- account


@dataclass(frozen=True, slots=True)
class UserFacts:
    """Somebody who can be paged."""

    user_id: str
    name: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class PolicyLevel:
    """One level of an escalation policy, and the minutes until PagerDuty itself goes to the next."""

    delay_minutes: float
    targets: tuple[str, ...] = ()
    """Names of users and schedules."""


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """One escalation policy. Levels count from 1: ``levels[0]`` is level 1."""

    policy_id: str
    name: str = ""
    levels: tuple[PolicyLevel, ...] = ()
    loops: int = 0
    """How often it begins again when nobody acknowledged."""


@dataclass(frozen=True, slots=True)
class OnCall:
    """Somebody on call at a level of a policy."""

    policy_id: str
    level: int
    user_id: str
    user_name: str = ""
    until: datetime | None = None
    """None: always."""


@dataclass(frozen=True, slots=True)
class LogFacts:
    """One line of an incident's own history at PagerDuty."""

    kind: str
    """``escalate``, ``notify``, ``status_update``, ...: the entry's type without ``_log_entry``."""
    text: str = ""
    """Summary and channel summary, to look for a reference in."""
    at: datetime | None = None


# ------------------------------------------------------------------------------------------------------------- service

# https://support.pagerduty.com/main/docs/configurable-service-settings


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
