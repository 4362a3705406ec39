"""What single commands are made of: a look at the store, a letter into the inbox."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from app.bootstrap.common import bell
from app.services.operate import Operate
from app.services.overview import Overview
from app.settings import Settings
from app.store import own_mail
from app.store.database import Database, check_made, open_bridge, open_inbox
from app.store.inbox import ClosableInbox, open_door
from app.store.postbox import StoredPostbox
from app.store.records import StoredRecords

PATIENCE_SECONDS = 5.0
"""How long a command waits for the worker."""


@dataclass(frozen=True)
class Desk:
    """An operator's desk on this machine: what can be looked at, and what can be asked for."""

    overview: Overview
    operate: Operate


@contextmanager
def desk(settings: Settings) -> Iterator[Desk]:
    """The desk on this store. Raises ``StoreUnavailable``, also where no bridge was ever started."""
    check_made(settings.data_dir, settings.database_url)
    bridge = open_bridge(settings.data_dir, settings.database_url)
    inbox_engine = open_inbox(settings.data_dir, settings.database_url)
    door = open_door(settings)
    try:
        yield _desk(settings, Database(bridge), StoredPostbox(Database(bridge), inbox_engine), door)
    finally:
        door.close()
        inbox_engine.dispose()
        bridge.dispose()


def _desk(settings: Settings, database: Database, post: StoredPostbox, door: ClosableInbox) -> Desk:
    records, rest = StoredRecords(), bool(settings.pagerduty.api_key)
    operate = Operate(door, bell(settings), post, database, records, own_mail.of_wish, PATIENCE_SECONDS, _who())
    return Desk(Overview(database, records, lambda: rest), operate)


def _who() -> str:
    """The name of whoever sits at this machine, for the time line."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in many containers
        return "command line"
