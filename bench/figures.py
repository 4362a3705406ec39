"""The figures, what they should be, and how they are printed."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

WITHIN = {"<=": lambda value, bound: value <= bound, ">=": lambda value, bound: value >= bound}


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value: the median of its rounds, and the rounds."""

    name: str
    unit: str
    rounds: tuple[float, ...]
    bound: float | None = None
    at: str = "<="
    note: str = ""

    @property
    def value(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.rounds)

    @property
    def verdict(self) -> str:
        """``met``, ``missed`` or nothing where there is no budget."""
        if self.bound is None:
            return ""
        return "met" if WITHIN[self.at](self.value, self.bound) else "missed"

    @property
    def budget(self) -> str:
        """The budget as text."""
        return "" if self.bound is None else f"{self.at} {number(self.bound)}"

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {
            "name": self.name, "unit": self.unit, "value": round(self.value, 3),
            "rounds": [round(one, 3) for one in self.rounds],
            "budget": self.budget or None, "verdict": self.verdict or None, "note": self.note or None,
        }  # fmt: skip


@dataclass(slots=True)
class Report:
    """All of one run."""

    setting: dict[str, str]
    figures: list[Figure] = field(default_factory=list)

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {"setting": self.setting, "figures": [figure.as_json() for figure in self.figures]}

    def as_text(self) -> str:
        """For a terminal."""
        rows = [("figure", "median", "budget", "", "rounds"), *(_cells(figure) for figure in self.figures)]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, (*widths, 0), strict=True)) for row in rows]
        return "\n".join([*(f"{name}: {value}" for name, value in self.setting.items()), "", *lines])

    def as_markdown(self) -> str:
        """For ``docs/performance.md``."""
        lines = [f"- {name}: {value}" for name, value in self.setting.items()]
        lines += ["", "| Figure | Median | Budget | | Rounds |", "|---|---|---|---|---|"]
        return "\n".join([*lines, *("| " + " | ".join(_cells(figure)) + " |" for figure in self.figures)])


def number(value: float) -> str:
    """Three significant digits, thousands kept whole."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile; not a number for no values."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def _cells(figure: Figure) -> tuple[str, str, str, str, str]:
    rounds = ", ".join(number(one) for one in figure.rounds) + (f" ({figure.note})" if figure.note else "")
    return figure.name, f"{number(figure.value)} {figure.unit}".strip(), figure.budget, figure.verdict, rounds
