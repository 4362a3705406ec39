"""``truthvouch links``: alerts and their incidents as the bridge knows them."""

import sys
from datetime import datetime

import click

from app.cli import tables
from app.cli.asking import ask, at_the_desk, json_option
from app.cli.base import NOT_SO
from app.cli.spans import Moment
from app.domain.words import WishVerb

HEAD = ("alert", "status", "alert is", "incident", "incident is", "frozen since", "first seen")


@click.group()
def links() -> None:
    """Alerts and their incidents as the bridge knows them."""


@links.command(name="list")
@click.option("--open", "is_open", is_flag=True, help="Only what is open on either side.")
@click.option("--frozen", is_flag=True, help="Only what a ping-pong froze.")
@click.option("--since", type=Moment(), metavar="WHEN", help="Only what was first heard of since: 2h, 7d, 2026-03-01.")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1, 100_000), help="How many at most.")
@click.option("--after", default=0, type=click.IntRange(0), metavar="NUMBER", help="Go on where a list ended.")
@json_option
def list_links(is_open: bool, frozen: bool, since: datetime | None, limit: int, after: int, as_json: bool) -> None:
    """List them, newest first."""
    from app.ports import Page

    with at_the_desk() as desk:
        rows = desk.overview.links(Page(limit, after), is_open or None, frozen or None, since)
    if as_json:
        tables.as_json(rows)
    elif not rows:
        click.echo("No such links.")
    else:
        names = ("alert_id", "status", "alert_status", "incident_id", "incident_status", "frozen_at", "first_seen_at")
        tables.table(HEAD, [[row[name] for name in names] for row in rows])
    if len(rows) == limit:
        click.echo(f"There may be older ones: --after {rows[-1]['id']} goes on with them.", err=True)


@links.command(short_help="Tell everything about one.")
@click.argument("alert")
@json_option
def show(alert: str, as_json: bool) -> None:
    """Tell everything about one: both sides, what they should be, and what is owed to them."""
    with at_the_desk() as desk:
        row = desk.overview.link(alert)
    if row is None:
        click.echo("The bridge knows no such alert.", err=True)
        sys.exit(NOT_SO)
    (tables.as_json if as_json else tables.facts)(row)


@links.command(short_help="End a freeze: what was held goes out.")
@click.argument("alert")
@json_option
def thaw(alert: str, as_json: bool) -> None:
    """End a freeze: what was held goes out, and both sides are kept in step again."""
    with at_the_desk() as desk:
        ask(desk, WishVerb.THAW, [alert], as_json)
