"""``truthvouch silences``: alerts that shall wake nobody for a while."""

import getpass
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click

from app.cli import base, output
from app.cli.output import Length, Moment
from app.config.settings import Settings
from app.domain.model.events import CommandType
from app.domain.rules.rulebook import Origin, Rulebook, Silence, in_force
from app.errors import ConfigFault

if TYPE_CHECKING:
    from app.services.rules.stored import Preview


@click.group()
def silences() -> None:
    """Alerts that open no incident for a while. They are kept in bridge.yaml, or in the store for every machine, and
    picked up at once."""


@silences.command(name="list")
@click.option("--all", "everything", is_flag=True, help="Those that are over, too.")
@base.json_option
def list_silences(everything: bool, as_json: bool) -> None:
    """List the silences in force and those that are planned."""
    from app.services.rules.overview import silence_rows

    if base.is_elsewhere():
        with base.elsewhere() as there:
            shown = there.rules_overview.silences(everything)
    else:
        settings, rulebook = base.read_config()
        kept = (*rulebook.silences, *base.stored_silences(settings))
        shown = silence_rows(kept, datetime.now(UTC), everything)
    head = ("name", "match", "owner", "reason", "from", "until", "standing", "origin")
    output.listing(shown, as_json, "No silences.", head, itemgetter(*head))


@silences.command(short_help="Silence the alerts that match.")
@click.option("--match", required=True, help='The alerts, as a trigger: category == "Paraphrase".')
@click.option("--for", "lasting", type=Length(), help="How long: 90m, 2h, 3d; at most 31 days.")
@click.option("--until", type=Moment(), help="Or until when: 2026-03-01T18:00:00Z.")
@click.option("--from", "starts", type=Moment(), help="From when on; at once if it is left out.")
@click.option("--owner", help="Who is responsible for it; you by default.")
@click.option("--reason", required=True, help="Why.")
@click.option("--name", help="What it is called; a name that is there already is changed.")
@click.option("--store", "in_store", is_flag=True, help="Keep it in the store, for every machine, not in bridge.yaml.")
@click.option("--yes", is_flag=True, help="Ask nothing.")
@base.json_option
def add(
    match: str,
    lasting: timedelta | None,
    until: datetime | None,
    starts: datetime | None,
    owner: str | None,
    reason: str,
    name: str | None,
    in_store: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Silence the alerts that match, and tell how many of the last 7 days it would have silenced.

    With --url it is kept in the store of that bridge.
    """
    if (lasting is None) == (until is None):
        raise click.UsageError("Say how long: either --for or --until.")
    now = datetime.now(UTC).replace(microsecond=0)
    end = until or (starts or now) + (lasting or timedelta())
    if end <= now:
        base.refuse(
            "It would be over already: --until has to lie ahead. A length of time is --for, for example --for 2h."
        )
    in_store = in_store or base.is_elsewhere()
    origin = Origin.STORE if in_store else Origin.FILE
    silence = Silence(name or f"silence {now:%Y-%m-%d %H:%M:%S}", match, owner or _user(), reason, end, starts, origin)
    add = _add_elsewhere if base.is_elsewhere() else _add_here
    changed, found = add(silence, yes, as_json)
    count = found.count
    if as_json:
        output.as_json(_plain(silence) | {"changed": list(changed), "would_have_silenced": count and count[0]})
        return
    for message in changed or (f"silences: {silence.name!r} is there already",):
        click.echo(message)
    click.echo(_count_text(count))
    click.echo(f"It ends at {output.text(silence.until)}; what it silenced and is still open is then decided anew.")


def _add_here(silence: Silence, yes: bool, as_json: bool) -> tuple[Sequence[str], "Preview"]:
    """What was changed, and what it would have done."""
    settings, rulebook = base.read_config()
    found = _preview(settings, rulebook, silence.match)
    _confirm_spelling(found, yes, as_json)
    _confirm(found, yes, as_json)
    return (_add_to_store if silence.origin is Origin.STORE else _add_to_file)(settings, silence), found


def _add_elsewhere(silence: Silence, yes: bool, as_json: bool) -> tuple[Sequence[str], "Preview"]:
    with base.elsewhere() as there:
        found = there.rules_overview.preview(silence.match)
        _confirm_spelling(found, yes, as_json)
        _confirm(found, yes, as_json)
        return _stored(there, silence), found


def _add_to_file(settings: Settings, silence: Silence) -> Sequence[str]:
    from app.config import edit

    with base.refusing(ConfigFault):
        changed = edit.upsert(settings.config_path, "silences", "name", _entry(silence))
    base.leave_in_audit(settings, "silence", "silence", silence.name, "silenced" if changed else "unchanged")
    return changed


def _add_to_store(settings: Settings, silence: Silence) -> Sequence[str]:
    with base.open_store(settings) as made:
        return _stored(made, silence)


def _stored(made: base.Opened, silence: Silence) -> Sequence[str]:
    from app.services.rules.stored import problem_of, silence_as_text

    if problem := problem_of(silence, datetime.now(UTC)):
        base.refuse(problem)
    (result,) = made.operate.all(CommandType.SILENCE, [silence.name], detail=silence_as_text(silence))
    if result.outcome in base.NOT_DONE:
        base.not_so(result.message)
    return (f"store: {silence.name!r}: {result.message}",)


@silences.command(short_help="End a silence now.")
@click.argument("name")
@base.json_option
def end(name: str, as_json: bool) -> None:
    """End a silence now, of bridge.yaml or of the store: what it silenced and is still open is decided anew, and pages
    if a rule wants it."""
    if base.is_elsewhere():
        with base.elsewhere() as there:
            base.ask(there, CommandType.END_SILENCE, [name], as_json)
        return
    settings, rulebook = base.read_config()
    stored = base.stored_silences(settings)
    was_in_force = name in {one.name for one in in_force((*rulebook.silences, *stored), datetime.now(UTC))}
    in_file = any(one.name == name for one in rulebook.silences)
    changed: tuple[str, ...] = ()
    if in_file or not any(one.name == name for one in stored):
        changed = tuple(_end_in_file(settings, name))
    if any(one.name == name for one in stored):
        changed += _end_in_store(settings, name)
    if as_json:
        output.as_json({"name": name, "removed": bool(changed), "was_in_force": was_in_force})
    elif changed:
        ended = "It has ended" if was_in_force else "It was not in force"
        click.echo(f"{output.text(' '.join(changed))}\n{ended}; the running bridge sees that within seconds.")
    else:
        click.echo(f"There is no silence {output.text(name)}: `truthvouch silences list --all` names them.", err=True)
    sys.exit(0 if changed else base.NOT_SO)


def _end_in_file(settings: Settings, name: str) -> Sequence[str]:
    from app.config import edit

    with base.refusing(ConfigFault):
        changed = edit.remove(settings.config_path, "silences", "name", name)
    if changed:
        base.leave_in_audit(settings, "end_silence", "silence", name, "ended")
    return changed


def _end_in_store(settings: Settings, name: str) -> tuple[str, ...]:
    with base.open_store(settings) as made:
        result = made.operate(CommandType.END_SILENCE, name)
    return () if result.outcome in base.NOT_DONE else (f"store: {name!r}: {result.message}",)


def _preview(settings: Settings, rulebook: Rulebook, match: str) -> "Preview":
    """What it would do; exit code 2 for what the file would refuse, before anything is counted."""
    from app.bootstrap.container import if_stored
    from app.services.rules.stored import previewed

    understood, now = _understood(rulebook, match), datetime.now(UTC)
    return if_stored(settings, lambda made: previewed(match, rulebook, made.backtests, now)) or understood


def _understood(rulebook: Rulebook, match: str) -> "Preview":
    """The preview without a store; exit code 2 for what the file would refuse."""
    from app.services.rules.stored import previewed

    found = previewed(match, rulebook, None, datetime.now(UTC))
    if found.problem:
        base.refuse(f"--match: {found.problem[0].lower()}{found.problem[1:]}")
    return found


def _count_text(count: tuple[int, int] | None) -> str:
    if count is None:
        return "There is no store yet, so its effect on stored alerts is not known."
    return f"It would have silenced {count[0]} of the {count[1]} alerts of the last 7 days."


def _confirm_spelling(found: "Preview", yes: bool, as_json: bool) -> None:
    """Name what is misspelt; it is silenced all the same if somebody says so."""
    for word, meant in found.misspelt:
        click.echo(f"--match names {word}, which no alert is known to have; did you mean {meant}?", err=True)
    if found.misspelt and not yes:
        unasked = "It may match nothing, and --json asks nothing: correct it, or add --yes."
        base.confirm("It may match nothing. Keep it as it is?", as_json, unasked)


def _confirm(found: "Preview", yes: bool, as_json: bool) -> None:
    if yes or not found.is_for_all:
        return
    if not as_json:
        click.echo(_count_text(found.count), err=True)
    question = "It matches every alert: nobody would be paged at all. Silence them?"
    base.confirm(question, as_json, "It matches every alert, and --json asks nothing: add --yes.")


def _entry(silence: Silence) -> dict[str, object]:
    entry = {**asdict(silence), "from": silence.starts}
    del entry["starts"], entry["origin"]
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in entry.items()
        if value is not None
    }


def _plain(silence: Silence) -> dict[str, Any]:
    return {**_entry(silence), "until": silence.until, "from": silence.starts}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in many containers
        base.refuse("Your name is not known here: name the owner with --owner.")
