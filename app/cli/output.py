"""What commands print: aligned columns for people, JSON for machines. And times as they take them: ``2h``, ``30d``."""

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any

import click

from app.domain.model.types import instant
from app.ui.story import flat, one_line

text = one_line
"""How every command writes a value."""

GAP = "  "
COLOURS: Mapping[str, str] = {
    **dict.fromkeys(("critical", "high", "open", "triggered", "wrong"), "red"),
    **dict.fromkeys(("medium", "acknowledged", "paused", "frozen", "warning", "unknown"), "yellow"),
    **dict.fromkeys(("resolved", "fine"), "green"),
}
"""Of the words of severity, urgency and status, where they are all that a cell says."""
_WORDED = frozenset({"status", "alert is", "incident is", "state", "severity", "urgency"})
"""The columns and facts that hold such words; in others they are somebody's id or title."""


def coloured(message: str, colour: str | None) -> str:
    """In that colour, where standard output is a terminal that shows colours and whose owner wants them.
    https://no-color.org"""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stdout.isatty()
    return message if plain or not colour else click.style(message, fg=colour)


def table(head: Sequence[str], rows: Iterable[Sequence[object]], colours: Mapping[str, str] | None = None) -> None:
    """Columns as wide as their widest value, numbers to the right; ``colours``: of whole columns, by name."""
    values = [list(row) for row in rows]
    sides = [">" if all(_is_number(row[column]) for row in values) else "<" for column in range(len(head))]
    cells = [[text(value) for value in row] for row in values]
    for line in aligned([name.upper() for name in head], cells, sides, terminal_width(), colours=colours):
        click.echo(line)


def terminal_width() -> int | None:
    """How wide the terminal is; None where standard output is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def aligned(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    sides: Sequence[str],
    room: int | None = None,
    indent: str = "",
    colours: Mapping[str, str] | None = None,
) -> Iterator[str]:
    """The lines of a table. No wider than ``room``: what is too long goes on below, between words; where even that
    does not fit, columns stand closer, and at last each row is a list of facts."""
    for gap in (GAP, " "):
        left = None if room is None else room - len(indent) - len(gap) * (len(head) - 1)
        widths = _fitting(head, rows, sides, left)
        if left is None or sum(widths) <= left:
            break
    else:
        yield from _stacked(head, rows, colours or {}, (room or 0) - len(indent), indent)
        return
    for line in [*([head] if any(head) else []), *rows]:
        cells = [_wrapped(value, width) for value, width in zip(line, widths, strict=True)]
        paints = [None if line is head else _colour(*named, colours) for named in zip(head, line, strict=True)]
        for below in zip_longest(*cells, fillvalue=""):
            parts = [
                f"{word:{side}{width}}".replace(word, coloured(word, paint), 1) if word else " " * width
                for word, side, width, paint in zip(below, sides, widths, paints, strict=True)
            ]
            yield (indent + gap.join(parts)).rstrip()


def _fitting(head: Sequence[str], rows: Sequence[Sequence[str]], sides: Sequence[str], room: int | None) -> list[int]:
    """Names of columns give first what the terminal does not have, then whatever needs the fewest lines. None becomes
    narrower than its longest word, unless that alone fills half the terminal; numbers with their units stay whole."""
    columns = list(zip(*rows, strict=True)) or [()] * len(head)
    names = [_longest(name.split()) for name in head]
    values = [_longest(column) for column in columns]
    widths = [max(len(name), value) for name, value in zip(head, values, strict=True)]
    if room is None:
        return widths
    narrowest = [
        value if side == ">" else min(_longest(word for cell in column for word in cell.split()), room // 2)
        for column, value, side in zip(columns, values, sides, strict=True)
    ]
    for least in (values, narrowest):
        floors = list(map(max, names, least))
        while sum(widths) > room and (givers := [at for at, width in enumerate(widths) if width > floors[at]]):
            widths[min(givers, key=lambda at: (-(-values[at] // max(widths[at] - 1, 1)), -widths[at]))] -= 1
    return widths


def _longest(texts: Iterable[str]) -> int:
    return max(map(len, texts), default=0)


def _stacked(
    head: Sequence[str], rows: Sequence[Sequence[str]], colours: Mapping[str, str], room: int, indent: str
) -> Iterator[str]:
    name_width = max(map(len, head))
    for place, row in enumerate(rows):
        if place:
            yield ""
        for name, value in zip(head, row, strict=True):
            first, *rest = _wrapped(value, max(room - name_width - len(GAP), 20))
            yield f"{indent}{name:<{name_width}}{GAP}{coloured(first, _colour(name, value, colours))}".rstrip()
            yield from (f"{indent}{' ' * name_width}{GAP}{more}" for more in rest)


def _wrapped(value: str, width: int) -> list[str]:
    return [value] if len(value) <= width else textwrap.wrap(value, width, break_on_hyphens=False) or [""]


def _colour(name: str, value: str, colours: Mapping[str, str] | None = None) -> str | None:
    name = name.lower()
    return (colours or {}).get(name) or (COLOURS.get(value) if name.rpartition(".")[2] in _WORDED else None)


def hanging(first: str, message: str) -> str:
    """``first`` and the message; what the terminal has no room for goes on below them, between words."""
    room = terminal_width()
    if room is None:
        return f"{first}{message}"
    wide = max(room - len(first), 20)
    lines = [
        part
        for line in message.splitlines()
        for part in textwrap.wrap(line, wide, break_long_words=False, break_on_hyphens=False) or [""]
    ]
    return first + f"\n{' ' * len(first)}".join(lines)


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def facts(named: Mapping[str, object]) -> None:
    """One fact a line, names in a column; what is inside a fact follows its name: ``alert.status``."""
    lines = dict(flat(named))
    width = max(map(len, lines), default=0)
    for name, value in lines.items():
        first, cell = f"{name.ljust(width)}{GAP}", text(value)
        colour = _colour(name, cell)
        click.echo((first + coloured(cell, colour) if colour else hanging(first, cell)).rstrip())


def duration(seconds: float) -> str:
    """A length of time: ``15:00``, ``1:00:00``, ``0:01.5``."""
    whole, minutes = seconds % 60, int(seconds // 60)
    tail = f"{whole:04.1f}" if whole % 1 else f"{int(whole):02d}"
    return f"{minutes // 60}:{minutes % 60:02d}:{tail}" if minutes >= 60 else f"{minutes}:{tail}"


def as_json(value: object) -> None:
    """For machines; instants as ISO 8601."""
    click.echo(json.dumps(value, default=lambda one: one.isoformat() if isinstance(one, datetime) else str(one)))


def listing(
    as_list: Sequence[Mapping[str, Any]],
    json_wanted: bool,
    nothing: str,
    head: Sequence[str],
    cells: Callable[[Any], Sequence[object]],
    colours: Mapping[str, str] | None = None,
) -> None:
    """A list for machines or for people: ``cells`` of each row, or ``nothing`` in words."""
    if json_wanted:
        as_json(as_list)
    elif as_list:
        table(head, map(cells, as_list), colours)
    else:
        click.echo(nothing)


@contextmanager
def bars(hidden: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each label on standard error, where that is a terminal: so many of so many are done."""
    shown: dict[str, Any] = {}
    quiet = hidden or not sys.stderr.isatty()

    def progress(label: str, done: int, total: int) -> None:
        if quiet:
            return
        if label not in shown:
            shown[label] = click.progressbar(length=total, label=label, file=sys.stderr)
        shown[label].update(done - shown[label].pos)

    yield progress
    for bar in shown.values():
        bar.render_finish()


# ------------------------------------------------------------------------------------------------------ lengths of time

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
