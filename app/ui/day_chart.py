"""A day of alerts in hours, as a small picture of our own: attributes and classes alone, for pages without any style in
an element."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from markupsafe import Markup

HOURS = 24
WIDTH, HEIGHT, FOOT, HEAD = 720, 150, 20, 14
"""Of the picture; the space for the hours below the bars, and for the highest number above."""
STEP = WIDTH / HOURS
GAP = 4
EVERY = 3
"""Each so many hours one is named."""


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour: how many alerts came, and how many of them paged."""

    begins: datetime
    alerts: int = 0
    paged: int = 0


def hours(seen: Iterable[tuple[datetime, bool, int]], now: datetime) -> list[Hour]:
    """The 24 hours that end with the running one, of alerts by when they were first seen, whether they paged, and how
    many they are."""
    last = now.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    first = last - timedelta(hours=HOURS - 1)
    counts = [[0, 0] for _ in range(HOURS)]
    for at, paged, count in seen:
        place = int((at - first).total_seconds() // 3_600)
        if 0 <= place < HOURS:
            counts[place][0] += count
            counts[place][1] += count if paged else 0
    return [Hour(first + timedelta(hours=place), *counted) for place, counted in enumerate(counts)]


def drawn(day: Sequence[Hour], zone: tzinfo = UTC) -> Markup:
    """The picture: for each hour a bar of alerts, its lower part those that paged."""
    highest = max([1, *(hour.alerts for hour in day)])
    room = HEIGHT - FOOT - HEAD
    parts = []
    for place, hour in enumerate(day):
        at, left = hour.begins.astimezone(zone), place * STEP + GAP / 2
        said = f"{at:%H:%M}: {hour.alerts} {'alert' if hour.alerts == 1 else 'alerts'}, {hour.paged} paged"
        whole, paged = (room * count / highest for count in (hour.alerts, hour.paged))
        bars = Markup("").join(
            Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(
                name, left, HEIGHT - FOOT - top, STEP - GAP, length
            )
            for name, top, length in (("rest", whole, whole - paged), ("paged", paged, paged))
            if length
        )
        parts.append(Markup("<g><title>{}</title>{}</g>").format(said, bars))
        if place % EVERY == 0:
            parts.append(Markup('<text x="{:.1f}" y="{}">{}</text>').format(left, HEIGHT - 5, f"{at:%H:%M}"))
    total, paging = sum(hour.alerts for hour in day), sum(hour.paged for hour in day)
    label = (
        f"Alerts of the last 24 hours by hour: {total} in all, {paging} of them paged; at most {highest} in an hour."
    )
    return Markup(
        '<svg class="day" viewBox="0 0 {} {}" role="img" aria-label="{}"><text x="2" y="10">{}</text>'
        '<line class="axis" x1="0" y1="{y}" x2="{}" y2="{y}"/>{}</svg>'
    ).format(WIDTH, HEIGHT, label, highest if total else "", WIDTH, Markup("").join(parts), y=HEIGHT - FOOT)
