"""A report as one HTML page that needs nothing else: no request, light and dark, fit for paper.

``templates/report.html`` is its template. One script of ours filters and sorts the list of incidents; the page is whole
without it, and lets no other run.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from app.domain.reports.figures import IncidentLine, Numbers, Report, Stats
from app.ui import charts, pages, tables
from app.ui.tables import NOTHING, Table, group, instant, minutes, number, rate, remarks, service, span

MOST_INCIDENTS = 500
"""A page with more is no pleasure; the CSV has them all."""


def page(report: Report) -> str:
    """The whole page."""
    stats, script = report["stats"], pages.text("report.js")
    incidents = tables.incidents(report, MOST_INCIDENTS)
    newest = report["incidents"][-MOST_INCIDENTS:][::-1]
    return pages.render(
        "report.html",
        span=span(report),
        style=pages.text("style.css") + pages.text("report.css"),
        script=script,
        digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        lines=[f"{span(report)} · {service(report)}", *remarks(report)],
        facts=facts(stats, report.get("before")),
        overview=tables.overview(stats),
        sections=_sections(stats),
        drawn=lambda chart: Markup(charts.drawn(chart)),  # noqa: S704 - its texts are escaped
        weekdays=zip(stats["by_weekday"], stats["by_weekday_hour"], strict=True),
        busiest=max(map(max, stats["by_weekday_hour"])) or 1,
        incidents=incidents,
        chips=_chips([_chosen_by(one) for one in newest]),
        group=group,
        listed=[_listed(one, *row) for one, row in zip(newest, incidents.rows, strict=True)],
        as_of=f"{instant(report['period']['as_of'], report['time_zone'])} {report['time_zone']}",
    )


def _sections(stats: Numbers) -> Iterator[tuple[charts.Chart, list[Table]]]:
    """What is shown, in the order of reading: a picture, and its tables."""
    yield charts.days(stats), [tables.days(stats)]
    yield charts.steps(stats), [tables.times(stats), tables.steps(stats)]
    yield charts.sla(stats), [tables.sla(stats)]
    for by in ("severity", "rule", "service"):
        yield charts.groups(stats, by), [tables.groups(stats, by)]
    yield charts.alerts(stats), [tables.alerts(stats)]
    yield charts.capacity(stats), [tables.capacity(stats)]
    yield charts.hours(stats), [tables.hours(stats)]


def facts(stats: Stats, before: Stats | None) -> Iterator[tuple[str, str, list[str]]]:
    """The handful of numbers somebody in a hurry wants, each with what it was in the period before, if that had any."""
    then = {name: (text, value) for name, text, _, value in _headlines(before)} if before and before["total"] else {}
    if not stats["period"]["complete"]:
        then.pop("Incidents", None)  # the whole of one is no measure for a part of the other
    for name, text, more, value in _headlines(stats):
        change = _change(text, value, *then.get(name, (NOTHING, None)))
        yield name, text, [more, change] if change else [more]


def _change(text: str, value: float | None, text_before: str, value_before: float | None) -> str:
    if value_before is None:
        return ""
    if value is None or text == text_before:
        return f"before: {text_before}"
    return f"{'up' if value > value_before else 'down'} from {text_before}"


def _headlines(stats: Stats) -> Iterator[tuple[str, str, str, float | None]]:
    """Name, words, more words, and the number behind them."""
    aims = [of for by_target in stats["sla"].values() for of in by_target.values()]
    kept, decided = sum(of["kept"] for of in aims), sum(of["kept"] + of["broken"] for of in aims)
    share, false, alerts = kept / decided if decided else None, stats["false_alerts"], stats["alerts"]
    ratio = NOTHING if alerts["per_incident"] is None else f"{number(alerts['per_incident'])} : 1"
    yield "Incidents", number(stats["total"]), f"{number(stats['open'])} open at the end", stats["total"]
    for name, of in (("MTTA", stats["mtta_minutes"]), ("MTTR", stats["mttr_minutes"])):
        yield name, minutes(of["mean"]), f"median {minutes(of['median'])}", of["mean"]
    yield "Targets kept", rate(share), f"{kept:,} of {decided:,}", share
    judged = f"{false['judged']:,} judged, {false['unjudged']:,} not"
    yield "False alerts", rate(false["rate"]), judged, false["rate"]
    yield "Alerts : incidents", ratio, f"{number(alerts['total'])} alerts", alerts["per_incident"]


def _listed(one: IncidentLine, first: str, *others: str) -> tuple[Any, ...]:
    """One incident: its number, each other cell with what it is sorted by if that is not what it shows, a link, and
    what it is filtered by."""
    times = {"Acknowledged after": one["acknowledged_after_minutes"], "Lasted": one["duration_minutes"]}
    keys = {name: "" if took is None else f"{took * 60:.0f}" for name, took in times.items()}
    cells = [
        (word.replace(" so far", " so\N{NO-BREAK SPACE}far"), keys.get(column))
        for column, word in zip(tables.INCIDENTS[1:], others, strict=True)
    ]
    url = one["url"] or ""
    return first, cells, url if url.startswith(("https://", "http://")) else "", _chosen_by(one)


def _chosen_by(one: IncidentLine) -> dict[str, list[str]]:
    """What an incident is filtered by. An outcome is its status, and every remark on it."""
    outcome = [one["status"], *tables.marks(one)]
    return {"severity": [one["severity"]], "rule": [one["rule"]], "outcome": outcome}


def _chips(chosen: list[dict[str, list[str]]]) -> dict[str, list[tuple[str, int]]]:
    """The words that incidents are filtered by and how often each occurs, the most frequent first."""
    counted = {name: Counter(word for one in chosen for word in one[name]) for name in ("severity", "rule", "outcome")}
    return {name: sorted(of.items(), key=lambda one: (-one[1], one[0])) for name, of in counted.items()}
