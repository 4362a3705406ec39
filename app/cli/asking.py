"""What commands that ask something of the worker share: store the wishes, wait, tell what became of each."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from app.cli import tables
from app.cli.base import NOT_SO, read_settings, unreadable_store
from app.domain.words import WishVerb

if TYPE_CHECKING:
    from app.bootstrap.tools import Desk
    from app.services.operate import Granted

QUIET = "WARNING"
"""What a command does, its output says; the log on standard error is for what goes wrong."""
MANY = 10
"""From so many on, a bar shows how far it is."""
NOT_DONE = frozenset(
    {"no_such_letter", "no_such_link", "not_frozen", "still_unreadable", "not_armed", "not_taken", "bad_request"}
    | {"not_found", "policy_not_found", "number_only"}
)
"""Outcomes with which the thing asked for is not so."""

UNKNOWN_MATTER = (
    "The bridge knows no such alert or incident. `truthvouch links list` lists what it knows; whether the webhooks "
    "arrive, /readyz and `truthvouch doctor` tell."
)

json_option = click.option("--json", "as_json", is_flag=True, help="For machines.")


@contextmanager
def at_the_desk() -> Iterator["Desk"]:
    """This installation's store; exit code 2 when it cannot be read or written."""
    from app import logs  # first: it keeps structlog from loading what nobody here uses

    settings = read_settings()
    logs.configure(settings.log_format, QUIET)
    from app.bootstrap import tools
    from app.ports import StoreUnavailable

    try:
        with tools.desk(settings) as desk:
            yield desk
    except StoreUnavailable as fault:
        unreadable_store(fault)


def ask(desk: "Desk", verb: WishVerb, subjects: Sequence[str], as_json: bool, detail: str = "") -> None:
    """Ask it of each, tell what became of each, and end with 1 if any is not so."""
    granted: list[Granted] = []
    answers = desk.operate.all(verb, subjects, detail=detail)
    hidden = as_json or len(subjects) < MANY
    with click.progressbar(answers, len(subjects), f"{verb} ", file=sys.stderr, hidden=hidden) as told:
        granted.extend(told)
    tell(granted, as_json)


def tell(granted: "Sequence[Granted]", as_json: bool) -> None:
    """What became of each; ends with 1 if any is not so."""
    if as_json:
        tables.as_json([_facts(one) for one in granted])
    for one in () if as_json else granted:
        click.echo(f"{tables.text(one.subject)}: {one.words}" if one.subject else one.words)
    if any(one.outcome in NOT_DONE for one in granted):
        sys.exit(NOT_SO)


def _facts(granted: "Granted") -> dict[str, object]:
    status = "done" if granted.outcome else "stored"
    return {
        "subject": granted.subject,
        "status": status,
        "outcome": granted.outcome or None,
        "message": granted.words,
        "wish": granted.key or None,
    }
