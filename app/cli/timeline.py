"""``truthvouch timeline``: why somebody was paged, or was not."""

import sys
from typing import Any

import click

from app.cli import tables
from app.cli.asking import at_the_desk, json_option
from app.cli.base import NOT_SO

PAGE = 500


@click.command()
@click.argument("alert_or_incident")
@json_option
def timeline(alert_or_incident: str, as_json: bool) -> None:
    """Tell everything that happened to an alert or an incident: why somebody was paged, or was not."""
    lines = _lines(alert_or_incident)
    if as_json:
        tables.as_json(lines)
    for line in () if as_json else lines:
        facts = " ".join(f"{name}={tables.text(value)}" for name, value in line["facts"].items())
        by = f" by {tables.text(line['author'])}" if line["author"] else ""
        click.echo(f"{line['at']:%Y-%m-%d %H:%M:%S.%f}Z  {tables.text(line['event']):<24}{by} {facts}")
    if not lines:
        click.echo("The bridge knows no such alert or incident.", err=True)
        sys.exit(NOT_SO)


def _lines(wanted: str) -> list[Any]:
    from app.ports import Page

    lines: list[Any] = []
    with at_the_desk() as desk:
        while more := desk.overview.timeline(wanted, Page(PAGE, lines[-1]["id"] if lines else 0)):
            lines += more
    return lines
