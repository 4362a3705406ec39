"""``truthvouch rules drafts``: drafts of rules that are kept in the store, where the console and every machine find
them.
"""

from dataclasses import asdict
from operator import itemgetter
from pathlib import Path

import click

from app.cli import base, output
from app.domain.model.events import CommandType


@click.group()
def drafts() -> None:
    """Drafts of rules that are kept in the store."""


@drafts.command(name="list", short_help="List the drafts of the store.")
@base.json_option
def list_drafts(as_json: bool) -> None:
    """List the drafts of the store, and which of them is asked beside the rules in force."""
    with base.open_store() as made:
        found, shadow = made.stored_rules_overview.drafts()
    rows = [
        {name: value for name, value in asdict(draft).items() if name != "text"} | {"shadow": draft.name == shadow}
        for draft in found
    ]
    head = ("name", "saved_by", "saved_at", "shadow")
    output.listing(rows, as_json, "No drafts.", head, itemgetter(*head))


@drafts.command()
@click.argument("name")
def show(name: str) -> None:
    """Print a draft as it was saved."""
    with base.open_store() as made:
        text = made.text_of_draft(name)
    if text is None:
        base.not_so(f"The store has no draft {output.text(name)}: `truthvouch rules drafts list` names them.")
    click.echo(text, nl=False)


@drafts.command(short_help="Keep a file as a draft.")
@click.argument("name")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@base.json_option
def save(name: str, file: Path, as_json: bool) -> None:
    """Keep FILE as the draft NAME; one that is there is replaced."""
    settings, live = base.read_config()
    base.read_draft(settings, file, live)
    with base.open_store(settings) as made:
        base.ask(made, CommandType.SAVE_DRAFT, [name], as_json, file.read_text("utf-8-sig"))


@drafts.command(short_help="Remove drafts from the store.")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@base.json_option
def delete(names: tuple[str, ...], as_json: bool) -> None:
    """Remove drafts from the store. One that was asked beside the rules is asked no more."""
    with base.open_store() as made:
        base.ask(made, CommandType.DELETE_DRAFT, names, as_json)


@drafts.command(short_help="Ask a draft beside the rules in force.")
@click.argument("name", required=False)
@click.option("--off", is_flag=True, help="Ask no stored draft any more.")
@base.json_option
def shadow(name: str | None, off: bool, as_json: bool) -> None:
    """Ask a draft beside the rules in force: it decides nothing, and `truthvouch rules shadow` shows where it would
    have decided otherwise. It takes the place of the one that `shadow:` names."""
    if bool(name) == off:
        base.refuse("Name a draft, or say --off.")
    with base.open_store() as made:
        base.ask(made, CommandType.SHADOW_DRAFT, [name or ""], as_json)
