"""``truthvouch stats``: a period in numbers."""

import sys
from typing import Any

import click

from app.cli import tables
from app.cli.asking import json_option
from app.cli.base import NOT_SO, refuse
from app.cli.periods import asked, bar, beside_pagerduty, reports, stats_options


@click.command(short_help="Tell a period in numbers.")
@stats_options
@click.option("--csv", "as_csv", is_flag=True, help="A line for each number.")
@json_option
def stats(compare: bool, as_csv: bool, as_json: bool, **options: Any) -> None:
    """Tell a period in numbers, from the bridge's own record: times, targets, false alerts, load."""
    if as_csv and as_json:
        refuse("Choose one: --csv or --json.")
    with reports() as opened, bar(hidden=as_json or as_csv) as told:
        numbers = opened.stats(**asked(**options), told=told)
    if compare:
        numbers["compared"] = beside_pagerduty(numbers)
    _tell(numbers, as_csv, as_json)
    if compare and numbers["compared"]["reason"]:
        sys.exit(NOT_SO)


def _tell(numbers: dict[str, Any], as_csv: bool, as_json: bool) -> None:
    from app.reporting import csv, text

    if as_json:
        tables.as_json(numbers)
    elif as_csv:
        click.echo(csv.numbers(numbers), nl=False)
    else:
        for line in text.stats(numbers, tables.text):
            click.echo(line)
        for line in text.comparison(numbers["compared"], tables.text) if "compared" in numbers else ():
            click.echo(line)
