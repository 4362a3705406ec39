"""The arithmetic of reports: means, percentiles, a straight line."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spread:
    """How so many times are spread. In minutes; None where there is not one."""

    count: int = 0
    mean: float | None = None
    median: float | None = None
    p90: float | None = None
    p95: float | None = None


def spread(minutes: Iterable[float]) -> Spread:
    """Mean, median and percentiles of these times."""
    ordered = sorted(minutes)
    if not ordered:
        return Spread()
    mean = sum(ordered) / len(ordered)
    mean = min(max(mean, ordered[0]), ordered[-1])  # a sum of fractions may round to a hair outside
    return Spread(len(ordered), mean, *(percentile(ordered, share) for share in (0.5, 0.9, 0.95)))


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value below which that share (0..1) lies, between the two nearest ranks in proportion.

    The same as PERCENTILE.INC of spreadsheets, ``percentile_cont`` of SQL and NumPy's default. ``ordered`` is sorted
    and not empty.
    """
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def slope(values: Sequence[float]) -> float | None:
    """How much the values rise from one to the next, by least squares; None for fewer than two."""
    count = len(values)
    if count < 2:
        return None
    middle, mean = (count - 1) / 2, sum(values) / count
    rise = sum((place - middle) * (value - mean) for place, value in enumerate(values))
    return rise / sum((place - middle) ** 2 for place in range(count))
