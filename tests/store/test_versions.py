"""Two versions side by side: what a newer one writes stops no older one, and none works on a store it does not know."""

import json
import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from app.domain.model.events import AlertEventType
from app.domain.model.types import Alert, AlertId, Source, incident_key
from app.domain.sync.link import Link
from app.engine.durable import APPLICATION_VERSION
from app.process.worker import Worker
from app.store import codec
from app.store import inbox as internal_events
from app.store.database import SchemaTooNew, check, connection, open_bridge
from app.store.schema import EPOCH, dead_letters, inbox
from tests.fakes import START
from tests.rig import Rig
from tests.shapes import migrate_new
from tests.system.waiting import until

ALERT = Alert(AlertId("a1"), "high")


def parked(rig: Rig) -> list[str]:
    with rig.database.read() as tx:
        return list(connection(tx).execute(sa.select(dead_letters.c.reason)).scalars())


def put(rig: Rig, source: str, body: bytes) -> None:
    row = {"source": source, "delivery_id": "new-1", "received_at": EPOCH, "body": body}
    with rig._inbox.begin() as writer:
        writer.execute(inbox.insert().values(row))


def test_fields_of_a_newer_link_are_passed_over() -> None:
    link = Link(ALERT, incident_key(ALERT.alert_id), START)
    written = json.loads(codec.LINK.dump(link))
    written["mood"] = {"of": ["the", "day"]}
    written["alert"]["colour"] = "red"
    written["pagerduty"] = {"seq": 3, "weather": None}
    read = codec.LINK.load(json.dumps(written))
    assert (link.alert, 3) == (read.alert, read.pagerduty.seq)


def test_a_row_of_a_source_nobody_knows_is_parked_and_stop_nobody(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.intake.readers = {**rig.intake.readers, Source.BRIDGE: internal_events.read}
    put(rig, "carrier_pigeon", b'{"coo": 1}')
    rig.alert(AlertEventType.CREATED)
    assert ["empty_internal_event"] == parked(rig)
    assert "a1" == rig.link().alert.alert_id


def test_internal_events_of_a_newer_bridge_are_parked_and_stop_nobody(tmp_path: Path) -> None:
    rig = Rig(tmp_path)
    rig.intake.readers = {**rig.intake.readers, Source.BRIDGE: internal_events.read}
    put(rig, "bridge", b'{"wish": {"verb": "levitate", "subject": "1", "by": "somebody"}}')
    rig.alert(AlertEventType.CREATED)
    assert ["unknown_internal_event"] == parked(rig)
    assert "a1" == rig.link().alert.alert_id


def test_the_engines_version_is_a_constant() -> None:
    """Another one would strand what is under way: raised only when a delivery's arguments change their meaning."""
    assert "1" == APPLICATION_VERSION


# ------------------------------------------------------------------------------------------------------- a newer store


CREDENTIALS = {
    "TRUTHVOUCH_WEBHOOK_SECRETS": "whsec-of-truthvouch",
    "TRUTHVOUCH_API_KEY": "key-of-truthvouch",
    "PAGERDUTY_WEBHOOK_SECRETS": "secret-of-pagerduty",
    "PAGERDUTY_API_KEY": "key-of-pagerduty",
    "PAGERDUTY_FROM_EMAIL": "bridge@example.com",
    "PAGERDUTY_SERVICE_ID": "PMAIN",
}
"""So that the start has nothing else to tell."""


class Newer:
    """A store that a newer version has upgraded, or will have."""

    def __init__(self, data_dir: Path, url: str | None) -> None:
        self.data_dir, self.url = data_dir, url
        migrate_new(data_dir, url)

    def upgrade(self) -> None:
        engine = open_bridge(self.data_dir, self.url)
        with engine.begin() as writer:
            writer.execute(sa.text("UPDATE bridge_version SET version_num = '9999'"))
        engine.dispose()

    def start(self, *command: str, parent: int | None = None) -> "subprocess.Popen[str]":
        """A process of this version on it. ``parent``: what it reads to see that its parent lives."""
        environ = {"PATH": os.environ["PATH"], "BRIDGE_DATA_DIR": str(self.data_dir), "LOG_FORMAT": "json"}
        environ |= CREDENTIALS
        environ |= {"DATABASE_URL": self.url} if self.url else {}
        environ |= {"BRIDGE_PARENT_FD": str(parent)} if parent else {}
        return subprocess.Popen(
            [sys.executable, "-m", *command],
            env=environ,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=(parent,) if parent else (),
        )


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def newer(request: pytest.FixtureRequest, tmp_path: Path) -> Newer:
    return Newer(tmp_path / "data", request.getfixturevalue("postgres_url") if request.param == "postgresql" else None)


@pytest.mark.parametrize("kept", [False, True], ids=["alone", "beside its web processes"])
def test_a_worker_refuses_a_store_of_a_newer_version(newer: Newer, kept: bool) -> None:
    """With one message and no stack; beside web processes it does not migrate, and asks all the same."""
    newer.upgrade()
    read_end, write_end = os.pipe()
    with closing(os.fdopen(read_end, "rb")), closing(os.fdopen(write_end, "wb")):
        worker = newer.start("app.cli", "worker", parent=read_end if kept else None)
        words, errors = worker.communicate(timeout=60)
    answer = [json.loads(line) for line in errors.splitlines()]
    assert ["start.refused"] == [line["event"] for line in answer], errors
    assert "9999" in answer[0]["message"]
    assert "Start the newer version" in answer[0]["message"]
    assert ("", 2) == (words, worker.returncode)
    assert "Traceback" not in errors


def test_the_start_command_refuses_it_too(newer: Newer) -> None:
    newer.upgrade()
    starting = newer.start("app.process.startup")
    words, errors = starting.communicate(timeout=60)
    assert ("", 2, 1) == (words, starting.returncode, len(errors.splitlines()))
    assert "Start the newer version" in errors


@pytest.mark.postgres
def test_a_worker_that_lost_its_lease_refuses_what_a_newer_version_made_of_its_store(
    postgres_url: str, tmp_path: Path
) -> None:
    newer = Newer(tmp_path, postgres_url)
    worker = newer.start("app.cli", "worker")
    lines: list[str] = []
    assert worker.stderr
    reading = threading.Thread(target=lambda: lines.extend(worker.stderr or ()), daemon=True)
    reading.start()
    try:
        until(lambda: any('"worker.started"' in line for line in lines), "it works", 60, lambda: lines)
        newer.upgrade()
        with psycopg.connect(postgres_url, autocommit=True) as administrator:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            administrator.execute(others + " AND pid <> pg_backend_pid()")
        assert 2 == worker.wait(60)
    finally:
        worker.kill()
        reading.join(10)
        worker.communicate()
    assert '"lease.lost"' in "".join(lines)
    assert "start.refused" == json.loads(lines[-1])["event"]


def test_nothing_of_a_worker_runs_before_its_store_is_known() -> None:
    """A lease that is acquired again, wherever and whenever, is acquired for nothing on a store that is too new."""
    done: list[str] = []

    class Bridge:
        lease = property(lambda self: self)

        def __getattr__(self, name: str) -> Any:
            def act(*_: object) -> str:
                done.append(name)
                if name == "check_schema":
                    raise SchemaTooNew("newer")
                return "worker-0"

            return act

    with pytest.raises(SchemaTooNew):
        Worker(Bridge()).run(threading.Event())  # type: ignore[arg-type]
    assert ["acquire", "check_schema"] == done


def test_a_store_that_answers_and_cannot_be_read_is_not_waited_for(tmp_path: Path) -> None:
    (tmp_path / "bridge.db").write_bytes(b"no database at all" * 500)
    engine = open_bridge(tmp_path, None)
    with pytest.raises(sa.exc.DatabaseError):
        check(engine, "bridge")
    engine.dispose()
