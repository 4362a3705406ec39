"""What commands print: aligned columns for people, JSON for machines."""

import json
import shutil
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any

import click

from app.logs import UNPRINTABLE

GAP = "  "
NARROWEST = 12
"""Signs that a column keeps on any terminal."""


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns as wide as their widest value, numbers to the right; on a terminal no wider than that, and then what is
    too long goes on below, between words where it can."""
    values = [list(row) for row in rows]
    lines = [[name.upper() for name in head], *([text(value) for value in row] for row in values)]
    sides = [">" if all(_is_number(row[column]) for row in values) else "<" for column in range(len(head))]
    widths = _fitting([max(len(line[column]) for line in lines) for column in range(len(head))])
    for line in lines:
        cells = [
            textwrap.wrap(value, width, break_on_hyphens=False) or [""]
            for value, width in zip(line, widths, strict=True)
        ]
        for below in zip_longest(*cells, fillvalue=""):
            told = [f"{word:{side}{width}}" for word, side, width in zip(below, sides, widths, strict=True)]
            click.echo(GAP.join(told).rstrip())


def _fitting(widths: list[int]) -> list[int]:
    """The widest columns give what the terminal does not have; none gives its last twelve signs."""
    if not sys.stdout.isatty():
        return widths
    left = shutil.get_terminal_size().columns - len(GAP) * (len(widths) - 1)
    while sum(widths) > left and max(widths) > NARROWEST:
        widest = widths.index(max(widths))
        widths = [width - (place == widest) for place, width in enumerate(widths)]
    return widths


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def facts(named: Mapping[str, object]) -> None:
    """One fact a line, names in a column; what is inside a fact follows its name: ``alert.status``."""
    lines = dict(flat(named))
    width = max(map(len, lines), default=0)
    for name, value in lines.items():
        click.echo(f"{name.ljust(width)}{GAP}{text(value)}".rstrip())


def text(value: object) -> str:
    """A value for one line of a terminal: nothing that came from outside can begin a line or steer the terminal."""
    match value:
        case None | "" | []:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}Z"
        case list() | tuple():
            return ", ".join(map(text, value))
        case _:
            return UNPRINTABLE.sub("?", str(value))


def span(seconds: float) -> str:
    """A length of time: ``15:00``, ``1:00:00``, ``0:01.5``."""
    whole, minutes = seconds % 60, int(seconds // 60)
    tail = f"{whole:04.1f}" if whole % 1 else f"{int(whole):02d}"
    return f"{minutes // 60}:{minutes % 60:02d}:{tail}" if minutes >= 60 else f"{minutes}:{tail}"


def as_json(value: object) -> None:
    """For machines; instants as ISO 8601."""
    click.echo(json.dumps(value, default=_plain))


def flat(named: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, object]]:
    """What is inside a fact follows its name: ``alert.status``."""
    for name, value in named.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{name}.")
        else:
            yield before + name, value


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
