"""What was measured at which commit: one line for each run in a file, and the charts that are drawn from it."""

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.figures import Report
from bench.processes import ROOT

HISTORY = ROOT / "docs" / "performance-history.jsonl"
PICTURES = ROOT / "docs" / "pictures"
WIDTH, HEIGHT = 720, 400
COLOURS = ("#1f6fb2", "#d9822b", "#2e8b57", "#b5443a", "#7b5ea7", "#5b6b7a", "#a08a00", "#00888a")

Run = dict[str, Any]


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
    """The charts of the runs on the machine of the newest: those of others cannot be compared with it."""
    runs: list[Run] = [json.loads(line) for line in history.read_text("utf-8").splitlines()]
    same = [run for run in runs if run["machine"] == runs[-1]["machine"]]
    drawn = []
    for chart in CHARTS:
        if series := _series(chart, same):
            drawn.append(pictures / f"{chart.name}.svg")
            drawn[-1].write_text(_svg(chart, _commits(same), series), "utf-8")
    return drawn


def _commits(runs: Sequence[Run]) -> list[str]:
    """In the order of their first runs."""
    return list(dict.fromkeys(run["commit"] for run in runs))


def _series(chart: Chart, runs: Sequence[Run]) -> dict[str, list[float | None]]:
    """A value for each commit, of its last run, by figure and store."""
    found: dict[str, dict[str, float]] = {}
    for name in chart.figures:
        for run in runs:
            if name in run["figures"]:
                label = name if run["store"] in ("SQLite", *name.split()) else f"{name}, {run['store']}"
                found.setdefault(label, {})[run["commit"]] = run["figures"][name]
    return {label: [values.get(commit) for commit in _commits(runs)] for label, values in found.items()}


def _svg(chart: Chart, labels: Sequence[str], series: Mapping[str, Sequence[float | None]]) -> str:
    import pygal
    from pygal.etree import etree
    from pygal.style import CleanStyle

    # For plug-ins with maps it hangs a finder of modules, of a kind that Python has given up, into every later import.
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__module__ != "pygal"]
    etree.to_etree()  # whatever else is installed: the same file everywhere
    sizes = {f"{what}_font_size": 12 for what in ("label", "major_label", "legend", "title")}
    style = CleanStyle(
        font_family="sans-serif", background="#ffffff", plot_background="#ffffff", colors=COLOURS, **sizes
    )
    made = pygal.Line(
        title=chart.title, x_labels=list(labels), width=WIDTH, height=HEIGHT, js=(), style=style,
        legend_at_bottom=True, legend_at_bottom_columns=2, truncate_legend=-1, truncate_label=-1, x_label_rotation=30,
        include_x_axis=True, max_scale=6, dots_size=3, allow_interruptions=True,
    )  # fmt: skip
    made.uuid = chart.name  # it would be another with every drawing
    for name, values in series.items():
        made.add(name, list(values))
    tree = made.render_tree()
    for parent in list(tree.iter()):
        for child in list(parent):
            # A comment has the day on which it was drawn; scripts do not run in a picture.
            if not isinstance(child.tag, str) or child.tag.endswith("script"):
                parent.remove(child)
    svg: str = etree.tostring(tree, encoding="unicode")
    return svg + "\n"


def _commit() -> str:
    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()

    changes = "+" if git("status", "--porcelain", "--untracked-files=no") else ""
    return (git("rev-parse", "--short=9", "HEAD") or "unknown") + changes
