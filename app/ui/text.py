"""Reports for a terminal, and as CSV (RFC 4180) for spreadsheets."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from app.domain.reports.figures import Comparison, IncidentLine, Report, Stats
from app.logs import UNPRINTABLE
from app.ui import tables
from app.ui.tables import NOTHING, Table, here, number, remarks, service, span

MAX_WORD_CHARS = 60
_NUMBER = re.compile(rf"(?P<number>[+-]?\d[\d,.]*%?( s| min| h \d\d min| d \d\d h)?|{NOTHING}|)(?P<more> \(.*\))?")
"""As ``tables`` writes numbers, shares and lengths of time."""
Clean = Callable[[object], str]
"""Makes a value fit for one line of a terminal."""


Aligned = Callable[..., Iterator[str]]
"""``aligned(head, rows, sides, indent=...)``: a table's lines, of column names (none: all empty), rows, and for each
column ``<`` or ``>``."""


def stats(figures: Stats, clean: Clean, aligned: Aligned) -> Iterator[str]:
    """The numbers, table by table."""
    yield f"{clean(span(figures))} · {clean(service(figures))}"
    yield from remarks(figures)
    for table in tables.all_of(figures):
        yield from _table(table, clean, aligned)


def report(figures: Report, clean: Clean, aligned: Aligned) -> Iterator[str]:
    """The numbers, then every incident."""
    yield from stats(figures["stats"], clean, aligned)
    yield from _table(tables.incidents(figures, len(figures["incidents"])), clean, aligned)


def comparison(figures: Comparison, clean: Clean, aligned: Aligned) -> Iterator[str]:
    """Ours beside PagerDuty's, and why they may differ."""
    rows = [
        (one["service_id"], one["number"], *map(number, (one["bridge"], one["pagerduty"], one["difference"])))
        for one in figures["rows"]
    ]
    head = ("Service", "Number", "Bridge", "PagerDuty", "Difference")
    table = Table("compared", "Beside PagerDuty's analytics", head, rows, empty="Nothing to compare.")
    yield from _table(table, clean, aligned)
    for note in figures["notes"]:
        yield f"  {clean(note)}"


def _table(table: Table, clean: Clean, aligned: Aligned) -> Iterator[str]:
    yield ""
    yield table.title
    if not table.rows:
        yield f"  {table.empty}"
        return
    words = ([_cut(clean(word)) if word else "" for word in column] for column in zip(*table.rows, strict=True))
    columns = [_column(cells) for cells in words]
    rows = list(zip(*(cells for cells, _ in columns), strict=True))
    yield from aligned(table.head, rows, [side for _, side in columns], indent="  ")
    if table.note:
        yield f"  {table.note}"


def _column(cells: Sequence[str]) -> tuple[Sequence[str], str]:
    """The cells of a column and their side: numbers stand to the right, where one sees which is greater, and what
    follows them in brackets stands behind them."""
    parts = [_NUMBER.fullmatch(cell) for cell in cells]
    found = [part for part in parts if part]
    if len(found) < len(cells):
        return cells, "<"
    width = max(len(part["number"]) for part in found)
    if not any(part["more"] for part in found):
        return cells, ">"
    return [f"{part['number']:>{width}}{part['more'] or ''}" for part in found], "<"


def _cut(word: str) -> str:
    """No longer than a table can do with, and cut between words where there are several."""
    if len(word) <= MAX_WORD_CHARS:
        return word
    kept, _, _ = word[: MAX_WORD_CHARS - 1].rpartition(" ")
    return f"{kept} …" if kept else word[: MAX_WORD_CHARS - 1] + "…"


COLUMNS = (
    "incident_number", "incident_id", "title", "status", "urgency", "service_id", "severity", "rule", "triggered_at",
    "acknowledged_at", "acknowledged_by", "acknowledged_after_minutes", "resolved_at", "duration_minutes", "escalated",
    "reopened", "merged", "history_incomplete", "verdict", "alert_id", "url",
)  # fmt: skip
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a formula begins, in the wide signs of East Asian keyboards too."""


def incidents(report: Report) -> str:
    """A line for each incident, the oldest first. Instants are those of the report's time zone, with their offset."""
    lines = ({**one, **_instants(one, report["time_zone"])} for one in report["incidents"])
    return _written(COLUMNS, ([line[name] for name in COLUMNS] for line in lines))


def numbers(stats: Stats) -> str:
    """A line for each number: its name as in the JSON (``mtta_minutes.mean``), and its value."""
    return _written(("number", "value"), _flat(stats))


def _instants(one: IncidentLine, zone: str) -> dict[str, str | None]:
    texts = {name: one[name] for name in ("triggered_at", "acknowledged_at", "resolved_at")}
    return {name: at.isoformat() if (at := here(text, zone)) else None for name, text in texts.items()}


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            known = inner if isinstance(inner, Mapping) else {}
            key = next((known[key] for key in ("name", "date", "hour") if key in known), place)
            yield from _flat(inner, f"{name}.{key}")
    else:
        yield name, value


def _written(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(head)
    writer.writerows([_safe(value) for value in row] for row in rows)
    return text.getvalue()


def _safe(value: Any) -> Any:
    """Ids and titles come from outside: nothing in them steers a terminal, and a text that a spreadsheet would run as a
    formula, leading blanks or not, is quoted. https://owasp.org/www-community/attacks/CSV_Injection"""
    if not isinstance(value, str):
        return value
    text = UNPRINTABLE.sub("?", value)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
