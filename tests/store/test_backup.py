"""A backup that is taken while the bridge works, and what a bridge makes of it."""

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.domain.model.events import AlertEventType
from app.ports import StoreUnavailable
from app.store.backup import FILES, back_up, restore
from app.store.plain import StoreRefused
from app.store.worker_leases import FileLease
from tests.rig import Rig

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Bridge:
    """A bridge that is started and stopped over one folder; the partners remember."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.rig = Rig(folder)

    def alert(self, alert_id: str) -> None:
        self.rig.clock.move(1)
        self.rig.alert(AlertEventType.CREATED, alert_id=alert_id)
        self.rig.run()

    def stop(self) -> None:
        self.rig.let_go()

    def start(self) -> None:
        said, clock, pagerduty = self.rig.said, self.rig.clock, self.rig.pagerduty
        self.rig = Rig(self.folder)
        self.rig.said, self.rig.clock.now = said, clock.now
        self.rig.pagerduty.incidents, self.rig.pagerduty.calls = pagerduty.incidents, pagerduty.calls
        while self.rig.intake.take():
            pass
        self.rig.run()

    def restore(self, folder: Path, keep_inbox: bool = False) -> Path | None:
        return restore(self.folder, folder, keep_inbox, lambda *_: None, NOW)[1]


@pytest.fixture
def bridge(tmp_path: Path) -> Iterator[Bridge]:
    made = Bridge(tmp_path / "data")
    made.alert("a1")
    yield made
    made.stop()


def test_it_is_private_and_whole_and_one_file_each(bridge: Bridge, tmp_path: Path) -> None:
    rows = back_up(bridge.folder, tmp_path / "backup", lambda *_: None)
    assert (1, 1) == (rows["links"], rows["inbox"])
    assert 0o700 == stat.S_IMODE((tmp_path / "backup").stat().st_mode)
    assert dict.fromkeys(FILES, 0o600) == {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "backup").iterdir()
    }
    with pytest.raises(StoreRefused, match="already"):
        back_up(bridge.folder, tmp_path / "backup", lambda *_: None)
    with pytest.raises(StoreUnavailable, match="no bridge"):
        back_up(tmp_path, tmp_path / "other", lambda *_: None)


def test_what_arrives_between_the_two_files_is_taken_in_after_a_restore(
    bridge: Bridge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writes also fall into the copy of one file: it stays as of its beginning."""
    monkeypatch.setattr("app.store.backup.PAGES_AT_ONCE", 1)
    written: list[str] = []

    def meanwhile(done: int, total: int) -> None:
        assert 0 <= done <= total
        if len(written) < 5:
            written.append(f"b{len(written)}")
            bridge.alert(written[-1])

    back_up(bridge.folder, tmp_path / "backup", meanwhile)
    with closing(sqlite3.connect(tmp_path / "backup" / "bridge.db")) as copy:
        assert [("a1",)] == copy.execute("SELECT alert_id FROM links").fetchall()
    bridge.stop()
    assert bridge.restore(tmp_path / "backup") is not None
    bridge.start()
    assert ["a1", *written] == [bridge.rig.link(one).alert.alert_id for one in ("a1", *written)]
    assert 6 == len(bridge.rig.pagerduty.incidents), "no page twice"


def test_what_arrived_since_comes_again_where_the_inbox_is_kept(bridge: Bridge, tmp_path: Path) -> None:
    back_up(bridge.folder, tmp_path / "backup", lambda *_: None)
    bridge.alert("a2")
    bridge.stop()
    (bridge.folder / "bridge.db").write_bytes(b"broken" * 1000)
    aside = bridge.restore(tmp_path / "backup", keep_inbox=True)
    assert aside is not None
    assert ["bridge.db"] == [path.name for path in aside.iterdir()]
    bridge.start()
    assert "a2" == bridge.rig.link("a2").alert.alert_id
    assert 2 == len(bridge.rig.pagerduty.incidents)


def test_what_was_there_is_kept_with_all_that_was_in_its_log(bridge: Bridge, tmp_path: Path) -> None:
    back_up(bridge.folder, tmp_path / "backup", lambda *_: None)
    bridge.alert("a2")
    bridge.stop()
    aside = bridge.restore(tmp_path / "backup")
    assert aside is not None
    with closing(sqlite3.connect(aside / "bridge.db")) as before:
        assert [("a1",), ("a2",)] == before.execute("SELECT alert_id FROM links ORDER BY id").fetchall()
    assert [] == [path.name for path in bridge.folder.iterdir() if path.name.endswith((".part", "-wal", "-shm"))]


def test_it_goes_into_an_empty_folder_too(bridge: Bridge, tmp_path: Path) -> None:
    back_up(bridge.folder, tmp_path / "backup", lambda *_: None)
    rows, aside = restore(tmp_path / "new", tmp_path / "backup", False, lambda *_: None, NOW)
    assert (1, None) == (rows["links"], aside)
    assert {0o600} == {stat.S_IMODE((tmp_path / "new" / name).stat().st_mode) for name in FILES}


def test_while_a_worker_works_nothing_is_restored(bridge: Bridge, tmp_path: Path) -> None:
    back_up(bridge.folder, tmp_path / "backup", lambda *_: None)
    bridge.stop()
    lease = FileLease(bridge.folder)
    assert lease.acquire()
    before = (bridge.folder / "bridge.db").read_bytes()
    with pytest.raises(StoreRefused, match="stop it first"):
        bridge.restore(tmp_path / "backup")
    assert before == (bridge.folder / "bridge.db").read_bytes()
    lease.release()


@pytest.mark.parametrize("name", FILES)
def test_while_somebody_has_a_file_open_nothing_is_restored(bridge: Bridge, tmp_path: Path, name: str) -> None:
    """A web process, say, that asks nothing just now."""
    back_up(bridge.folder, tmp_path / "backup", lambda *_: None)
    bridge.stop()
    command = [sys.executable, "-c", HOLDS_OPEN, str(bridge.folder / name)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as web:
        assert web.stdout is not None
        assert b"open\n" == web.stdout.readline()
        with pytest.raises(StoreRefused, match=f"Somebody has {name} open"):
            bridge.restore(tmp_path / "backup")
        assert not (bridge.folder / "bridge.db.part").exists()
        web.communicate()
    assert bridge.restore(tmp_path / "backup")


HOLDS_OPEN = """
import sqlite3, sys

connection = sqlite3.connect(sys.argv[1])
connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
print("open", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("damage", ["missing", "damaged", "other", "newer"])
def test_what_is_no_good_backup_replaces_nothing(bridge: Bridge, tmp_path: Path, damage: str) -> None:
    back_up(bridge.folder, tmp_path / "backup", lambda *_: None)
    bridge.stop()
    file, before = tmp_path / "backup" / "inbox.db", (bridge.folder / "bridge.db").read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "damaged":
        content = file.read_bytes()
        file.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    elif damage == "other":
        file.write_bytes(b"")
    else:
        with closing(sqlite3.connect(file)) as writer, writer:
            writer.execute("UPDATE inbox_version SET version_num = '9999'")
    with pytest.raises(StoreRefused, match=r"inbox\.db"):
        bridge.restore(tmp_path / "backup")
    assert before == (bridge.folder / "bridge.db").read_bytes()
