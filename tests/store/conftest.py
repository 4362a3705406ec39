"""Both stores, empty and migrated."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.store.database import Database, open_bridge, open_inbox
from tests.conftest import fresh_postgres
from tests.shapes import migrate_new, shape


@dataclass
class Stores:
    bridge: Database
    inbox: sa.Engine


@pytest.fixture(scope="session")
def migrated_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of a migrated database nobody is connected to: others are made like it."""
    with fresh_postgres() as url:
        migrate_new(tmp_path_factory.mktemp("pattern"), url)
        yield url.rpartition("/")[2]


@pytest.fixture(params=["sqlite", "postgresql"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    with ExitStack() as ending:
        url = None
        if request.param == "postgresql":
            url = ending.enter_context(fresh_postgres(request.getfixturevalue("migrated_postgres")))
        bridge, inbox = open_bridge(tmp_path, url), open_inbox(tmp_path, url)
        if url is None:
            shape(bridge, inbox, tmp_path)
        yield Stores(Database(bridge), inbox)
        bridge.dispose()
        inbox.dispose()
