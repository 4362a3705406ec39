"""Charts as SVG, drawn here and now: no script, no style of their own, nothing to load.

pygal lays them out; colours and fonts are the page's, so that light, dark and paper each have their own.
https://www.pygal.org/en/stable/documentation/
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import count
from typing import Any
from xml.etree import ElementTree

from app.domain.reports.figures import Numbers
from app.ui.tables import REASONS, STEP_NAMES, group, groups_of, week

WIDTH, HEIGHT = 460, 230
LINE_HEIGHT, THIN_LINE_HEIGHT = 34, 22
"""Of a horizontal chart, for each bar; thin where bars stand in groups."""
ROOM_FOR_LABELS, SIGN_WIDTH = 400, 7
"""Pixels. Labels that would touch each other are not all written: only every second, third, ... is."""
MOST_LABEL_CHARS = 24
_FONT_SIZES = {f"{what}_font_size": 12 for what in ("label", "major_label", "value", "value_label")}


@dataclass(frozen=True, slots=True)
class Chart:
    """Bars over labels. ``series`` by name, each as long as ``labels``."""

    title: str
    """What it shows, below it and for who cannot see it."""
    labels: Sequence[str]
    series: Mapping[str, Sequence[int]]
    stacked: bool = True
    horizontal: bool = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to see."""
        return not any(map(any, self.series.values()))


def drawn(chart: Chart) -> str:
    """The chart as an ``<svg>`` element for a page of its own style."""
    pygal = _library()
    pygal.etree.etree.to_etree()  # whatever else is installed
    flat = pygal.HorizontalStackedBar if chart.stacked else pygal.HorizontalBar
    tall = pygal.StackedBar if chart.stacked else pygal.Bar
    style = pygal.style.Style(font_family="sans-serif", **_FONT_SIZES)
    made = (flat if chart.horizontal else tall)(style=style, **_layout(chart))
    # A horizontal chart counts from below; people read from above.
    order = slice(None, None, -1 if chart.horizontal else 1)
    longest = MOST_LABEL_CHARS
    made.x_labels = [name if len(name) <= longest else f"{name[: longest - 1]}…" for name in chart.labels][order]
    for name, values in chart.series.items():
        made.add(name, list(values)[order])
    tree: ElementTree.Element = made.render_tree()
    return ElementTree.tostring(_plain(tree, chart.title), "unicode", short_empty_elements=True)


@cache
def _library() -> Any:
    """pygal, loaded with the first chart: most processes never draw one."""
    import pygal
    import pygal.etree
    import pygal.style

    # For plug-ins with maps it hangs a finder of modules, of a kind that Python has given up, into every later import.
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "pygal"]
    return pygal


def _layout(chart: Chart) -> dict[str, Any]:
    widest = max(map(len, chart.labels), default=0) * SIGN_WIDTH + 2 * SIGN_WIDTH
    every = -(-len(chart.labels) * widest // ROOM_FOR_LABELS)
    many = every > 1 and not chart.horizontal
    lines = LINE_HEIGHT if chart.stacked else THIN_LINE_HEIGHT * len(chart.series)
    return {
        "width": WIDTH,
        "height": 50 + lines * len(chart.labels) if chart.horizontal else HEIGHT,
        "no_prefix": True,
        "js": (),
        "show_legend": False,  # the page writes it: here a long name runs into the next
        "margin": 8,
        "spacing": 8,
        **_scale(chart),
        "x_labels_major_every": every if many else None,
        "show_minor_x_labels": not many,
        "truncate_label": -1,
    }


def _scale(chart: Chart) -> dict[str, Any]:
    """Whole numbers, few of them: there is no half incident."""
    columns = zip(*chart.series.values(), strict=True)
    highest = max([1, *(sum(column) if chart.stacked else max(column) for column in columns)])
    steps = (digit * 10**power for power in count() for digit in (1, 2, 5))
    step = next(step for step in steps if highest / step <= 5)
    top = -(-highest // step) * step
    return {"range": (0, top), "y_labels": list(range(0, top + 1, step))}


def _plain(tree: ElementTree.Element, title: str) -> ElementTree.Element:
    """Without scripts, styles and tooltips that a script would show; what a bar says becomes its own title."""
    for parent in list(tree.iter()):
        for child in list(parent):
            is_tooltip = child.get("class") in ("tooltip", "plot tooltip-overlay")
            if is_tooltip or _name(child) in ("comment", "script", "style", "defs", "title"):
                parent.remove(child)
    for element in list(tree.iter()):
        _add_title(element)
        element.attrib.pop("id", None)
    tree.set("role", "img")
    tree.set("aria-label", f"Bar chart. {title}. The numbers are in the table beside it.")
    return tree


def _add_title(bar: ElementTree.Element) -> None:
    figures = [child for child in bar if _name(child) == "desc"]
    if not figures:
        return
    words = {child.get("class"): child.text or "" for child in figures}
    for child in figures:
        bar.remove(child)
    title = ElementTree.Element("title")
    title.text = ": ".join(filter(None, (words.get("x_label"), words.get("value"))))
    bar.insert(0, title)


def _name(element: Any) -> str:
    """What kind of element it is; comments have no name."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else "comment"


# ------------------------------------------------------------------------------------------------ which, and of what

MOST_DAYS = 45
"""Beyond, a bar stands for a week; beyond as many weeks, for a month."""
MOST_BARS = 8
MOST_PEOPLE = 5


def days(stats: Numbers) -> Chart:
    """Incidents over time, by urgency."""
    pace, label = _pace(len(stats["by_day"]))
    bars: dict[str, list[int]] = {}
    for one in stats["by_day"]:
        counts = bars.setdefault(label(date.fromisoformat(one["date"])), [0, 0, 0])
        for place, more in enumerate((one["high"], one["low"], one["total"] - one["high"] - one["low"])):
            counts[place] += more
    high, low, unknown = ([counts[place] for counts in bars.values()] for place in range(3))
    others = {name: series for name, series in (("Low urgency", low), ("Unknown urgency", unknown)) if any(series)}
    return Chart(f"Incidents for each {pace}, by urgency", list(bars), {"High urgency": high, **others})


def _pace(days: int) -> tuple[str, Callable[[date], str]]:
    if days <= MOST_DAYS:
        return "day", lambda day: f"{day.day} {day:%b}"
    if days <= MOST_DAYS * 7:
        return "week", lambda day: "{}-W{:02}".format(*day.isocalendar()[:2])
    return "month", lambda day: f"{day:%Y-%m}"


def steps(stats: Numbers) -> Chart:
    """How many took how long."""
    counts = stats["time_steps"]
    series = {"To acknowledge": counts["acknowledged"], "To resolve": counts["resolved"]}
    return Chart("Incidents by the time they took", STEP_NAMES, series, stacked=False, horizontal=True)


def sla(stats: Numbers) -> Chart:
    """Targets kept, broken and still running."""
    sla = stats["sla"].items()
    aims = {f"{severity}, {target}": of for severity, targets in sla for target, of in targets.items()}
    series = {
        "Kept": [of["kept"] for of in aims.values()],
        "Broken": [of["broken"] for of in aims.values()],
        "Still running": [of["running"] for of in aims.values()],
    }
    return Chart("Incidents that kept or broke a target, or still may keep it", list(aims), series, horizontal=True)


def groups(stats: Numbers, by: str) -> Chart:
    """The groups with the most incidents."""
    found = groups_of(stats, by)
    bars = [(group(one["name"]), one["total"]) for one in found[:MOST_BARS]]
    if rest := sum(one["total"] for one in found[MOST_BARS:]):
        bars.append(("all others", rest))
    counts = {"Incidents": [total for _, total in bars]}
    return Chart(f"Incidents by {by}", [name for name, _ in bars], counts, horizontal=True)


def alerts(stats: Numbers) -> Chart:
    """What became of the alerts."""
    counts = stats["alerts"]
    became = {
        "incident": counts["with_incident"],
        "wanted, none opened": counts["not_opened"],
        **{REASONS.get(reason, reason): number for reason, number in counts["suppressed_by_reason"].items()},
        "nothing decided yet": counts["undecided"],
    }
    return Chart("Alerts by what became of them", list(became), {"Alerts": list(became.values())}, horizontal=True)


def hours(stats: Numbers) -> Chart:
    """Incidents by hour of the day."""
    labels, counts = [f"{one['hour']:02}" for one in stats["by_hour"]], [one["total"] for one in stats["by_hour"]]
    return Chart("Incidents by hour of the day", labels, {"Incidents": counts})


def capacity(stats: Numbers) -> Chart:
    """Who acknowledged how many, week by week."""
    of = stats["capacity"]
    people = [one["weekly"] for one in of["responders"]]
    series = {one["name"]: one["weekly"] for one in of["responders"][:MOST_PEOPLE]}
    others, taken = (_sum(rows, len(of["weeks"])) for rows in (people[MOST_PEOPLE:], people))
    left = [total - acknowledged for total, acknowledged in zip(of["everybody"]["weekly"], taken, strict=True)]
    series |= {name: counts for name, counts in (("others", others), ("not acknowledged", left)) if any(counts)}
    return Chart("Incidents for each week by who acknowledged first", [week(name) for name in of["weeks"]], series)


def _sum(rows: Sequence[Sequence[int]], width: int) -> list[int]:
    return [sum(row[place] for row in rows) for place in range(width)]
