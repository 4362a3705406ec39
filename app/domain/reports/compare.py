"""Comparisons: our numbers beside PagerDuty's, week beside week, incidents against targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

from app.domain.reports.figures import Capacity, ComparedNumber, Group, Load, SlaOutcome, Trend
from app.domain.reports.period import midnight, monday_of, week_name
from app.domain.reports.record import IncidentTimes, slope
from app.domain.rules.rulebook import Sla

# ------------------------------------------------------------------------------------------------ beside PagerDuty


@dataclass(frozen=True, slots=True)
class ServiceMetrics:
    """What PagerDuty's analytics say of one service. None: nothing qualified for that mean.

    https://developer.pagerduty.com/api-reference/ (analytics, aggregated service data)
    """

    service_id: str
    incidents: int = 0
    acknowledged: int = 0
    escalations: int = 0
    seconds_to_first_ack: float | None = None
    seconds_to_resolve: float | None = None


WHY: Mapping[str, str] = {
    "incidents": "PagerDuty counts every incident of the service, whoever opened it; the bridge those of its alerts.",
    "acknowledged": "An acknowledge in TruthVouch counts here at once, at PagerDuty when it is carried there.",
    "escalations": "PagerDuty counts every level that timed out; the bridge those that it made.",
    "mtta_minutes": "PagerDuty takes its own acknowledges, in whole seconds; the bridge the first of either side, "
    "those of TruthVouch by when they were received.",
    "mttr_minutes": "For PagerDuty a merge ends an incident; for the bridge it goes on in the surviving one. A resolve "
    "in TruthVouch counts here when it was received, at PagerDuty when it is carried there.",
}
"""Why a number may differ."""
LAGGING = "PagerDuty's analytics are up to 24 hours behind, and the period reaches into the last 24 hours."


def compared(ours: Group | None, theirs: ServiceMetrics) -> list[ComparedNumber]:
    """Number by number, in the order of ``WHY``. Who has nothing of a service has zero."""
    pairs: dict[str, tuple[float | None, float | None]] = {
        "incidents": (ours["total"] if ours else 0, theirs.incidents),
        "acknowledged": (ours["acknowledged"] if ours else 0, theirs.acknowledged),
        "escalations": (ours["escalations"] if ours else 0, theirs.escalations),
        "mtta_minutes": (ours["mtta_minutes"]["mean"] if ours else None, _minutes(theirs.seconds_to_first_ack)),
        "mttr_minutes": (ours["mttr_minutes"]["mean"] if ours else None, _minutes(theirs.seconds_to_resolve)),
    }
    return [
        {
            "service_id": theirs.service_id,
            "number": number,
            "bridge": bridge,
            "pagerduty": pagerduty,
            "difference": None if bridge is None or pagerduty is None else round(pagerduty - bridge, 2),
        }
        for number, (bridge, pagerduty) in pairs.items()
    ]


def _minutes(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds / 60, 2)


# ------------------------------------------------------------------------------------------------ week beside week

WEEKS = 8
FEWEST_WEEKS = 3
"""For a trend: two points make a line out of any accident."""


def whole_weeks(as_of: datetime, began_at: datetime | None, zone: tzinfo) -> tuple[date, ...]:
    """The Mondays of the last eight weeks that were over at ``as_of`` (included) and that the record knows whole.

    ``began_at``: when the record begins; None = it is empty.
    """
    if began_at is None:
        return ()
    running = monday_of((as_of + timedelta(microseconds=1)).astimezone(zone).date())
    mondays = (running - timedelta(weeks=back) for back in range(WEEKS, 0, -1))
    return tuple(monday for monday in mondays if midnight(monday, zone) >= began_at)


def capacity(weeks: Sequence[date], all_of: Mapping[date, int], by_name: Mapping[str, Mapping[date, int]]) -> Capacity:
    """Counts by Monday, of all and by responder, as loads."""
    loads = [_load(name, weeks, counts) for name, counts in by_name.items()]
    return {
        "weeks": [week_name(monday) for monday in weeks],
        "everybody": _load("everybody", weeks, all_of),
        "responders": sorted(loads, key=lambda load: (-load["total"], load["name"])),
    }


def _load(name: str, weeks: Sequence[date], counts: Mapping[date, int]) -> Load:
    weekly = [counts.get(monday, 0) for monday in weeks]
    trend, rise = Trend.TOO_FEW_WEEKS, None
    if len(weekly) >= FEWEST_WEEKS:
        rise = slope(weekly)
        change = rise * (len(weekly) - 1)
        trend = Trend.STEADY if abs(change) < 1 else Trend.RISING if change > 0 else Trend.FALLING
    return {"name": name, "weekly": weekly, "total": sum(weekly), "trend": trend, "per_week": rise}


# ------------------------------------------------------------------------------------------------ against targets

ACKNOWLEDGE, RESOLVE = "acknowledge", "resolve"


def targets(sla: Mapping[str, Sla]) -> Mapping[tuple[str, str], float]:
    """Minutes by severity and target, in the order of the rulebook."""
    return {
        (severity.lower(), target): minutes
        for severity, aims in sla.items()
        for target, minutes in ((ACKNOWLEDGE, aims.acknowledge_minutes), (RESOLVE, aims.resolve_minutes))
        if minutes is not None
    }


def judged(times: IncidentTimes, target: str, minutes: float, as_of: datetime) -> SlaOutcome:
    """What became of the target. To the very second of it is in time.

    A resolve ends the waiting for an acknowledge too: nobody is waited for any more.
    """
    done = times.minutes_to_resolve
    acknowledged = times.minutes_to_acknowledge if target == ACKNOWLEDGE else None
    if acknowledged is not None and (done is None or acknowledged < done):
        done = acknowledged
    if done is not None:
        return SlaOutcome.KEPT if done <= minutes else SlaOutcome.BROKEN
    return SlaOutcome.RUNNING if times.minutes_until(as_of) <= minutes else SlaOutcome.BROKEN
