"""``truthvouch report``: a period with every incident of it, for people, spreadsheets and programs."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli import tables
from app.cli.base import NOT_SO, refuse
from app.cli.periods import asked, bar, beside_pagerduty, report_options, reports

if TYPE_CHECKING:
    from app.services.report import Reports

FORMATS = ("text", "json", "csv", "html")
SPREADSHEET = "utf-8-sig"
"""With a byte order mark: without one Excel reads a file as if it were of the Windows of long ago."""


@click.command(short_help="Report a period: numbers, and each incident.")
@report_options
@click.option("--format", "form", type=click.Choice(FORMATS), show_default="text", help="What to write.")
@click.option("--json", "as_json", is_flag=True, help="For machines: the same as --format json.")
@click.option("--csv", "as_csv", is_flag=True, help="For spreadsheets: the same as --format csv.")
@click.option("-o", "--output", metavar="FILE", help="Write it to this file; - is standard output.")
def report(compare: bool, form: str | None, as_json: bool, as_csv: bool, output: str | None, **options: Any) -> None:
    """Report a period: its numbers, and each incident that was triggered in it.

    A page (--format html) is one file with charts that needs nothing else; without -o it is written to
    truthvouch-report-PERIOD.html here.
    """
    named = {"--json": "json" if as_json else None, "--csv": "csv" if as_csv else None, f"--format {form}": form}
    said = {option: one for option, one in named.items() if one}
    if len(set(said.values())) > 1:
        refuse(f"Choose one: {' or '.join(said)}.")
    form = next(iter(said.values()), "text")
    if compare and form in ("csv", "html"):
        refuse("--compare goes with --format text or json.")
    with reports() as opened, bar(hidden=form == "json") as told:
        made = opened.report(**asked(**options), told=told)
        if form == "html":
            made["before"] = _before(opened, made["period"]["name"], options)
    if compare:
        made["compared"] = beside_pagerduty(made["stats"])
    usual = f"truthvouch-report-{made['period']['name']}.html" if form == "html" else "-"
    _write(_written(made, form), output or usual, SPREADSHEET if form == "csv" else "utf-8")
    if compare and made["compared"]["reason"]:
        sys.exit(NOT_SO)


def _before(opened: "Reports", name: str, options: dict[str, Any]) -> dict[str, Any] | None:
    """The numbers of the period before; None where the period has no name that says which one that is."""
    from app.domain.stats_period import BadPeriod

    if options["start"] or options["end"]:
        return None
    try:
        return opened.stats(options["service_id"], period=name, previous=True, time_zone=options["time_zone"])
    except BadPeriod:
        return None


def _written(made: dict[str, Any], form: str) -> str:
    from app.reporting import csv, text

    if form == "json":
        return json.dumps(made) + "\n"
    if form == "csv":
        return csv.incidents(made)
    if form == "html":
        from app.reporting.html import page  # here alone: it loads what draws

        return page(made)
    lines = [*text.report(made, tables.text)]
    lines += text.comparison(made["compared"], tables.text) if "compared" in made else []
    return "\n".join(lines) + "\n"


def _write(words: str, output: str, encoding: str) -> None:
    if output == "-":
        click.echo(words, nl=False)
        return
    path = Path(output)
    try:
        with open(path, "w", encoding=encoding, errors="replace", newline="", opener=_private) as file:
            file.write(words)
    except OSError as fault:
        refuse(f"{path} cannot be written: {fault.strerror}")
    click.echo(path)


def _private(path: str, flags: int) -> int:
    """A new file is its owner's alone: titles are in it, and what alerts claim. One that is there keeps its mode."""
    return os.open(path, flags, 0o600)
