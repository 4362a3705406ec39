"""What was measured at which commit: one line for each run in a file, and the charts that are drawn from it."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import Report
from bench.processes import ROOT

HISTORY = ROOT / "docs" / "performance-history.jsonl"
PICTURES = ROOT / "docs" / "pictures"
WIDTH, HEIGHT = 720, 300

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Chart:
    """Some figures over the commits."""

    name: str
    title: str
    figures: Sequence[str]


CHARTS = (
    Chart(
        "performance-processor", "Processor time per alert, in milliseconds",
        [f"processor time per alert, {at}" for at in ("20/s", "50/s", "100/s", "burst")],
    ),
    Chart("performance-idle", "Idle, in percent of a processor", ["idle, everything"]),
    Chart(
        "performance-rates", "Alerts a second",
        ["accept, durable", "accept, durable, while delivering", "drain of 1000", "drain, 4 workers on PostgreSQL"],
    ),
    Chart(
        "performance-latency", "Milliseconds",
        ["alert to call at 50/s, p50", "alert to call at 50/s, p99", "accept p99, draining"],
    ),
    Chart(
        "performance-memory", "Memory of all processes, in MB",
        ["memory", "memory, then every page opened in every web process"],
    ),
)  # fmt: skip


def record(report: Report, history: Path = HISTORY) -> None:
    """Append this run."""
    line = {"commit": _commit(), **report.setting, "figures": {one.name: round(one.value, 3) for one in report.figures}}
    with history.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line, ensure_ascii=False) + "\n")


def draw(history: Path = HISTORY, pictures: Path = PICTURES) -> list[Path]:
    """The charts of the runs that can be compared with the newest: the same machine and store."""
    runs: list[Line] = [json.loads(line) for line in history.read_text("utf-8").splitlines()]
    same = [run for run in runs if all(run[name] == runs[-1][name] for name in ("machine", "store"))]
    drawn = []
    for chart in CHARTS:
        if any(name in run["figures"] for run in same for name in chart.figures):
            drawn.append(pictures / f"{chart.name}.svg")
            drawn[-1].write_text(_svg(chart, same), "utf-8")
    return drawn


def _svg(chart: Chart, runs: Sequence[Line]) -> str:
    import pygal
    from pygal.etree import etree
    from pygal.style import CleanStyle

    etree.to_etree()  # whatever else is installed: the same file everywhere
    made = pygal.Line(
        title=chart.title, x_labels=[run["commit"] for run in runs], width=WIDTH, height=HEIGHT, js=(), no_prefix=True,
        style=CleanStyle(font_family="sans-serif", background="#ffffff", plot_background="#ffffff"),
        legend_at_bottom=True, legend_at_bottom_columns=2, truncate_legend=-1, truncate_label=-1, x_label_rotation=30,
        include_x_axis=True, dots_size=3, show_x_guides=False, allow_interruptions=True,
    )  # fmt: skip
    for name in chart.figures:
        values = [run["figures"].get(name) for run in runs]
        if any(value is not None for value in values):
            made.add(name, values)
    tree = made.render_tree()
    for parent in list(tree.iter()):
        for child in list(parent):
            if not isinstance(child.tag, str):  # a comment with the day on which it was drawn
                parent.remove(child)
    svg: str = etree.tostring(tree, encoding="unicode")
    return svg + "\n"


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    changes = "+" if git("status", "--porcelain", "--untracked-files=no") else ""
    return (git("rev-parse", "--short=9", "HEAD") or "unknown") + changes
