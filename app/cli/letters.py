"""``truthvouch dead-letters``: what waits for a person."""

import sys
from typing import TYPE_CHECKING, Any

import click

from app.cli import tables
from app.cli.asking import ask, at_the_desk, json_option
from app.cli.base import NOT_SO, WRONG_USE
from app.domain.words import WishVerb

if TYPE_CHECKING:
    from app.bootstrap.tools import Desk

PAGE = 500
HEAD = ("id", "at", "kind", "side", "reason", "attempts", "about")
MAX_ID = 10**18 - 1
MAX_SAID_CHARS = 100
"""Of the partner's own words in a list; ``show`` has them all."""

letter_ids = click.argument("letter_ids", metavar="ID...", nargs=-1, type=click.IntRange(1, MAX_ID))


@click.group(name="dead-letters")
def dead_letters() -> None:
    """What could not be read or delivered and waits for a person."""


@dead_letters.command(name="list")
@click.option("--closed", is_flag=True, help="Those that were replayed or discarded.")
@json_option
def list_dead_letters(closed: bool, as_json: bool) -> None:
    """List them, oldest first."""
    with at_the_desk() as desk:
        rows = _all(desk, closed)
    if as_json:
        tables.as_json(rows)
    elif not rows:
        click.echo("No dead letters.")
    else:
        outcome = ("outcome",) if closed else ()
        tables.table((*HEAD, *outcome), [_line(row, outcome) for row in rows])


@dead_letters.command(short_help="Tell everything about one.")
@click.argument("letter_id", metavar="ID", type=click.IntRange(1, MAX_ID))
@json_option
def show(letter_id: int, as_json: bool) -> None:
    """Tell everything about one: why, what the partner answered, and what waits behind it."""
    with at_the_desk() as desk:
        row = desk.overview.letter(letter_id)
    if row is None:
        click.echo("There is no such dead letter.", err=True)
        sys.exit(NOT_SO)
    (tables.as_json if as_json else tables.facts)(row)


@dead_letters.command(short_help="Try again what was given up.")
@letter_ids
@click.option("--all", "every", is_flag=True, help="Every open one.")
@json_option
def replay(letter_ids: tuple[int, ...], every: bool, as_json: bool) -> None:
    """Try again what was given up: the bridge asks what is missing now, and does only that."""
    if bool(letter_ids) is every:
        click.echo("Say which: ID..., or --all.", err=True)
        sys.exit(WRONG_USE)
    with at_the_desk() as desk:
        wanted = [row["id"] for row in _all(desk)] if every else list(dict.fromkeys(letter_ids))
        if not wanted and not as_json:
            click.echo("No dead letters.")
        ask(desk, WishVerb.REPLAY, [str(number) for number in wanted], as_json)


@dead_letters.command()
@letter_ids
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def discard(letter_ids: tuple[int, ...], yes: bool, as_json: bool) -> None:
    """Close them without trying; what waits behind them goes on."""
    if not letter_ids:
        click.echo("Say which: ID...", err=True)
        sys.exit(WRONG_USE)
    wanted = list(dict.fromkeys(letter_ids))
    if not yes:
        click.confirm(f"Discard {len(wanted)}? What was given up is then never done.", abort=True, err=True)
    with at_the_desk() as desk:
        ask(desk, WishVerb.DISCARD, [str(number) for number in wanted], as_json)


def _all(desk: "Desk", closed: bool = False) -> list[Any]:
    from app.ports import Page

    rows: list[Any] = []
    while more := desk.overview.letters(Page(PAGE, rows[-1]["id"] if rows else 0), closed):
        rows += more
    return rows


def _line(row: Any, more: tuple[str, ...]) -> list[object]:
    about = row["alert_id"] or (f"inbox row {row['inbox_id']}" if row["inbox_id"] else "")
    reason = f"{row['reason']} ({row['effect']})" if row["effect"] else row["reason"]
    if said := row["detail"].strip():
        reason += f": {said.splitlines()[0][:MAX_SAID_CHARS]}"
    known = [row["id"], row["at"], row["kind"], row["side"], reason, row["attempts"], about]
    return known + [row[name] for name in more]
