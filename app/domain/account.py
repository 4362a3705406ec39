"""What PagerDuty tells of the people and policies around its incidents.

https://developer.pagerduty.com/api-reference/ (escalation policies, on-calls, users, log entries)
"""

from dataclasses import dataclass
from datetime import datetime


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
