"""What lies in the engine's tables is data: whoever can write one row there runs nothing by it."""

import base64
import os
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.engine.test_leftovers import Running, place
from tests.system.waiting import until

__all__ = ["place"]


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self._file),)


@pytest.fixture
def running(place: tuple[Path, str | None]) -> Iterator[Running]:
    made = Running(*place)
    yield made
    made.engine.close(5)
    made.database.engine.dispose()


def test_a_pickle_in_a_row_is_not_read(running: Running, tmp_path: Path) -> None:
    file = tmp_path / "executed"
    stored = base64.b64encode(pickle.dumps({"args": (Touch(file),), "kwargs": {}})).decode()
    running.submit(1, delay=3600)
    inputs = "workflow_input" if running.database.engine.dialect.name == "sqlite" else "dbos.workflow_input"
    with running.database.engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE {inputs} SET inputs = :stored"), {"stored": stored})
    running.sql("UPDATE {t} SET serialization = 'py_pickle', status = 'ENQUEUED', delay_until_epoch_ms = NULL")
    until(lambda: running.sql("SELECT status FROM {t}") == [("ERROR",)], "it is refused")
    running.submit(2)
    until(lambda: 2 in [seq for seq, _ in running.ran], "the others go on")
    assert not file.exists()
    assert [2] == [seq for seq, _ in running.ran]
