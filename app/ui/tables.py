"""The tables of a report: a title, what they say, columns and rows of words. Every format shows these.

And how numbers are written for people: the same in every format.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from app.domain.model.types import EARLIEST
from app.domain.reports.figures import About, Group, IncidentLine, Load, Numbers, Report, Stats, Trend

NOTHING = "–"
"""Where there is no number: nothing qualified."""
STEP_NAMES = ("up to 5 min", "5–15 min", "15–60 min", "1–4 h", "4–24 h", "over 24 h")
"""The steps of ``time_steps``, one more than its bounds."""
MISSING = "older acknowledges, resolves, reopens and escalations of theirs are not in these numbers."
"""What a history without its oldest moments means."""
LATEST = datetime(3000, 1, 1, tzinfo=UTC)
"""Nothing has happened by then."""
GROUPS = {"severity": "Severities", "rule": "Rules", "service": "Services", "urgency": "Urgencies"}
REASONS: Mapping[str, str] = {
    "suppressed": "suppressed by a rule",
    "severity_none": "severity map: none",
    "unknown_severity": "unknown severity",
    "silenced": "silenced",
}
INCIDENTS = (
    "Number", "Title", "Status", "Urgency", "Severity", "Triggered", "Acknowledged after", "Lasted", "Remarks",
)  # fmt: skip
"""The columns of the list of incidents."""

# ------------------------------------------------------------------------------------------------ words


def group(name: str) -> str:
    """A rule, severity or service as people read it: what no rule decided says ``severity map``."""
    return "severity map" if name == "severity_map" else name


def minutes(value: float | None) -> str:
    """``42 s``, ``3.5 min``, ``1 h 05 min``, ``3 d 04 h``."""
    if value is None:
        return NOTHING
    if value < 1:
        return f"{value * 60:.0f} s"
    if round(value, 1) < 60:
        return f"{value:.1f} min"
    hours, rest = divmod(round(value), 60)
    if hours < 48:
        return f"{hours} h {rest:02} min"
    return f"{hours // 24} d {hours % 24:02} h"


def number(value: float | None) -> str:
    """A count or a mean; no digits that say nothing."""
    return NOTHING if value is None else f"{value:,.2f}".rstrip("0").rstrip(".")


def share(part: int, whole: int) -> str:
    """``38 (76%)``; without a whole only the part."""
    return f"{part:,} ({part / whole:.0%})" if whole else f"{part:,}"


def rate(value: float | None) -> str:
    """A share of 0..1 as per cent."""
    return NOTHING if value is None else f"{value:.1%}"


def instant(text: str, time_zone: str) -> str:
    """An instant by the clocks of the report's time zone, to the minute; one that none ever showed, as it is."""
    at = here(text, time_zone)
    return f"{at:%Y-%m-%d %H:%M}" if at else text


def here(text: str | None, time_zone: str) -> datetime | None:
    """An instant by the clocks of the report's time zone; None where there is none, or one that no clock ever showed:
    the years 0001 and 9999 are how programs write that, and have no time in every zone."""
    zone = UTC if time_zone.upper() == "UTC" else ZoneInfo(time_zone)
    at = None if text is None else datetime.fromisoformat(text)
    return at.astimezone(zone) if at and EARLIEST <= at < LATEST else None


def trend(load: Load) -> str:
    """``rising, +0.4 a week``."""
    words, rise = load["trend"].replace("_", " "), load["per_week"]
    return words if rise is None or load["trend"] == Trend.STEADY else f"{words}, {rise:+.1f} a week"


def span(about: About) -> str:
    """``1 to 31 March 2026``, with whatever has to be said of a period that is not over."""
    period = about["period"]
    first, last = date.fromisoformat(period["from"]), date.fromisoformat(period["to"])
    ends = [f"{day.day} {day:%B %Y}" for day in (first, last)]
    days = ends[0] if first == last else " to ".join(ends)
    so_far = f", so far (until {instant(period['as_of'], about['time_zone'])})"
    return f"{days}, {about['time_zone']}{'' if period['complete'] else so_far}"


def remarks(about: Stats | Report) -> list[str]:
    """What a reader has to know about the record before the numbers."""
    began = about["period"]["record_since"]
    if began is None:
        return ["The record is empty: the bridge has not seen any alert yet."]
    remarks = []
    if began > about["period"]["since"]:
        since = f"{instant(began, about['time_zone'])} {about['time_zone']}"
        remarks.append(f"The record begins on {since}: of what was before, nothing is known.")
    stats: Any = about.get("stats", about)
    if count := stats["history_incomplete"]:
        remarks.append(f"History incomplete for {'1 alert' if count == 1 else f'{count:,} alerts'}: {MISSING}")
    return remarks


def service(about: About) -> str:
    """Which incidents it is about."""
    return f"service {about['service_id']}" if about["service_id"] else "all services"


def week(name: str) -> str:
    """``W11`` of ``2026-W11``: eight weeks in a row need no year."""
    return name.rpartition("-")[2]


def marks(one: IncidentLine) -> list[str]:
    """What else is to be said of an incident."""
    said = {
        "escalated": one["escalated"],
        "reopened": one["reopened"],
        "merged": one["merged"],
        "false alert": one["verdict"] == "false_alert",
        "confirmed": one["verdict"] == "true_alert",
        "history incomplete": one["history_incomplete"],
    }
    return [mark for mark, holds in said.items() if holds]


# ------------------------------------------------------------------------------------------------ tables


@dataclass(frozen=True, slots=True)
class Table:
    """Words in rows. ``empty``: what is said instead when there is no row."""

    key: str
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    empty: str = "None in this period."


def overview(stats: Numbers) -> Table:
    """The numbers that matter first."""
    total, false, alerts = stats["total"], stats["false_alerts"], stats["alerts"]
    rows = [
        ("Incidents", number(total)),
        ("Acknowledged", share(stats["acknowledged"], total)),
        ("Resolved", share(stats["resolved"], total)),
        ("Open at the end", share(stats["open"], total)),
        ("Resolved, never acknowledged", share(stats["never_acknowledged"], total)),
        ("Escalated", share(stats["escalated"], total)),
        ("Escalated, then acknowledged", share(stats["acknowledged_after_escalation"], stats["escalated"])),
        ("Reopened", share(stats["reopened"], total)),
        ("Merged into another", share(stats["merged"], total)),
        ("Flaps held back", number(stats["flaps"])),
        ("Alerts for each incident", number(alerts["per_incident"])),
        ("False alerts among the judged", f"{rate(false['rate'])} ({false['false']} of {false['judged']})"),
        ("Not judged", share(false["unjudged"], total)),
    ]
    return Table("overview", "At a glance", ("", ""), rows)


def times(stats: Numbers) -> Table:
    """MTTA and MTTR."""
    spreads = {"To the first acknowledge (MTTA)": stats["mtta_minutes"], "To the resolve (MTTR)": stats["mttr_minutes"]}
    rows = [
        (name, number(of["count"]), *map(minutes, (of["mean"], of["median"], of["p90"], of["p95"])))
        for name, of in spreads.items()
    ]
    return Table("times", "Times", ("", "Incidents", "Mean", "Median", "90%", "95%"), rows)


def steps(stats: Numbers) -> Table:
    """How many took how long."""
    counts = zip(STEP_NAMES, stats["time_steps"]["acknowledged"], stats["time_steps"]["resolved"], strict=True)
    rows = [(name, number(acknowledged), number(resolved)) for name, acknowledged, resolved in counts]
    return Table("steps", "How long it took", ("Time", "To acknowledge", "To resolve"), rows)


def sla(stats: Numbers) -> Table:
    """Targets by severity."""
    rows = [
        (severity, target, minutes(float(of["minutes"])), number(of["kept"]), number(of["broken"]),
         number(of["running"]), rate(of["kept"] / decided if (decided := of["kept"] + of["broken"]) else None))
        for severity, aims in stats["sla"].items()
        for target, of in aims.items()
    ]  # fmt: skip
    head = ("Severity", "Target", "Within", "Kept", "Broken", "Still running", "Kept of decided")
    return Table("sla", "Targets (SLA)", head, rows, empty="No targets are set: add sla: to bridge.yaml.")


def groups_of(stats: Numbers, by: str) -> list[Group]:
    """Incidents by rule, severity, service or urgency."""
    return {
        "rule": stats["by_rule"],
        "severity": stats["by_severity"],
        "service": stats["by_service"],
        "urgency": stats["by_urgency"],
    }[by]


def groups(stats: Numbers, by: str) -> Table:
    """Incidents by rule, severity, service or urgency."""
    rows = [
        (group(one["name"]), number(one["total"]), number(one["acknowledged"]), number(one["resolved"]),
         number(one["escalated"]), number(one["false_alerts"]),
         minutes(one["mtta_minutes"]["mean"]), minutes(one["mttr_minutes"]["mean"]))
        for one in groups_of(stats, by)
    ]  # fmt: skip
    head = (by.capitalize(), "Incidents", "Acknowledged", "Resolved", "Escalated", "False", "MTTA", "MTTR")
    return Table(by, GROUPS[by], head, rows)


def alerts(stats: Numbers) -> Table:
    """What became of the alerts."""
    counts = stats["alerts"]
    rows = [
        ("Alerts raised", number(counts["total"])),
        ("With an incident", number(counts["with_incident"])),
        ("Incident wanted, none opened", number(counts["not_opened"])),
        *((f"No incident: {REASONS.get(reason, reason)}", number(count))
          for reason, count in counts["suppressed_by_reason"].items()),
        ("Nothing decided yet", number(counts["undecided"])),
    ]  # fmt: skip
    return Table("alerts", "Alerts", ("What became of them", "Alerts"), rows)


def days(stats: Numbers) -> Table:
    """Incidents day by day, by urgency."""
    rows = [(one["date"], number(one["total"]), number(one["high"]), number(one["low"])) for one in stats["by_day"]]
    return Table("days", "Day by day", ("Day", "Incidents", "High urgency", "Low urgency"), rows)


def weekdays(stats: Numbers) -> Table:
    """Incidents by weekday and part of the day."""
    rows = [
        (one["name"], *(number(sum(hours[begin : begin + 6])) for begin in range(0, 24, 6)), number(one["total"]))
        for one, hours in zip(stats["by_weekday"], stats["by_weekday_hour"], strict=True)
    ]
    return Table("weekdays", "Weekdays", ("Day", "0–6 h", "6–12 h", "12–18 h", "18–24 h", "Incidents"), rows)


def hours(stats: Numbers) -> Table:
    """Incidents by hour of the day."""
    rows = [(f"{one['hour']:02}:00", number(one["total"])) for one in stats["by_hour"]]
    return Table("hours", "Hours of the day", ("From", "Incidents"), rows)


def capacity(stats: Numbers) -> Table:
    """Who had how much, week by week."""
    of = stats["capacity"]
    named = [("All incidents", of["everybody"]), *((load["name"], load) for load in of["responders"])]
    rows = [(name, *map(number, load["weekly"]), number(load["total"]), trend(load)) for name, load in named]
    head = ("First to acknowledge", *map(week, of["weeks"]), "Total", "Trend")
    empty = "No whole week has been recorded yet."
    return Table("capacity", "Capacity", head, rows if of["weeks"] else (), empty=empty)


def all_of(stats: Numbers) -> Iterable[Table]:
    """Every table in the order of reading."""
    return (
        overview(stats), times(stats), sla(stats), *(groups(stats, by) for by in GROUPS), alerts(stats),
        weekdays(stats), capacity(stats),
    )  # fmt: skip


def incidents(report: Report, shown: int) -> Table:
    """The newest ``shown`` incidents, the newest first."""
    count, zone = len(report["incidents"]), report["time_zone"]
    rows = [_incident(one, zone) for one in reversed(report["incidents"][-shown:])] if shown else []
    head = [f"Triggered ({zone})" if name == "Triggered" else name for name in INCIDENTS]
    note = f"The newest {len(rows):,} of {count:,}; `--format csv` has them all." if count > len(rows) else ""
    return Table("incidents", "Incidents", head, rows, note, "No incident was triggered in this period.")


def _incident(one: IncidentLine, zone: str) -> tuple[str, ...]:
    at = here(one["triggered_at"], zone)
    return (
        NOTHING if one["incident_number"] is None else f"#{one['incident_number']}",
        one["title"],
        one["status"],
        one["urgency"],
        one["severity"],
        f"{at:%Y-%m-%d %H:%M}" if at else NOTHING,
        minutes(one["acknowledged_after_minutes"]),
        minutes(one["duration_minutes"]) + ("" if one["resolved_at"] else " so far"),
        ", ".join(marks(one)),
    )
