"""``truthvouch links erase``: what it shows, what it asks, and what it leaves."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.domain.model.events import AlertEvent, AlertEventType
from app.domain.model.types import Alert, AlertId, Side
from app.services.operator.retention import EraseBodies
from app.store.database import StoredKeyValues
from app.store.evidence import StoredBodies
from app.store.health import WORKER_SEEN
from tests.cli.test_cli import Shell, _log_as_before, nobodys_environment, shell  # noqa: F401
from tests.services.rigs import DatedRig

MARK = "Marker-7f3a"


@pytest.fixture
def worker(shell: Shell) -> Iterator[None]:  # noqa: F811
    """A worker lives, takes in what is stored, and erases what is due."""
    with shell.rig.database.begin() as tx:
        StoredKeyValues().put(tx, WORKER_SEEN, datetime.now(UTC).isoformat())
    stop = threading.Event()
    erase = EraseBodies(StoredBodies(shell.rig.database, shell.rig._inbox, shell.data_dir))
    shell.rig.intake.erase_bodies = erase.soon

    def work() -> None:
        while not stop.wait(0.01):
            shell.rig.intake.take()
            if erase.asked.now:
                erase.asked.now = False
                erase()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    stop.set()
    thread.join()


def raised(rig: DatedRig | Any, *alert_ids: str) -> None:
    for one in alert_ids:
        alert = Alert(AlertId(one), "critical", claim=f"{MARK} claim", people={"email": f"{MARK}@x.test"})
        rig.say(Side.TRUTHVOUCH, AlertEvent(AlertEventType.CREATED, alert, "alert.created", rig.clock()))


def files_with(word: str, folder: Path) -> list[str]:
    return [path.name for path in folder.rglob("*") if path.is_file() and word.encode() in path.read_bytes()]


@pytest.mark.usefixtures("worker")
def test_what_is_erased_is_shown_and_asked_and_then_in_no_file(shell: Shell) -> None:  # noqa: F811
    raised(shell.rig, "a1", "a2")
    assert [] != files_with(MARK, shell.data_dir)
    refused = shell.run("links", "erase", "a1", "a2", stdin="n\n")
    assert 1 == refused.exit_code
    for word in ("claim 17", "a1", "a2", "Erase 2?"):
        assert word in refused.output
    assert MARK not in refused.output
    assert [] != files_with(MARK, shell.data_dir)
    done = shell.run("links", "erase", "a1", "a2", stdin="y\n")
    assert (0, 2) == (done.exit_code, done.output.count("are erased.")), done.output
    assert [] == files_with(MARK, shell.data_dir)
    assert "The alert's texts and people were erased (asked)" in shell.run("timeline", "a1").stdout


@pytest.mark.usefixtures("worker")
def test_machines_say_yes_and_are_told_of_each(shell: Shell) -> None:  # noqa: F811
    raised(shell.rig, "a1")
    assert 2 == shell.run("links", "erase", "a1", "--json").exit_code
    assert ["erased"] == [one["outcome"] for one in shell.json("links", "erase", "a1", "--yes")]
    assert ["already_erased"] == [one["outcome"] for one in shell.json("links", "erase", "a1", "--yes")]
    both = shell.json("links", "erase", "a1", "nobody", "--yes", code=1)
    assert ["already_erased", "no_such_link"] == [one["outcome"] for one in both]
    assert 1 == shell.run("links", "erase", "nobody", "--yes").exit_code


def test_without_a_worker_it_is_stored_and_done_when_one_runs(shell: Shell) -> None:  # noqa: F811
    raised(shell.rig, "a1")
    assert "no worker is running" in shell.run("links", "erase", "a1", "--yes").output
    while shell.rig.intake.take():
        pass
    assert shell.rig.link().erased_at
    assert "{}" == str(dict(shell.rig.link().alert.people))


@pytest.mark.usefixtures("worker")
def test_a_backtest_counts_what_nobody_can_decide_any_more(shell: Shell) -> None:  # noqa: F811
    raised(shell.rig, "a1", "a2")
    shell.run("links", "erase", "a1", "--yes")
    draft = shell.data_dir / "draft.yaml"
    draft.write_text("rules:\n  - {name: Reads it, trigger: '\"claim\" in claim', action: {type: suppress}}\n")
    words = ("rules", "backtest", "--config", str(draft), "--since", "2020-01-01")
    found = shell.json(*words)
    assert ({"count": 1, "by_rule": {"Reads it": 1}}, 1) == (found["not_decidable"], found["alerts"])
    assert "1 alerts are not decidable" in shell.run(*words).stdout
