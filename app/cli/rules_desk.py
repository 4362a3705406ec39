"""What the commands about rules share: the stored alerts, and a draft."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from app.cli.asking import QUIET
from app.cli.base import refuse, unreadable_store
from app.domain.rulebook import Rulebook
from app.settings import Settings

if TYPE_CHECKING:
    from app.bootstrap.rules import RulesDesk

F = TypeVar("F", bound=Callable[..., Any])


def draft_argument(command: F) -> F:
    """Which file a command is about: ``FILE`` or ``--config FILE``, whichever comes to mind."""
    file = click.Path(path_type=Path, exists=True, dir_okay=False)
    option = click.option("--config", "draft", type=file, help="The same as FILE.")
    return click.argument("file", required=False, type=file)(option(command))


def named_once(file: Path | None, draft: Path | None) -> Path | None:
    """The file of ``draft_argument``; exit code 2 where two are named."""
    if file and draft:
        refuse("Name one file: FILE or --config FILE.")
    return file or draft


@contextmanager
def desk(settings: Settings) -> Iterator["RulesDesk"]:
    """The stored alerts; exit code 2 when they cannot be read."""
    from app import logs

    logs.configure(settings.log_format, QUIET)
    from app.bootstrap.rules import rules_desk
    from app.ports import StoreUnavailable

    try:
        with rules_desk(settings) as opened:
            yield opened
    except StoreUnavailable as fault:
        unreadable_store(fault)


def read_draft(settings: Settings, path: Path, live: Rulebook) -> Rulebook:
    """A draft as it would be in force in the place of ``live``, or every fault of it and exit code 2."""
    from app.bootstrap.rules import draft_of
    from app.errors import ConfigFault

    try:
        return draft_of(settings, path, live)
    except ConfigFault as fault:
        refuse(str(fault))
