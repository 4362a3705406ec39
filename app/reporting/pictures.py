"""Which pictures a report has, and of what."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from app.reporting.charts import Chart
from app.reporting.tables import REASONS, week
from app.reporting.words import STEP_NAMES

Told = Mapping[str, Any]
MOST_DAYS = 45
"""Beyond, a bar stands for a week; beyond as many weeks, for a month."""
MOST_BARS = 8
MOST_PEOPLE = 5


def days(stats: Told) -> Chart:
    """Incidents over time, by urgency."""
    told = stats["by_day"]
    name, label = _pace(len(told))
    series: dict[str, dict[str, int]] = {"High urgency": {}, "Low urgency": {}, "Unknown urgency": {}}
    for one in told:
        bar = label(date.fromisoformat(one["date"]))
        counts = (one["high"], one["low"], one["total"] - one["high"] - one["low"])
        for of, count in zip(series.values(), counts, strict=True):
            of[bar] = of.get(bar, 0) + count
    labels = list(series["High urgency"])
    shown = {name: list(of.values()) for name, of in series.items() if any(of.values()) or name == "High urgency"}
    return Chart(f"Incidents for each {name}, by urgency", labels, shown)


def _pace(count: int) -> tuple[str, Any]:
    if count <= MOST_DAYS:
        return "day", lambda day: f"{day.day} {day:%b}"
    if count <= MOST_DAYS * 7:
        return "week", lambda day: "{}-W{:02}".format(*day.isocalendar()[:2])
    return "month", lambda day: f"{day:%Y-%m}"


def steps(stats: Told) -> Chart:
    """How many took how long."""
    told = stats["time_steps"]
    series = {"To acknowledge": told["acknowledged"], "To resolve": told["resolved"]}
    title = "Incidents by the time they took"
    return Chart(title, STEP_NAMES, series, stacked=False, horizontal=True)


def sla(stats: Told) -> Chart:
    """Targets kept, broken and still running."""
    aims = [(f"{severity}, {target}", of) for severity, told in stats["sla"].items() for target, of in told.items()]
    words = {"kept": "Kept", "broken": "Broken", "running": "Still running"}
    series = {name: [of[word] for _, of in aims] for word, name in words.items()}
    title = "Incidents that kept or broke a target, or still may keep it"
    return Chart(title, [label for label, _ in aims], series, horizontal=True)


def groups(stats: Told, by: str) -> Chart:
    """The groups with the most incidents."""
    told = stats[f"by_{by}"][:MOST_BARS]
    rest = sum(one["total"] for one in stats[f"by_{by}"][MOST_BARS:])
    labels = [one["name"] for one in told] + (["all others"] if rest else [])
    counts = [one["total"] for one in told] + ([rest] if rest else [])
    return Chart(f"Incidents by {by}", labels, {"Incidents": counts},
                 horizontal=True)  # fmt: skip


def alerts(stats: Told) -> Chart:
    """What became of the alerts."""
    told = stats["alerts"]
    became = {
        "incident": told["with_incident"],
        "wanted, none opened": told["not_opened"],
        **{REASONS.get(reason, reason): count for reason, count in told["suppressed_by_reason"].items()},
        "nothing decided yet": told["undecided"],
    }
    title = "Alerts by what became of them"
    return Chart(title, list(became), {"Alerts": list(became.values())}, horizontal=True)


def hours(stats: Told) -> Chart:
    """Incidents by hour of the day."""
    told = stats["by_hour"]
    labels = [f"{one['hour']:02}" for one in told]
    title = "Incidents by hour of the day"
    return Chart(title, labels, {"Incidents": [one["total"] for one in told]})


def capacity(stats: Told) -> Chart:
    """Who acknowledged how many, week by week."""
    told = stats["capacity"]
    series = {one["name"]: one["weekly"] for one in told["responders"][:MOST_PEOPLE]}
    others = _sum([one["weekly"] for one in told["responders"][MOST_PEOPLE:]], len(told["weeks"]))
    taken = _sum([one["weekly"] for one in told["responders"]], len(told["weeks"]))
    open_ones = [all_of - acknowledged for all_of, acknowledged in zip(told["everybody"]["weekly"], taken, strict=True)]
    series |= {"others": others} if any(others) else {}
    series |= {"not acknowledged": open_ones} if any(open_ones) else {}
    title = "Incidents for each week by who acknowledged first"
    return Chart(title, [week(name) for name in told["weeks"]], series)


def _sum(rows: Sequence[Sequence[int]], width: int) -> list[int]:
    return [sum(row[place] for row in rows) for place in range(width)]
