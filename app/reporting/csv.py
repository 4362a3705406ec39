"""Reports as CSV (RFC 4180), for spreadsheets."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from app.logs import UNPRINTABLE
from app.reporting.words import here

COLUMNS = (
    "incident_number", "incident_id", "title", "status", "urgency", "service_id", "severity", "rule", "triggered_at",
    "acknowledged_at", "acknowledged_by", "acknowledged_after_minutes", "resolved_at", "duration_minutes", "escalated",
    "reopened", "merged", "history_incomplete", "verdict", "alert_id", "url",
)  # fmt: skip
INSTANTS = frozenset({"triggered_at", "acknowledged_at", "resolved_at"})
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""How a formula begins, in the wide signs of East Asian keyboards too."""


def incidents(report: Mapping[str, Any]) -> str:
    """A line for each incident, the oldest first. Instants are those of the report's time zone, with their offset."""
    zone = report["time_zone"]
    return _written(COLUMNS, ([_cell(one, name, zone) for name in COLUMNS] for one in report["incidents"]))


def numbers(stats: Mapping[str, Any]) -> str:
    """A line for each number: its name as in the JSON (``mtta_minutes.mean``), and its value."""
    return _written(("number", "value"), _flat(stats))


def _cell(one: Mapping[str, Any], name: str, zone: str) -> Any:
    if name not in INSTANTS:
        return one[name]
    at = here(one[name], zone)
    return at.isoformat() if at else None


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from _flat(inner, f"{name}.{_named(inner, place)}")
    else:
        yield name, value


def _named(inner: Any, place: int) -> str:
    known = inner if isinstance(inner, Mapping) else {}
    return str(next((known[key] for key in ("name", "date", "hour") if key in known), place))


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
