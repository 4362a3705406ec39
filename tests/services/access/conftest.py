"""A store of this version's shape."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from app.store.database import Database, open_bridge, open_inbox
from tests.shapes import shape


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    bridge, inbox = open_bridge(tmp_path, None), open_inbox(tmp_path, None)
    shape(bridge, inbox, tmp_path)
    yield Database(bridge)
    bridge.dispose()
    inbox.dispose()
