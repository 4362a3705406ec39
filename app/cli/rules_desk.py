"""What the commands about rules share: the stored alerts, and a draft."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from app.cli.asking import QUIET
from app.cli.base import refuse, unreadable_store
from app.domain.rulebook import Rulebook
from app.settings import Settings

if TYPE_CHECKING:
    from app.bootstrap.rules import RulesDesk


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


def read_draft(settings: Settings, path: Path) -> Rulebook:
    """A draft with the environment laid over it, or every fault of it and exit code 2."""
    from app import configfile
    from app.errors import ConfigFault

    try:
        return settings.over(configfile.load(path))
    except ConfigFault as fault:
        refuse(str(fault))
