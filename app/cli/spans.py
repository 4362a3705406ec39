"""Lengths of time and days as commands take them: ``2h``, ``30d``, ``2026-03-01``."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from app.domain.names import instant

_LENGTH = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(m|h|d|w)\s*", re.IGNORECASE)
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
LONGEST = timedelta(days=36_500)


def length(text: str) -> timedelta | None:
    """``90m``, ``2h``, ``30d``, ``1w``; None for anything else."""
    found = _LENGTH.fullmatch(text)
    if found is None or float(found[1]) > LONGEST / _UNITS[found[2].lower()]:
        return None
    return float(found[1]) * _UNITS[found[2].lower()]


class Length(click.ParamType[timedelta]):
    """A length of time, more than none."""

    name = "length"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """The length."""
        found = value if isinstance(value, timedelta) else length(str(value))
        if found is None or not found:
            self.fail(f"{value!r} is no length of time: write for example 90m, 2h, 7d or 1w.", param, ctx)
        return found


class Moment(click.ParamType[datetime]):
    """An instant, a day (its beginning, UTC), or a length of time before now."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """The instant."""
        if isinstance(value, datetime):
            return value
        ago = length(str(value))
        found = datetime.now(UTC) - ago if ago is not None else instant(str(value))
        if found is None:
            self.fail(f"{value!r} is no time: write for example 30d, 2026-03-01 or 2026-03-01T09:00:00Z.", param, ctx)
        return found
