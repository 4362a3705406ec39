"""Statistics as the dictionaries that Python callers and ``--json`` get. A name that is out stays as it is."""

from collections.abc import Mapping
from datetime import date
from typing import Any

from app.domain.stats import LAST_MOMENT, Frame, Group, Stats
from app.domain.stats_capacity import Capacity, Load
from app.domain.stats_numbers import Spread
from app.domain.stats_sla import SlaCount
from app.domain.stats_tally import STEPS

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
URGENCIES = ("high", "low")


def shown_period(asked: Frame) -> dict[str, Any]:
    """Its days as they were asked for, its instants in UTC, whether it is over, and since when anything is known."""
    period = asked.period
    return {
        "name": period.name,
        "from": period.first.isoformat(),
        "to": period.last.isoformat(),
        "since": period.since.isoformat(),
        "until": period.until.isoformat(),
        "as_of": asked.as_of.isoformat(timespec="seconds"),
        "record_since": asked.began_at.isoformat(timespec="seconds") if asked.began_at else None,
        "complete": asked.as_of == period.until - LAST_MOMENT,
    }


def shown(stats: Stats) -> dict[str, Any]:
    """The numbers by name."""
    return {
        "total": stats.total,
        "avg_resolution_minutes": _rounded(stats.to_resolve.mean),
        "escalated": stats.escalated,
        "acknowledged": stats.acknowledged,
        "resolved": stats.resolved,
        "open": stats.open,
        "never_acknowledged": stats.never_acknowledged,
        "reopened": stats.reopened,
        "merged": stats.merged,
        "escalations": stats.escalations,
        "acknowledged_after_escalation": stats.acknowledged_after_escalation,
        "flaps": stats.flaps,
        "history_incomplete": stats.history_incomplete,
        "mtta_minutes": _spread(stats.to_acknowledge),
        "mttr_minutes": _spread(stats.to_resolve),
        "time_steps": {
            "up_to_minutes": list(STEPS),
            "acknowledged": list(stats.acknowledge_times),
            "resolved": list(stats.resolve_times),
        },
        "sla": _sla(stats.sla),
        "alerts": _alerts(stats),
        "false_alerts": _verdicts(stats),
        **{f"by_{by}": [_group(group) for group in groups] for by, groups in stats.groups.items()},
        **_times(stats),
        "capacity": _capacity(stats.capacity),
    }


def _rounded(value: float | None, digits: int = 2) -> float | None:
    return None if value is None else round(value, digits)


def _spread(of: Spread) -> dict[str, Any]:
    times = {name: _rounded(getattr(of, name)) for name in ("mean", "median", "p90", "p95")}
    return {"count": of.count, **times}


def _sla(counts: tuple[SlaCount, ...]) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for one in counts:
        told.setdefault(one.severity, {})[one.target] = {
            "minutes": one.minutes,
            "kept": one.kept,
            "broken": one.broken,
            "running": one.running,
        }
    return told


def _alerts(stats: Stats) -> dict[str, Any]:
    alerts = stats.alerts
    return {
        "total": alerts.total,
        "with_incident": alerts.with_incident,
        "not_opened": alerts.not_opened,
        "undecided": alerts.undecided,
        "suppressed": sum(alerts.suppressed.values()),
        "suppressed_by_reason": dict(alerts.suppressed),
        "per_incident": _rounded(stats.alerts_per_incident),
    }


def _verdicts(stats: Stats) -> dict[str, Any]:
    said = stats.verdicts
    judged = said.false + said.true
    rate = _rounded(said.rate, 4)
    return {"false": said.false, "true": said.true, "judged": judged, "unjudged": said.unjudged, "rate": rate}


def _group(group: Group) -> dict[str, Any]:
    return {
        "name": group.name,
        "total": group.total,
        "acknowledged": group.acknowledged,
        "resolved": group.resolved,
        "escalated": group.escalated,
        "escalations": group.escalations,
        "false_alerts": group.false_alerts,
        "mtta_minutes": _spread(group.to_acknowledge),
        "mttr_minutes": _spread(group.to_resolve),
    }


def _times(stats: Stats) -> dict[str, Any]:
    hours = stats.by_hour
    return {
        "by_day": [_day(day, counts) for day, counts in stats.by_day.items()],
        "by_weekday": [{"name": name, "total": sum(hours[place])} for place, name in enumerate(WEEKDAYS)],
        "by_hour": [{"hour": hour, "total": sum(day[hour] for day in hours)} for hour in range(24)],
        "by_weekday_hour": [list(day) for day in hours],
    }


def _day(day: date, counts: Mapping[str, int]) -> dict[str, Any]:
    by_urgency = {urgency: counts.get(urgency, 0) for urgency in URGENCIES}
    return {"date": day.isoformat(), "total": sum(counts.values()), **by_urgency}


def _capacity(told: Capacity) -> dict[str, Any]:
    everybody = _load(told.everybody)
    return {"weeks": list(told.weeks), "everybody": everybody, "responders": [_load(one) for one in told.responders]}


def _load(load: Load) -> dict[str, Any]:
    return {
        "name": load.name,
        "weekly": list(load.weekly),
        "total": sum(load.weekly),
        "trend": load.trend,
        "per_week": _rounded(load.per_week),
    }
