"""``truthvouch timeline``, ``dead-letters`` and ``links``: why somebody was paged, or was not; what waits for a person;
alerts and their incidents as the bridge knows them.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, tzinfo
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click

from app.cli import base, output
from app.cli.output import Moment
from app.domain.model.events import CommandType
from app.ui.story import flat, sentence, written

if TYPE_CHECKING:
    from app.ports import Page
    from app.services.operator.overview import EvidenceRow


PAGE = 500
_COLOURS: Mapping[str, str] = {
    **dict.fromkeys(("delivery.dead", "alert.refused", "escalation.refused"), "red"),
    **dict.fromkeys(("delivery.retried", "delivery.held", "delivery.unreadable", "link.frozen", "link.note_dropped",
                     "escalation.retried", "escalation.skipped"), "yellow"),
}  # fmt: skip
"""Of the whole line, by its event."""
_STATUS_OR_URGENCY = re.compile(
    r"\b(?P<urgency>high|low)\s+urgency\b"
    r"|\b(?:alert|incident|be)\s+(?P<status>created|triggered|(?:un)?acknowledged|resolved|reopened)\b"
)


@click.command(short_help="Show why somebody was paged, or was not.")
@click.argument("alert_or_incident")
@click.option("-v", "--verbose", is_flag=True, help="The records as they are kept: names, outcomes, microseconds, UTC.")
@click.option(
    "--tz", "time_zone", default="UTC", show_default=True, metavar="ZONE", help="Times of this IANA time zone."
)
@base.json_option
def timeline(alert_or_incident: str, verbose: bool, time_zone: str, as_json: bool) -> None:
    """Show everything that happened to an alert or an incident (by its id or its number): why somebody was paged, or
    was not."""
    zone = _zone(time_zone)
    lines, other = _lines(alert_or_incident)
    if as_json:
        output.as_json(lines)
    elif verbose:
        _list_records(lines)
    else:
        _print_lines(lines, zone)
    if other:
        named, other = output.text(alert_or_incident), output.text(other)
        click.echo(
            f"{named} is an alert's id. Incident {named} is a different one: truthvouch timeline {other}", err=True
        )
    if not lines:
        base.not_so(base.NOTHING_KNOWN)


def _print_lines(lines: list[Any], zone: tzinfo) -> None:
    """A sentence each."""
    for line, incident, number in _with_incidents_once(lines):
        named = f" [incident {f'{number}, ' if number else ''}{incident}]" if incident else ""
        shown = output.hanging(f"{written(line['at'], zone)}  ", f"{sentence(line, zone)}{named}")
        failed = _COLOURS.get(line["event"])
        click.echo(output.coloured(shown, failed) if failed else _STATUS_OR_URGENCY.sub(_coloured, shown))


def _coloured(found: re.Match[str]) -> str:
    word = found["urgency"] or found["status"]
    status = {"created": "open", "reopened": "open", "unacknowledged": "open"}.get(word, word)
    return found[0].replace(word, output.coloured(word, output.COLOURS.get(status)), 1)


def _zone(name: str) -> tzinfo:
    from app.domain.reports.period import BadPeriod
    from app.services.reports.report import zone_of

    with base.refusing(BadPeriod):
        return zone_of(name)


def _list_records(lines: list[Any]) -> None:
    for line, incident, number in _with_incidents_once(lines):
        facts = [f"{name}={output.text(value)}" for name, value in flat(line["facts"])]
        if incident:
            facts.append(f"incident={incident}{f' ({number})' if number else ''}")
        by = f" by {output.text(line['author'])}" if line["author"] else ""
        first = f"{line['at']:%Y-%m-%d %H:%M:%S.%f}Z  "
        click.echo(output.hanging(first, f"{output.text(line['event']):<24}{by} {' '.join(facts)}"))


def _with_incidents_once(lines: list[Any]) -> Iterator[tuple[Any, str, str]]:
    """Each line with the incident and its ``#number``, which are empty but in the first line about it."""
    named: set[str] = set()
    for line in lines:
        incident = line["incident_id"]
        if not incident or incident in named:
            yield line, "", ""
            continue
        named.add(incident)
        number = line["incident_number"]
        yield line, output.text(incident), "" if number is None else f"#{number}"


def _every(read: "Callable[[Page], Sequence[Any]]") -> list[Any]:
    """The rows of every page."""
    from app.ports import Page

    rows: list[Any] = []
    while more := read(Page(PAGE, rows[-1]["id"] if rows else 0)):
        rows += more
    return rows


def _lines(wanted: str) -> tuple[list[Any], str | None]:
    """By the time each line tells, not by when it was written: words may come late. Besides: the incident that may have
    been meant instead."""
    with base.open_bridge() as made:
        lines = _every(partial(made.overview.timeline, wanted))
        other = made.overview.incident_of_that_number(wanted)
    return sorted(lines, key=lambda line: (line["at"], line["id"])), other


# -------------------------------------------------------------------------------------------------------- dead letters

COLUMNS = ("id", "at", "kind", "side", "reason", "attempts", "about")
MAX_ID = 10**18 - 1
MAX_SAID_CHARS = 100
"""Of the partner's own words in a list; ``show`` has them all."""

dead_letter_ids = click.argument("dead_letter_ids", metavar="ID...", nargs=-1, type=click.IntRange(1, MAX_ID))


@click.group(name="dead-letters")
def dead_letters() -> None:
    """What could not be read or delivered and waits for a person."""


@dead_letters.command(name="list")
@click.option("--closed", is_flag=True, help="Those that were replayed or discarded.")
@base.json_option
def list_dead_letters(closed: bool, as_json: bool) -> None:
    """List them, oldest first."""
    with base.open_bridge() as made:
        rows = _every(partial(made.overview.dead_letters, closed=closed))
    outcome = ("outcome",) if closed else ()
    colours = {} if closed else {"reason": "red"}
    output.listing(rows, as_json, "No dead letters.", (*COLUMNS, *outcome), lambda row: _line(row, outcome), colours)


@dead_letters.command(short_help="Show everything about one.", name="show")
@click.argument("dead_letter_id", metavar="ID", type=click.IntRange(1, MAX_ID))
@base.json_option
def show_dead_letter(dead_letter_id: int, as_json: bool) -> None:
    """Show everything about one: why, what the partner answered, and what waits behind it."""
    with base.open_bridge() as made:
        row = made.overview.dead_letter(dead_letter_id)
    if row is None:
        base.not_so("There is no such dead letter.")
    (output.as_json if as_json else output.facts)(row)


@dead_letters.command(short_help="Try again what was given up.")
@dead_letter_ids
@click.option("--all", "every", is_flag=True, help="Every open one.")
@base.json_option
def replay(dead_letter_ids: tuple[int, ...], every: bool, as_json: bool) -> None:
    """Try again what was given up: the bridge asks what is missing now, and does only that."""
    if bool(dead_letter_ids) is every:
        base.refuse("Say which: ID..., or --all.")
    with base.open_bridge() as made:
        wanted = (
            [row["id"] for row in _every(made.overview.dead_letters)] if every else list(dict.fromkeys(dead_letter_ids))
        )
        if not wanted and not as_json:
            click.echo("No dead letters.")
        base.ask(made, CommandType.REPLAY, [str(number) for number in wanted], as_json)


@dead_letters.command()
@dead_letter_ids
@click.option("--yes", is_flag=True, help="Do not ask.")
@base.json_option
def discard(dead_letter_ids: tuple[int, ...], yes: bool, as_json: bool) -> None:
    """Close them without trying; what waits behind them goes on."""
    if not dead_letter_ids:
        base.refuse("Say which: ID...")
    wanted = list(dict.fromkeys(dead_letter_ids))
    if not yes:
        click.confirm(f"Discard {len(wanted)}? What was given up is then never done.", abort=True, err=True)
    with base.open_bridge() as made:
        base.ask(made, CommandType.DISCARD, [str(number) for number in wanted], as_json)


def _line(row: Any, more: tuple[str, ...]) -> list[object]:
    about = row["alert_id"] or (f"inbox row {row['inbox_id']}" if row["inbox_id"] else "")
    reason = f"{row['reason']} ({row['effect']})" if row["effect"] else row["reason"]
    if said := row["detail"].strip():
        reason += f": {said.splitlines()[0][:MAX_SAID_CHARS]}"
    known = [row["id"], row["at"], row["kind"], row["side"], reason, row["attempts"], about]
    return known + [row[name] for name in more]


# --------------------------------------------------------------------------------------------------------------- links

LINK_COLUMNS = ("alert", "status", "alert is", "incident", "incident is", "frozen since", "first seen")

FOUND_COLUMNS = ("alert", "title", "severity", "alert is", "incident", "incident is", "first seen")


@click.group()
def links() -> None:
    """Alerts and their incidents as the bridge knows them."""


@links.command(name="list")
@click.option("--open", "is_open", is_flag=True, help="Only what is open on either side.")
@click.option("--frozen", is_flag=True, help="Only what a ping-pong froze.")
@click.option("--since", type=Moment(), metavar="WHEN", help="Only what was first seen since: 2h, 7d, 2026-03-01.")
@click.option("--search", default="", metavar="TEXT", help="Only where an id begins so, or the title has these words.")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1, 100_000), help="How many at most.")
@click.option("--after", default=0, type=click.IntRange(0), metavar="NUMBER", help="Go on where a list ended.")
@base.json_option
def list_links(
    is_open: bool, frozen: bool, since: datetime | None, search: str, limit: int, after: int, as_json: bool
) -> None:
    """List them, newest first.

    --search takes an alert's id or its beginning, an incident's id or number (#12), or words of a title in any case.
    """
    from app.ports import Page

    if search.strip():
        _list_found(search, is_open, frozen, since, limit, after, as_json)
        return
    with base.open_bridge() as made:
        rows = made.overview.links(Page(limit, after), is_open or None, frozen or None, since)
    names = ("alert_id", "status", "alert_status", "incident_id", "incident_status", "frozen_at", "first_seen_at")
    output.listing(rows, as_json, "No such links.", LINK_COLUMNS, itemgetter(*names))
    if len(rows) == limit:
        click.echo(f"There may be older ones: --after {rows[-1]['id']} goes on with them.", err=True)


def _list_found(
    search: str, is_open: bool, frozen: bool, since: datetime | None, limit: int, after: int, as_json: bool
) -> None:
    from app.ports.console import LinkFilter

    wanted = LinkFilter(search, is_open or None, None, frozen or None, "", since, after or None, limit)
    with base.open_bridge() as made:
        rows = made.overview.found(wanted)
    names = ("alert_id", "title", "severity", "alert_status", "incident_id", "incident_status", "first_seen_at")
    output.listing(rows, as_json, "No such links.", FOUND_COLUMNS, itemgetter(*names))
    if len(rows) == limit:
        click.echo(f"There may be older ones: --after {rows[-1]['id']} goes on with them.", err=True)


@links.command(short_help="Show everything about one.", name="show")
@click.argument("alert")
@base.json_option
def show_link(alert: str, as_json: bool) -> None:
    """Show everything about one: both sides, what they should be, and what is pending towards them."""
    with base.open_bridge() as made:
        row = made.overview.link(alert)
    if row is None:
        base.not_so("The bridge knows no such alert.")
    (output.as_json if as_json else output.facts)(row)


@links.command(short_help="End a freeze: what was held goes out.")
@click.argument("alert")
@base.json_option
def thaw(alert: str, as_json: bool) -> None:
    """End a freeze: what was held goes out, and both sides are kept in step again."""
    with base.open_bridge() as made:
        base.ask(made, CommandType.THAW, [alert], as_json)


ERASED_COLUMNS = ("alert", "status", "first seen", "texts (characters)", "people", "webhooks", "erased")


@links.command(short_help="Erase what alerts say, and whom they name.")
@click.argument("alerts", metavar="ALERT...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@base.json_option
def erase(alerts: tuple[str, ...], yes: bool, as_json: bool) -> None:
    """Erase the texts and people of these alerts, and the raw webhooks about them, for ever. Their ids, times,
    severities, kinds, models, categories, numbers, rules and verdicts stay, and so do the links.

    An alert whose create is still pending is paged all the same, with a title that says *erased*.
    """
    wanted = list(dict.fromkeys(alerts))
    with base.open_bridge() as made:
        known = [row for one in wanted if (row := made.overview.evidence(one))]
        if known and not as_json:
            output.table(ERASED_COLUMNS, map(_erasable, known))
        if not known:
            base.not_so("The bridge knows no such alert.")
        if not yes:
            base.confirm(f"Erase {len(known)}? Nobody can bring it back.", as_json, "--json asks nothing: say --yes.")
        base.ask(made, CommandType.ERASE, wanted, as_json)


def _erasable(row: "EvidenceRow") -> Sequence[object]:
    texts = ", ".join(f"{name} {size}" for name, size in row["texts"].items())
    known = (row["people"], row["webhooks"], row["erased_at"])
    return (row["alert_id"], row["status"], row["first_seen_at"], texts, *known)
