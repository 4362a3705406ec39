"""Charts as SVG, drawn here and now: no script, no style of their own, nothing to load.

pygal lays them out; colours and fonts are the page's, so that light, dark and paper each have their own.
https://www.pygal.org/en/stable/documentation/
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import pygal
from pygal.etree import etree
from pygal.style import Style

# For plug-ins with maps it hangs a finder of modules, of a kind that Python has given up, into every later import.
sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "pygal"]

WIDTH, HEIGHT = 460, 230
LINE_HEIGHT, THIN_LINE_HEIGHT = 34, 22
"""Of a horizontal chart, for each bar; thin where bars stand in groups."""
FONT_SIZE = 12
ROOM_FOR_LABELS, SIGN_WIDTH = 400, 7
"""Pixels. Labels that would touch each other are not all written: only every second, third, ... is."""
MOST_LABEL_CHARS = 24
_LEFT_OUT = ("comment", "script", "style", "defs", "title")
_TOOLTIPS = ("tooltip", "plot tooltip-overlay")
_IN_SIZE = {f"{what}_font_size": FONT_SIZE for what in ("label", "major_label", "value", "value_label")}


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
    etree.to_etree()  # whatever else is installed
    flat = pygal.HorizontalStackedBar if chart.stacked else pygal.HorizontalBar
    tall = pygal.StackedBar if chart.stacked else pygal.Bar
    made = (flat if chart.horizontal else tall)(**_layout(chart))
    labels = [_shortened(label) for label in chart.labels]
    # A horizontal chart counts from below; people read from above.
    made.x_labels = labels[::-1] if chart.horizontal else labels
    for name, values in chart.series.items():
        made.add(name, list(values)[::-1] if chart.horizontal else list(values))
    tree: ElementTree.Element = made.render_tree()
    return ElementTree.tostring(_plain(tree, chart.title), "unicode", short_empty_elements=True)


def _layout(chart: Chart) -> dict[str, Any]:
    widest = max(map(len, chart.labels), default=0) * SIGN_WIDTH + 2 * SIGN_WIDTH
    every = -(-len(chart.labels) * widest // ROOM_FOR_LABELS)
    many = every > 1 and not chart.horizontal
    lines = LINE_HEIGHT if chart.stacked else THIN_LINE_HEIGHT * len(chart.series)
    return {
        "width": WIDTH,
        "height": 50 + lines * len(chart.labels) if chart.horizontal else HEIGHT,
        "style": Style(font_family="sans-serif", **_IN_SIZE),
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


def _highest(chart: Chart) -> int:
    columns = zip(*chart.series.values(), strict=True)
    return max((sum(column) if chart.stacked else max(column) for column in columns), default=0)


def _scale(chart: Chart) -> dict[str, Any]:
    """Whole numbers, few of them: there is no half incident."""
    highest = max(_highest(chart), 1)
    step = next(step for step in _steps() if highest / step <= 5)
    top = -(-highest // step) * step
    return {"range": (0, top), "y_labels": list(range(0, top + 1, step))}


def _steps() -> Iterator[int]:
    power = 1
    while True:
        yield from (power, 2 * power, 5 * power)
        power *= 10


def _shortened(label: str) -> str:
    return label if len(label) <= MOST_LABEL_CHARS else label[: MOST_LABEL_CHARS - 1] + "…"


def _plain(tree: ElementTree.Element, title: str) -> ElementTree.Element:
    """Without scripts, styles and tooltips that a script would show; what a bar says becomes its own title."""
    for parent in list(tree.iter()):
        for child in list(parent):
            if _name(child) in _LEFT_OUT or child.get("class") in _TOOLTIPS:
                parent.remove(child)
    for element in list(tree.iter()):
        _titled(element)
        element.attrib.pop("id", None)
    tree.set("role", "img")
    tree.set("aria-label", f"Bar chart. {title}. The numbers are in the table beside it.")
    return tree


def _titled(bar: ElementTree.Element) -> None:
    told = [child for child in bar if _name(child) == "desc"]
    if not told:
        return
    words = {child.get("class"): child.text or "" for child in told}
    for child in told:
        bar.remove(child)
    title = ElementTree.Element("title")
    title.text = ": ".join(filter(None, (words.get("x_label"), words.get("value"))))
    bar.insert(0, title)


def _name(element: Any) -> str:
    """What kind of element it is; comments have no name."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else "comment"
