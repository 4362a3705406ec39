"""An ``inbox.db`` that is not the one the cursor was moved over: nothing in it is passed over by its number."""

import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from app.domain.model.events import AlertEventType, IncidentEventType, Unreadable
from app.domain.model.types import Source
from app.store.database import StoredKeyValues, connection
from app.store.inbox_reader import LOOK_SECONDS
from app.store.inbox_sqlite import CURSOR
from app.store.schema import dead_letters
from tests.rig import Rig


class Restored:
    """A bridge whose inbox can be put away and brought back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rig = Rig(folder)

    def come_back(self) -> list[str]:
        """A new process over what lies in the folder; what it logged loudly while taking everything in."""
        said, clock = self.rig.said, self.rig.clock
        self.close()
        self.rig = Rig(self.folder)
        self.rig.said, self.rig.clock.now = said, clock.now
        with capture_logs() as lines:
            while self.rig.intake.take():
                pass
        return [line["event"] for line in lines if line["log_level"] == "critical"]

    def close(self) -> None:
        self.rig.database.engine.dispose()
        self.rig._inbox.dispose()

    def copy(self, name: str) -> None:
        """A backup of the closed files under that name."""
        self.close()
        shutil.copytree(self.folder, self.folder.with_name(name))

    def bring_back(self, name: str, file: str) -> None:
        """One of the two files as the backup has it."""
        self.close()
        for found in self.folder.glob(f"{file}*"):
            found.unlink()
        shutil.copy(self.folder.with_name(name) / file, self.folder / file)

    def cursor(self) -> int:
        with self.rig.database.read() as tx:
            return int(StoredKeyValues().read(tx, CURSOR) or 0)


@pytest.fixture
def bridge(tmp_path: Path) -> Restored:
    folder = tmp_path / "data"
    folder.mkdir()
    return Restored(folder)


def alert(bridge: Restored, alert_id: str) -> None:
    bridge.rig.clock.move(1)
    bridge.rig.alert(AlertEventType.CREATED, alert_id=alert_id)


def test_an_inbox_from_a_backup_passes_nothing_over(bridge: Restored) -> None:
    alert(bridge, "a1")
    bridge.copy("backup")
    for number in range(2, 5):
        alert(bridge, f"a{number}")
    bridge.bring_back("backup", "inbox.db")
    assert ["inbox.replaced"] == bridge.come_back()
    alert(bridge, "a5")
    assert "a5" == bridge.rig.link("a5").alert.alert_id


def test_new_rows_that_reached_the_cursor_before_anybody_looked_are_not_passed_over(bridge: Restored) -> None:
    alert(bridge, "a1")
    bridge.copy("backup")
    for number in range(2, 5):
        alert(bridge, f"a{number}")
    bridge.bring_back("backup", "inbox.db")
    bridge.rig.intake.take = lambda: 0  # type: ignore[method-assign] # the web is up, the worker is not
    for number in range(5, 11):
        alert(bridge, f"a{number}")
    assert ["inbox.replaced"] == bridge.come_back()
    for number in range(1, 11):
        assert f"a{number}" == bridge.rig.link(f"a{number}").alert.alert_id


def test_an_empty_inbox_is_taken_in_from_its_beginning(bridge: Restored) -> None:
    bridge.copy("backup")
    alert(bridge, "a1")
    alert(bridge, "a2")
    bridge.bring_back("backup", "inbox.db")
    assert ["inbox.replaced"] == bridge.come_back()
    assert [] == bridge.come_back()
    alert(bridge, "a3")
    assert "a3" == bridge.rig.link("a3").alert.alert_id


def test_what_is_received_again_does_nothing_twice(bridge: Restored) -> None:
    alert(bridge, "a0")
    bridge.copy("backup")
    alert(bridge, "a1")
    bridge.rig.run()
    bridge.rig.incident(IncidentEventType.ACKNOWLEDGED)
    bridge.rig.run()
    bridge.bring_back("backup", "inbox.db")
    before = bridge.rig.link("a0")
    bridge.come_back()
    assert before == bridge.rig.link("a0")
    assert not bridge.rig.engine.waiting


def test_a_bridge_from_a_backup_hears_again_what_came_since(bridge: Restored) -> None:
    alert(bridge, "a1")
    bridge.copy("backup")
    alert(bridge, "a2")
    bridge.bring_back("backup", "bridge.db")
    assert [] == bridge.come_back()
    assert "a2" == bridge.rig.link("a2").alert.alert_id


def test_dead_letters_of_the_other_inbox_are_in_nobodys_way(bridge: Restored) -> None:
    bridge.copy("backup")
    bridge.rig.say(Source.TRUTHVOUCH, Unreadable("not_json"))
    bridge.bring_back("backup", "inbox.db")
    bridge.come_back()
    bridge.rig.say(Source.TRUTHVOUCH, Unreadable("not_json"))
    alert(bridge, "a1")
    with bridge.rig.database.read() as tx:
        assert 2 == connection(tx).execute(sa.select(sa.func.count()).select_from(dead_letters)).scalar_one()


def test_the_same_inbox_is_known_again(bridge: Restored) -> None:
    for number in range(3):
        alert(bridge, f"a{number}")
    assert [] == bridge.come_back()
    assert 3 == bridge.cursor()


def test_one_restored_in_place_while_the_worker_runs_is_noticed_within_seconds(
    bridge: Restored, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alert(bridge, "a1")
    with (
        closing(sqlite3.connect(bridge.folder / "inbox.db")) as live,
        closing(sqlite3.connect(tmp_path / "copy")) as kept,
    ):
        live.backup(kept)
        for number in range(2, 6):
            alert(bridge, f"a{number}")
        kept.backup(live)
    later = time.monotonic() + LOOK_SECONDS
    monkeypatch.setattr(time, "monotonic", lambda: later)
    alert(bridge, "b1")
    assert "b1" == bridge.rig.link("b1").alert.alert_id
