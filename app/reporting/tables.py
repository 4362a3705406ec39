"""The tables of a report: a title, what they say, columns and rows of words. Every format shows these."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.reporting.words import NOTHING, STEP_NAMES, here, minutes, number, rate, share, trend

Told = Mapping[str, Any]
REASONS: Mapping[str, str] = {
    "suppressed": "suppressed by a rule",
    "severity_none": "severity map: none",
    "unknown_severity": "unknown severity",
    "silenced": "silenced",
}
EMPTY_CAPACITY = "No whole week has been recorded yet."
NO_TARGETS = "No targets are set: add sla: to bridge.yaml."


@dataclass(frozen=True, slots=True)
class Table:
    """Words in rows. ``empty``: what is said instead when there is no row."""

    key: str
    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""
    empty: str = "None in this period."


def overview(stats: Told) -> Table:
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


def times(stats: Told) -> Table:
    """MTTA and MTTR."""
    rows = [
        (name, number(of["count"]), *(minutes(of[what]) for what in ("mean", "median", "p90", "p95")))
        for name, of in (
            ("To the first acknowledge (MTTA)", stats["mtta_minutes"]),
            ("To the resolve (MTTR)", stats["mttr_minutes"]),
        )
    ]
    return Table("times", "Times", ("", "Incidents", "Mean", "Median", "90%", "95%"), rows)


def steps(stats: Told) -> Table:
    """How many took how long."""
    told = stats["time_steps"]
    rows = [
        (name, number(acknowledged), number(resolved))
        for name, acknowledged, resolved in zip(STEP_NAMES, told["acknowledged"], told["resolved"], strict=True)
    ]
    return Table("steps", "How long it took", ("Time", "To acknowledge", "To resolve"), rows)


def sla(stats: Told) -> Table:
    """Targets by severity."""
    rows = [
        (severity, target, minutes(float(of["minutes"])), *(number(of[word]) for word in ("kept", "broken", "running")),
         rate(of["kept"] / (of["kept"] + of["broken"]) if of["kept"] + of["broken"] else None))
        for severity, aims in stats["sla"].items()
        for target, of in aims.items()
    ]  # fmt: skip
    head = ("Severity", "Target", "Within", "Kept", "Broken", "Still running", "Kept of decided")
    return Table("sla", "Targets (SLA)", head, rows, empty=NO_TARGETS)


def groups(stats: Told, by: str, title: str) -> Table:
    """Incidents by rule, severity, service or urgency."""
    rows = [
        (one["name"], *(number(one[what]) for what in ("total", "acknowledged", "resolved", "escalated",
                                                       "false_alerts")),
         minutes(one["mtta_minutes"]["mean"]), minutes(one["mttr_minutes"]["mean"]))
        for one in stats[f"by_{by}"]
    ]  # fmt: skip
    head = (by.capitalize(), "Incidents", "Acknowledged", "Resolved", "Escalated", "False", "MTTA", "MTTR")
    return Table(by, title, head, rows)


def alerts(stats: Told) -> Table:
    """What became of the alerts."""
    told = stats["alerts"]
    rows = [
        ("Alerts raised", number(told["total"])),
        ("With an incident", number(told["with_incident"])),
        ("Incident wanted, none opened", number(told["not_opened"])),
        *((f"No incident: {REASONS.get(reason, reason)}", number(count))
          for reason, count in told["suppressed_by_reason"].items()),
        ("Nothing decided yet", number(told["undecided"])),
    ]  # fmt: skip
    return Table("alerts", "Alerts", ("What became of them", "Alerts"), rows)


def days(stats: Told) -> Table:
    """Incidents day by day, by urgency."""
    rows = [(one["date"], number(one["total"]), number(one["high"]), number(one["low"])) for one in stats["by_day"]]
    return Table("days", "Day by day", ("Day", "Incidents", "High urgency", "Low urgency"), rows)


def weekdays(stats: Told) -> Table:
    """Incidents by weekday and part of the day."""
    rows = [
        (one["name"], *(number(sum(hours[begin : begin + 6])) for begin in range(0, 24, 6)), number(one["total"]))
        for one, hours in zip(stats["by_weekday"], stats["by_weekday_hour"], strict=True)
    ]
    return Table("weekdays", "Weekdays", ("Day", "0–6 h", "6–12 h", "12–18 h", "18–24 h", "Incidents"), rows)


def hours(stats: Told) -> Table:
    """Incidents by hour of the day."""
    rows = [(f"{one['hour']:02}:00", number(one["total"])) for one in stats["by_hour"]]
    return Table("hours", "Hours of the day", ("From", "Incidents"), rows)


def capacity(stats: Told) -> Table:
    """Who had how much, week by week."""
    told = stats["capacity"]
    loads = [{**told["everybody"], "name": "All incidents"}, *told["responders"]]
    rows = [(one["name"], *map(number, one["weekly"]), number(one["total"]), trend(one)) for one in loads]
    head = ("First to acknowledge", *map(week, told["weeks"]), "Total", "Trend")
    return Table("capacity", "Capacity", head, rows if told["weeks"] else (), empty=EMPTY_CAPACITY)


def week(name: str) -> str:
    """``W11`` of ``2026-W11``: eight weeks in a row need no year."""
    return name.rpartition("-")[2]


def all_of(stats: Told) -> Iterable[Table]:
    """Every table in the order of reading."""
    yield overview(stats)
    yield times(stats)
    yield sla(stats)
    for by, title in (("severity", "Severities"), ("rule", "Rules"), ("service", "Services"), ("urgency", "Urgencies")):
        yield groups(stats, by, title)
    yield alerts(stats)
    yield weekdays(stats)
    yield capacity(stats)


def incidents(report: Told, shown: int) -> Table:
    """The newest ``shown`` incidents, the newest first."""
    told = report["incidents"]
    rows = [_incident(one, report["time_zone"]) for one in reversed(told[-shown:])] if shown else []
    triggered = f"Triggered ({report['time_zone']})"
    known = ("Number", "Title", "Status", "Urgency", "Severity", triggered)
    head = (*known, "Acknowledged after", "Lasted", "Remarks")
    left = len(told) - len(rows)
    note = f"The newest {len(rows):,} of {len(told):,}; `--format csv` has them all." if left else ""
    return Table("incidents", "Incidents", head, rows, note, "No incident was triggered in this period.")


def _incident(one: Told, zone: str) -> tuple[str, ...]:
    marks = {
        "escalated": one["escalated"],
        "reopened": one["reopened"],
        "merged": one["merged"],
        "false alert": one["verdict"] == "false_alert",
        "confirmed": one["verdict"] == "true_alert",
        "history incomplete": one["history_incomplete"],
    }
    took, triggered_at = one["acknowledged_after_minutes"], here(one["triggered_at"], zone)
    lasted = minutes(one["duration_minutes"]) + ("" if one["resolved_at"] else " so far")
    known = f"#{one['incident_number']}" if one["incident_number"] is not None else NOTHING
    said = ", ".join(word for word, holds in marks.items() if holds)
    triggered = f"{triggered_at:%Y-%m-%d %H:%M}" if triggered_at else NOTHING
    facts = (one["status"], one["urgency"], one["severity"], triggered)
    return (known, one["title"], *facts, minutes(took), lasted, said)
