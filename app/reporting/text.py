"""Reports for a terminal."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from app.reporting import tables
from app.reporting.tables import Table
from app.reporting.words import NOTHING, number, remarks, service, span

MAX_WORD_CHARS = 60
_NUMBER = re.compile(rf"[+-]?\d[\d,.]*%?( s| min| h \d\d min| d \d\d h)?|{NOTHING}|")
"""As ``words`` writes numbers, shares and lengths of time."""
Clean = Callable[[object], str]
"""Makes a value fit for one line of a terminal."""


def stats(told: Mapping[str, Any], clean: Clean) -> Iterator[str]:
    """The numbers, table by table."""
    yield f"{clean(span(told))} · {clean(service(told))}"
    yield from remarks(told)
    for table in tables.all_of(told):
        yield from _table(table, clean)


def report(told: Mapping[str, Any], clean: Clean) -> Iterator[str]:
    """The numbers, then every incident."""
    yield from stats(told["stats"], clean)
    yield from _table(tables.incidents(told, len(told["incidents"])), clean)


def comparison(told: Mapping[str, Any], clean: Clean) -> Iterator[str]:
    """Ours beside PagerDuty's, and why they may differ."""
    names = ("service_id", "number", "bridge", "pagerduty", "difference")
    rows = [[number(one[name]) if name in names[2:] else one[name] for name in names] for one in told["rows"]]
    head = ("Service", "Number", "Bridge", "PagerDuty", "Difference")
    yield from _table(Table("compared", "Beside PagerDuty's analytics", head, rows, empty="Nothing to compare."), clean)
    for note in told["notes"]:
        yield f"  {clean(note)}"


def _table(table: Table, clean: Clean) -> Iterator[str]:
    yield ""
    yield table.title
    if not table.rows:
        yield f"  {table.empty}"
        return
    head = [table.head] if any(table.head) else []
    lines = [[_cut(clean(word)) if word else "" for word in row] for row in [*head, *table.rows]]
    columns = range(len(lines[0]))
    widths = [max(len(line[column]) for line in lines) for column in columns]
    sides = [">" if all(_NUMBER.fullmatch(row[column]) for row in table.rows) else "<" for column in columns]
    for line in lines:
        yield _row(line, widths, sides)
    if table.note:
        yield f"  {table.note}"


def _row(line: Sequence[str], widths: Sequence[int], sides: Sequence[str]) -> str:
    """Numbers stand to the right, where one sees which is greater."""
    told = (f"{word:{side}{width}}" for word, side, width in zip(line, sides, widths, strict=True))
    return ("  " + "  ".join(told)).rstrip()


def _cut(word: str) -> str:
    return word if len(word) <= MAX_WORD_CHARS else word[: MAX_WORD_CHARS - 1] + "…"
