"""``truthvouch stats`` and ``report``: a period in numbers, and with every incident of it, for people, spreadsheets and
programs.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from app.cli import base, output
from app.cli import output as tables

if TYPE_CHECKING:
    from app.bootstrap.elsewhere import RemoteReports
    from app.domain.reports.figures import Comparison, Report, Stats
    from app.services.reports.report import Reports


F = TypeVar("F", bound=Callable[..., Any])


def _day(_context: click.Context, _option: click.Parameter, value: datetime | None) -> date | None:
    return value and value.date()


def _options(default: str) -> Callable[[F], F]:
    examples = "daily, weekly, monthly, quarterly: the running one. Or 30d, 2026-03-15, 2026-W11, 2026-03, 2026-Q1."
    day: dict[str, Any] = {"type": click.DateTime(formats=["%Y-%m-%d"]), "metavar": "DAY", "callback": _day}
    options = (
        click.option("--service", "service_id", metavar="ID", help="Only incidents of this PagerDuty service."),
        click.option("--period", default=default, show_default=True, metavar="PERIOD", help=examples),
        click.option("--previous", is_flag=True, help="The period before that one: the last that is over."),
        click.option("--from", "start", **day, help="First day, instead of --period."),
        click.option("--to", "end", **day, help="Last day, included; today if it is left out."),
        click.option("--tz", "time_zone", default="UTC", show_default=True, metavar="ZONE",
                     help="Days and hours of this IANA time zone, such as Europe/Berlin."),
        click.option("--compare", is_flag=True, help="Read PagerDuty's analytics too, and show both."),
    )  # fmt: skip

    def decorated(command: F) -> F:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


@contextmanager
def _reports(previous: bool, start: date | None, end: date | None, **_: Any) -> Iterator["Reports | RemoteReports"]:
    """This installation's record; exit code 2 when it cannot be read or when what is asked is no period."""
    from app.domain.reports.period import BadPeriod

    if previous and (start or end):
        base.refuse("--previous belongs to --period, not to --from and --to.")
    with base.refusing(BadPeriod), base.open_bridge(None if base.is_elsewhere() else base.read_config()[0]) as made:
        yield made.reports


def beside_pagerduty(stats: "Stats") -> "Comparison":
    """PagerDuty's numbers for the same period; exit code 2 where there is no key to ask with."""
    from app.bootstrap.container import Container

    settings = base.read_settings()
    if not settings.pagerduty.api_key:
        base.refuse("PAGERDUTY_API_KEY is not set: PagerDuty's analytics cannot be read without it.")
    base.check_config(settings)
    with Container(settings) as made:
        return made.compare(stats)


FORMATS = ("text", "json", "csv", "html")
SPREADSHEET = "utf-8-sig"
"""With a byte order mark: without one Excel reads a file as if it were of the Windows of long ago."""


@click.command(short_help="Report a period: numbers, and each incident.")
@_options("monthly")
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
        base.refuse(f"Choose one: {' or '.join(said)}.")
    form = next(iter(said.values()), "text")
    if compare and form in ("csv", "html"):
        base.refuse("--compare goes with --format text or json.")
    with _reports(**options) as opened:
        made = opened.report(**options)
        if form == "html":
            made["before"] = before(opened, made["period"]["name"], options)
    if compare:
        made["compared"] = beside_pagerduty(made["stats"])
    usual = f"truthvouch-report-{made['period']['name']}.html" if form == "html" else "-"
    output = output or usual
    width = tables.terminal_width() if output == "-" else None
    _write(written(made, form, width), output, SPREADSHEET if form == "csv" else "utf-8")
    if compare and made["compared"]["reason"]:
        sys.exit(base.NOT_SO)


def before(opened: "Reports | RemoteReports", name: str, options: dict[str, Any]) -> "Stats | None":
    """The numbers of the period before; None where the period has no name that says which one that is."""
    from app.domain.reports.period import BadPeriod

    if options["start"] or options["end"]:
        return None
    try:
        return opened.stats(
            service_id=options["service_id"], period=name, previous=True, time_zone=options["time_zone"]
        )
    except BadPeriod:
        return None


def written(made: "Report", form: str, width: int | None = None) -> str:
    """A report as text, csv, html or json."""
    from app.ui import text

    if form == "json":
        return json.dumps(made) + "\n"
    if form == "csv":
        return text.incidents(made)
    if form == "html":
        from app.ui.report_page import page  # here alone: it loads what draws

        return page(made)
    aligned = partial(tables.aligned, room=width)
    lines = [*text.report(made, tables.text, aligned)]
    lines += text.comparison(made["compared"], tables.text, aligned) if "compared" in made else []
    return "\n".join(lines) + "\n"


def _write(text: str, output: str, encoding: str) -> None:
    if output == "-":
        click.echo(text, nl=False)
        return
    path = Path(output)
    try:
        with open(path, "w", encoding=encoding, errors="replace", newline="", opener=private) as file:
            file.write(text)
    except OSError as fault:
        base.refuse(f"{path} cannot be written: {fault.strerror}")
    click.echo(path)


def private(path: str, flags: int) -> int:
    """An opener: a new file is its owner's alone, for titles are in it, and what alerts claim. One that is there keeps
    its mode."""
    return os.open(path, flags, 0o600)


@click.command(short_help="Show a period in numbers.")
@_options("30d")
@click.option("--csv", "as_csv", is_flag=True, help="A line for each number.")
@base.json_option
def stats(compare: bool, as_csv: bool, as_json: bool, **options: Any) -> None:
    """Show a period in numbers, from the bridge's own record: times, targets, false alerts, load."""
    from app.ui import text

    if as_csv and as_json:
        base.refuse("Choose one: --csv or --json.")
    with _reports(**options) as opened:
        numbers = opened.stats(**options)
    if compare:
        numbers["compared"] = beside_pagerduty(numbers)
    if as_json:
        output.as_json(numbers)
    elif as_csv:
        click.echo(text.numbers(numbers), nl=False)
    else:
        aligned = partial(output.aligned, room=output.terminal_width())
        for line in text.stats(numbers, output.text, aligned):
            click.echo(line)
        for line in text.comparison(numbers["compared"], output.text, aligned) if compare else ():
            click.echo(line)
    if compare and numbers["compared"]["reason"]:
        sys.exit(base.NOT_SO)
