"""The child that gunicorn's master starts: it looks at a real store, pages through the real transport, and ends."""

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.store.database import KEY_VALUES, Database, open_bridge, open_inbox
from app.store.health import WORKER_SEEN
from tests.far_side import FarSide, far_side
from tests.shapes import shape
from tests.system.processes import ROOT

KEY = "self-key-marker-self-key-marker0"


@pytest.fixture
def pagerduty() -> Iterator[FarSide]:
    with far_side() as there:
        yield there


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A store whose worker was last seen an hour ago."""
    folder = tmp_path / "data"
    folder.mkdir()
    bridge, inbox = open_bridge(folder, None), open_inbox(folder, None)
    shape(bridge, inbox, folder)
    database = Database(bridge)
    with database.begin() as tx:
        KEY_VALUES.put(tx, WORKER_SEEN, (datetime.now(UTC) - timedelta(hours=1)).isoformat())
    bridge.dispose()
    inbox.dispose()
    return folder


def look(pagerduty: FarSide, data_dir: Path, memory: str = "", **environ: str) -> subprocess.CompletedProcess[str]:
    """One look, as the master starts it."""
    environment = {
        "PATH": os.environ["PATH"], "BRIDGE_DATA_DIR": str(data_dir), "BRIDGE_CONFIG": str(data_dir / "bridge.yaml"),
        "BRIDGE_SELF_INTEGRATION_KEY": KEY, "PAGERDUTY_EVENTS_URL": pagerduty.url, "LOG_LEVEL": "DEBUG",
        "BRIDGE_WATCH_MEMORY": memory, **environ,
    }  # fmt: skip
    command = [sys.executable, "-m", "app.process.watch"]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=60)


def sent(pagerduty: FarSide) -> list[tuple[str, str]]:
    """(action, fault) of each event."""
    bodies = [request.json for request in pagerduty.requests]
    return [(body["event_action"], body["dedup_key"].rpartition("-")[2]) for body in bodies]


FORGOTTEN = ("resolve", "store_gone")
"""What a watcher without a memory sends, under two keys."""


def test_a_look_pages_and_the_next_one_knows_it(pagerduty: FarSide, data_dir: Path):
    for _ in range(9):
        pagerduty.will_answer(202)
    first = look(pagerduty, data_dir)
    assert (0, [FORGOTTEN, FORGOTTEN, ("trigger", "worker_silent")]) == (first.returncode, sent(pagerduty))
    memory = first.stdout.splitlines()[-1]
    assert '"worker_silent"' in memory
    again = look(pagerduty, data_dir, memory)
    assert (0, 3) == (again.returncode, len(pagerduty.requests))
    body = pagerduty.requests[-1].json
    assert (KEY, "critical") == (body["routing_key"], body["payload"]["severity"])
    assert KEY not in first.stdout + first.stderr + again.stdout + again.stderr


def test_a_wrong_key_is_logged_and_the_look_ends_well(pagerduty: FarSide, data_dir: Path):
    for _ in range(3):
        pagerduty.will_answer(400, {"status": "invalid event", "errors": [f"Invalid routing key {KEY}"]})
    looked = look(pagerduty, data_dir)
    assert 0 == looked.returncode
    assert "self_page.not_sent" in looked.stderr
    assert KEY not in looked.stdout + looked.stderr


def test_a_look_without_a_store_makes_none_and_remembers_it(pagerduty: FarSide, tmp_path: Path):
    looked = look(pagerduty, tmp_path / "nowhere")
    assert 0 == looked.returncode
    assert '"store_gone"' in looked.stdout
    assert not (tmp_path / "nowhere").exists()
    assert [] == pagerduty.requests, "it has not lasted yet"


def test_a_bridge_yaml_that_is_broken_keeps_no_page(pagerduty: FarSide, data_dir: Path):
    (data_dir / "bridge.yaml").write_text("rules: [", "utf-8")
    for _ in range(3):
        pagerduty.will_answer(202)
    assert 0 == look(pagerduty, data_dir).returncode
    assert ("trigger", "worker_silent") in sent(pagerduty)
