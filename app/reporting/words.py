"""How numbers are written for people: the same in every format."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from app.domain.names import EARLIEST

NOTHING = "–"
"""Where there is no number: nothing qualified."""
TRENDS: Mapping[str, str] = {
    "rising": "rising",
    "falling": "falling",
    "steady": "steady",
    "too_few_weeks": "too few weeks",
}
STEP_NAMES = ("up to 5 min", "5–15 min", "15–60 min", "1–4 h", "4–24 h", "over 24 h")
"""The steps of ``time_steps``, one more than its bounds."""
MISSING = "older acknowledges, resolves, reopens and escalations of theirs are not in these numbers."
"""What a history without its oldest moments means."""
LATEST = datetime(3000, 1, 1, tzinfo=UTC)
"""Nothing has happened by then."""


def minutes(value: float | None) -> str:
    """``42 s``, ``3.5 min``, ``1 h 05 min``, ``3 d 04 h``."""
    if value is None:
        return NOTHING
    if value < 1:
        return f"{value * 60:.0f} s"
    if round(value, 1) < 60:
        return f"{value:.1f} min"
    hours, rest = divmod(round(value), 60)
    if hours < 48:
        return f"{hours} h {rest:02} min"
    return f"{hours // 24} d {hours % 24:02} h"


def number(value: float | None) -> str:
    """A count or a mean; no digits that say nothing."""
    if value is None:
        return NOTHING
    return f"{value:,.2f}".rstrip("0").rstrip(".")


def share(part: int, whole: int) -> str:
    """``38 (76%)``; without a whole only the part."""
    return f"{part:,} ({part / whole:.0%})" if whole else f"{part:,}"


def rate(value: float | None) -> str:
    """A share of 0..1 as per cent."""
    return NOTHING if value is None else f"{value:.1%}"


def instant(text: str, time_zone: str) -> str:
    """An instant by the clocks of the report's time zone, to the minute; one that none ever showed, as it is."""
    at = here(text, time_zone)
    return text if at is None else f"{at:%Y-%m-%d %H:%M}"


def here(text: str | None, time_zone: str) -> datetime | None:
    """An instant by the clocks of the report's time zone; None where there is none, or one that no clock ever showed:
    the years 0001 and 9999 are how programs write that, and have no time in every zone."""
    zone = UTC if time_zone.upper() == "UTC" else ZoneInfo(time_zone)
    at = None if text is None else datetime.fromisoformat(text)
    return at.astimezone(zone) if at and EARLIEST <= at < LATEST else None


def trend(load: Mapping[str, Any]) -> str:
    """``rising, +0.4 a week``."""
    word, rise = TRENDS[load["trend"]], load["per_week"]
    return word if rise is None or load["trend"] == "steady" else f"{word}, {rise:+.1f} a week"


def span(told: Mapping[str, Any]) -> str:
    """``1 to 31 March 2026``, with whatever has to be said of a period that is not over."""
    period = told["period"]
    first, last = date.fromisoformat(period["from"]), date.fromisoformat(period["to"])
    days = f"{_day(first)}" if first == last else f"{_day(first)} to {_day(last)}"
    if period["complete"]:
        return f"{days}, {told['time_zone']}"
    return f"{days}, {told['time_zone']}, so far (until {instant(period['as_of'], told['time_zone'])})"


def remarks(told: Mapping[str, Any]) -> list[str]:
    """What a reader has to know about the record before the numbers. ``told``: statistics, or a report with them."""
    began = told["period"]["record_since"]
    if began is None:
        return ["The record is empty: the bridge has not seen any alert yet."]
    remarks = []
    if began > told["period"]["since"]:
        since = f"{instant(began, told['time_zone'])} {told['time_zone']}"
        remarks.append(f"The record begins on {since}: of what was before, nothing is known.")
    if count := told.get("stats", told)["history_incomplete"]:
        alerts = "1 alert" if count == 1 else f"{count:,} alerts"
        remarks.append(f"History incomplete for {alerts}: {MISSING}")
    return remarks


def _day(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def service(told: Mapping[str, Any]) -> str:
    """Which incidents it is about."""
    return f"service {told['service_id']}" if told["service_id"] else "all services"
