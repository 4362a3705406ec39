"""``truthvouch silences``: alerts that shall wake nobody for a while."""

import getpass
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import click

from app.cli import tables
from app.cli.asking import json_option
from app.cli.base import NOT_SO, check_config, read_settings, refuse
from app.cli.spans import Length, Moment
from app.domain.rulebook import Rulebook
from app.domain.silences import Silence, in_force
from app.settings import Settings

LOOKED_BACK = timedelta(days=7)


@click.group()
def silences() -> None:
    """Alerts that open no incident for a while. They are kept in bridge.yaml and picked up at once."""


@silences.command(name="list")
@click.option("--all", "everything", is_flag=True, help="Those that are over, too.")
@json_option
def list_silences(everything: bool, as_json: bool) -> None:
    """List the silences in force and those that are planned."""
    from app.cli import rules_told

    now, rulebook = datetime.now(UTC), check_config(read_settings())
    there = [rules_told.silence(one, now) | {"matched": None} for one in rulebook.silences]
    shown = [one for one in there if everything or one["standing"] != "over"]
    if as_json:
        tables.as_json([{name: value for name, value in one.items() if name != "matched"} for one in shown])
    elif shown:
        head = ("name", "match", "owner", "reason", "from", "until", "standing")
        tables.table(head, [[one[name] for name in head] for one in shown])
    else:
        click.echo("No silences.")


@silences.command(short_help="Silence the alerts that match.")
@click.option("--match", required=True, help='The alerts, as a trigger: category == "Paraphrase".')
@click.option("--for", "lasting", type=Length(), help="How long: 90m, 2h, 3d; at most 31 days.")
@click.option("--until", type=Moment(), help="Or until when: 2026-03-01T18:00:00Z.")
@click.option("--from", "starts", type=Moment(), help="From when on; at once if it is left out.")
@click.option("--owner", help="Who answers for it; you, if it is left out.")
@click.option("--reason", required=True, help="Why.")
@click.option("--name", help="What it is called; a name that is there already is changed.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@json_option
def add(
    match: str,
    lasting: timedelta | None,
    until: datetime | None,
    starts: datetime | None,
    owner: str | None,
    reason: str,
    name: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Silence the alerts that match, and tell how many of the last 7 days it would have silenced."""
    from app.configfile import edit
    from app.errors import ConfigFault

    if (lasting is None) == (until is None):
        raise click.UsageError("Say how long: either --for or --until.")
    settings, now = read_settings(), datetime.now(UTC).replace(microsecond=0)
    rulebook = check_config(settings)
    end = until or (starts or now) + (lasting or timedelta())
    if end <= now:
        refuse("It would be over already: --until has to lie ahead. A length of time is --for, for example --for 2h.")
    silence = Silence(name or _name(now), match, owner or _user(), reason, end, starts)
    _check(silence)
    count = _count(settings, silence)
    _confirm_spelling(settings, rulebook, silence, yes, as_json)
    _confirm(silence, count, yes, as_json)
    try:
        changed = edit.upsert(settings.config_path, "silences", "name", _entry(silence))
    except ConfigFault as fault:
        refuse(str(fault))
    if as_json:
        tables.as_json(_plain(silence) | {"changed": list(changed), "would_have_silenced": count and count[0]})
        return
    for words in changed or (f"silences: {silence.name!r} is there already",):
        click.echo(words)
    click.echo(_told_count(count))
    click.echo(f"It ends at {tables.text(silence.until)}; what it silenced and is still open is then decided anew.")


@silences.command(short_help="End a silence now.")
@click.argument("name")
@json_option
def end(name: str, as_json: bool) -> None:
    """End a silence now: what it silenced and is still open is decided anew, and pages if it deserves it."""
    from app.configfile import edit
    from app.errors import ConfigFault

    settings = read_settings()
    was_in_force = name in {one.name for one in in_force(check_config(settings).silences, datetime.now(UTC))}
    try:
        changed = edit.remove(settings.config_path, "silences", "name", name)
    except ConfigFault as fault:
        refuse(str(fault))
    if as_json:
        tables.as_json({"name": name, "removed": bool(changed), "was_in_force": was_in_force})
    elif changed:
        ended = "It has ended" if was_in_force else "It was not in force"
        click.echo(f"{tables.text(changed[0])}\n{ended}; the running bridge sees that within seconds.")
    else:
        click.echo(f"There is no silence {tables.text(name)}: `truthvouch silences list --all` names them.", err=True)
    sys.exit(0 if changed else NOT_SO)


def _check(silence: Silence) -> None:
    """Exit code 2 for what the file would refuse, before anything is counted."""
    from app.domain.trigger import compile_trigger
    from app.domain.trigger_text import BadTrigger

    try:
        compile_trigger(silence.match)
    except BadTrigger as fault:
        refuse(f"--match: the trigger {fault}; see the trigger language in docs/configuration.md.")


def _count(settings: Settings, silence: Silence) -> tuple[int, int] | None:
    """How many alerts of the last days it matches, and how many there were; None without a store."""
    from app.bootstrap.rules import rules_desk
    from app.ports import StoreUnavailable

    now = datetime.now(UTC)
    try:
        with rules_desk(settings) as desk:
            return desk.backtests.silenced_by(silence.match, now - LOOKED_BACK, now)
    except StoreUnavailable:
        return None


def _told_count(count: tuple[int, int] | None) -> str:
    if count is None:
        return "There is no store yet that could tell how many alerts it would have silenced."
    return f"It would have silenced {count[0]} of the {count[1]} alerts of the last {LOOKED_BACK.days} days."


def _confirm_spelling(settings: Settings, rulebook: Rulebook, silence: Silence, yes: bool, as_json: bool) -> None:
    """Name what is misspelt; it is silenced all the same if somebody says so."""
    from app.bootstrap.rules_check import stored_fields
    from app.domain.cover import own_severities, slips
    from app.domain.trigger import compile_trigger

    names_others = compile_trigger(silence.match).foreign_fields  # nearly never, and else no alert is read
    known = stored_fields(settings) if names_others else None
    found = list(slips(silence.match, known or frozenset(), own_severities(rulebook)))
    for word, meant in found:
        click.echo(f"--match names {word}, which no alert is known to have; did you mean {meant}?", err=True)
    if not found or yes:
        return
    if as_json:
        refuse("It may match nothing, and --json asks nothing: correct it, or add --yes.")
    click.confirm("It may match nothing. Keep it as it is?", abort=True, err=True)


def _confirm(silence: Silence, count: tuple[int, int] | None, yes: bool, as_json: bool) -> None:
    from app.domain.expression import Constant
    from app.domain.trigger import compile_trigger

    asks_for_all = compile_trigger(silence.match).expression == Constant(True)
    matched_all = count is not None and count[0] == count[1] > 0
    if yes or not (asks_for_all or matched_all):
        return
    if as_json:
        refuse("It matches every alert, and --json asks nothing: add --yes.")
    click.echo(_told_count(count), err=True)
    click.confirm("It matches every alert: nobody would be paged at all. Silence them?", abort=True, err=True)


def _entry(silence: Silence) -> dict[str, object]:
    entry: dict[str, object] = {
        "name": silence.name,
        "match": silence.match,
        "owner": silence.owner,
        "reason": silence.reason,
        "until": silence.until.isoformat(),
    }
    return entry | ({"from": silence.starts.isoformat()} if silence.starts else {})


def _plain(silence: Silence) -> dict[str, Any]:
    return {**_entry(silence), "until": silence.until, "from": silence.starts}


def _name(now: datetime) -> str:
    return f"silence {now:%Y-%m-%d %H:%M:%S}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in many containers
        refuse("Nobody's name is known here: say who answers for it with --owner.")
