"""The shapes of reports, as Python callers and ``--json`` get them. A name that is out stays as it is."""

from enum import StrEnum
from typing import NotRequired, TypedDict


class SlaOutcome(StrEnum):
    """What became of one target of one incident."""

    KEPT = "kept"
    BROKEN = "broken"
    RUNNING = "running"
    """Not done yet, and still in time."""


class Trend(StrEnum):
    """Where the load is going."""

    RISING = "rising"
    FALLING = "falling"
    STEADY = "steady"
    """By less than one incident over all the weeks."""
    TOO_FEW_WEEKS = "too_few_weeks"


class IncidentStatus(StrEnum):
    """Where an incident stands, in PagerDuty's words."""

    TRIGGERED = "triggered"
    ACKNOWLEDGED = "acknowledged"
    RESOLVED = "resolved"


class Spread(TypedDict):
    """How so many times are spread. In minutes; None where there is not one."""

    count: int
    mean: float | None
    median: float | None
    p90: float | None
    p95: float | None


class TimeSteps(TypedDict):
    """How many took how long: a time belongs to the first step it does not exceed, or beyond them all."""

    up_to_minutes: list[int]
    acknowledged: list[int]
    resolved: list[int]


class SlaCount(TypedDict):
    """One target of one severity, and how many incidents kept it."""

    minutes: float
    kept: int
    broken: int
    running: int


class Alerts(TypedDict):
    """The alerts of the period. ``total`` is the sum of the four counts after it."""

    total: int
    with_incident: int
    not_opened: int
    """An incident was wanted and none came: the alert was over before, or the create waits or failed."""
    undecided: int
    """No event that may open an incident came."""
    suppressed: int
    """No incident was wanted."""
    suppressed_by_reason: dict[str, int]
    per_incident: float | None


class Verdicts(TypedDict):
    false: int
    true: int
    judged: int
    unjudged: int
    rate: float | None
    """The share (0..1) of false alerts among those that were judged; None when none was."""


class Counted(TypedDict):
    """What is counted of any incidents put together."""

    total: int
    acknowledged: int
    resolved: int
    escalated: int
    escalations: int
    mtta_minutes: Spread
    mttr_minutes: Spread


class Group(Counted):
    name: str
    false_alerts: int


class Day(TypedDict):
    date: str
    total: int
    """With those of an unknown urgency."""
    high: int
    low: int


class Weekday(TypedDict):
    name: str
    total: int


class Hour(TypedDict):
    hour: int
    total: int


class Load(TypedDict):
    """The incidents of one responder, or of all, in each week."""

    name: str
    weekly: list[int]
    total: int
    trend: Trend
    per_week: float | None
    """How many more each week than in the one before, by the straight line through all of them."""


class Capacity(TypedDict):
    """The last whole weeks, oldest first."""

    weeks: list[str]
    everybody: Load
    """All incidents, acknowledged by somebody or not."""
    responders: list[Load]
    """Each incident counts for whoever acknowledged it first; the busiest come first."""


class Numbers(Counted):
    avg_resolution_minutes: float | None
    open: int
    never_acknowledged: int
    """Resolved without an acknowledge."""
    reopened: int
    merged: int
    acknowledged_after_escalation: int
    flaps: int
    history_incomplete: int
    """Alerts that count for anything here, and whose oldest moments had to make room: of them an acknowledge, a reopen
    or an escalation may be missing. The trigger never is."""
    time_steps: TimeSteps
    sla: dict[str, dict[str, SlaCount]]
    """By severity and target (``acknowledge``, ``resolve``), also where no incident was measured against it."""
    alerts: Alerts
    false_alerts: Verdicts
    by_rule: list[Group]
    by_severity: list[Group]
    by_service: list[Group]
    by_urgency: list[Group]
    by_day: list[Day]
    by_weekday: list[Weekday]
    by_hour: list[Hour]
    by_weekday_hour: list[list[int]]
    """Seven weekdays from Monday on, of 24 hours each, by the clocks of the time zone."""
    capacity: Capacity


Days = TypedDict("Days", {"from": str, "to": str})
"""As they were asked for."""


class Period(Days):
    """Instants are in UTC."""

    name: str
    since: str
    until: str
    as_of: str
    record_since: str | None
    """Since when anything is known."""
    complete: bool
    """Whether it is over."""


class About(TypedDict):
    service_id: str | None
    """None: every service."""
    period: Period
    time_zone: str


class ComparedNumber(TypedDict):
    """One number of one service, from both records."""

    service_id: str
    number: str
    """``incidents``, ``acknowledged``, ``escalations``, ``mtta_minutes``, ``mttr_minutes``."""
    bridge: float | None
    pagerduty: float | None
    difference: float | None


class Comparison(TypedDict):
    reason: str | None
    """Why there is nothing to compare; None: there is."""
    rows: list[ComparedNumber]
    notes: list[str]


class Stats(About, Numbers):
    compared: NotRequired[Comparison]


class IncidentLine(TypedDict):
    """One incident as it stood at the report's ``as_of``.

    The instants are by the clock of the side that told each, so their differences say nothing: the minutes are measured
    (see ``record``).
    """

    incident_number: int | None
    incident_id: str | None
    title: str
    """What the rulebook in force would send to PagerDuty: nothing in it that the redaction policy keeps in."""
    status: IncidentStatus
    urgency: str
    service_id: str
    triggered_at: str
    acknowledged_at: str | None
    acknowledged_by: str | None
    acknowledged_after_minutes: float | None
    resolved_at: str | None
    duration_minutes: float
    """Of an open incident what it has lasted so far."""
    escalated: bool
    reopened: int
    merged: bool
    history_incomplete: bool
    rule: str
    severity: str
    alert_id: str
    verdict: str | None
    url: str | None


class Report(About):
    """The numbers of a period, and each incident triggered in it, the oldest first."""

    stats: Stats
    incidents: list[IncidentLine]
    before: NotRequired[Stats | None]
    """The numbers of the period before it."""
    compared: NotRequired[Comparison]
