"""A console before a store, empty or filled."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.console.pages import ConsoleRig


@pytest.fixture
def console(tmp_path: Path) -> Iterator[ConsoleRig]:
    rig = ConsoleRig(tmp_path)
    yield rig
    rig.operator.inbox.close()
