"""``truthvouch timeline``: why somebody was paged, or was not."""

import sys
from typing import Any

import click

from app.cli import tables
from app.cli.asking import UNKNOWN_MATTER, at_the_desk, json_option
from app.cli.base import NOT_SO

PAGE = 500


@click.command(short_help="Tell why somebody was paged, or was not.")
@click.argument("alert_or_incident")
@json_option
def timeline(alert_or_incident: str, as_json: bool) -> None:
    """Tell everything that happened to an alert or an incident (by its id or its number): why somebody was paged, or
    was not."""
    lines, other = _lines(alert_or_incident)
    if as_json:
        tables.as_json(lines)
    else:
        _tell(lines)
    if other:
        named, other = tables.text(alert_or_incident), tables.text(other)
        click.echo(
            f"{named} is an alert's id. Incident {named} is another matter: truthvouch timeline {other}", err=True
        )
    if not lines:
        click.echo(UNKNOWN_MATTER, err=True)
        sys.exit(NOT_SO)


def _tell(lines: list[Any]) -> None:
    """Each incident is named once, in the first line about it."""
    named: set[str] = set()
    for line in lines:
        facts = [f"{name}={tables.text(value)}" for name, value in tables.flat(line["facts"])]
        if line["incident_id"] and line["incident_id"] not in named:
            named.add(line["incident_id"])
            number = f" (#{line['incident_number']})" if line["incident_number"] is not None else ""
            facts.append(f"incident={tables.text(line['incident_id'])}{number}")
        by = f" by {tables.text(line['author'])}" if line["author"] else ""
        click.echo(f"{line['at']:%Y-%m-%d %H:%M:%S.%f}Z  {tables.text(line['event']):<24}{by} {' '.join(facts)}")


def _lines(wanted: str) -> tuple[list[Any], str | None]:
    """By the time each line tells, not by when it was written: words may come late. Besides: the incident that may have
    been meant instead."""
    from app.ports import Page

    lines: list[Any] = []
    with at_the_desk() as desk:
        while more := desk.overview.timeline(wanted, Page(PAGE, lines[-1]["id"] if lines else 0)):
            lines += more
        other = desk.overview.incident_of_that_number(wanted)
    return sorted(lines, key=lambda line: (line["at"], line["id"])), other
