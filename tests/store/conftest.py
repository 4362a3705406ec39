"""Both stores, empty and migrated."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.store.database import Database, open_bridge, open_inbox
from tests.shapes import shape


@dataclass
class Stores:
    bridge: Database
    inbox: sa.Engine


@pytest.fixture(params=["sqlite", "postgresql"])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    url = request.getfixturevalue("migrated_postgres_url") if request.param == "postgresql" else None
    bridge, inbox = open_bridge(tmp_path, url), open_inbox(tmp_path, url)
    shape(bridge, inbox, tmp_path)
    yield Stores(Database(bridge), inbox)
    bridge.dispose()
    inbox.dispose()
