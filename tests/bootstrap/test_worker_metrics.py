"""What a worker leaves in the store for everybody's metrics: what its budgets have left, and its last successes."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.bootstrap import migrate_stores
from app.bootstrap.configuration import publisher, shown_settings
from app.bootstrap.web import WebBridge
from app.bootstrap.worker import WorkerBridge
from app.config.settings import Settings
from app.domain.rules.rulebook import Rulebook
from app.errors import ConfigFault
from app.services.reconciliation.context import Findings
from app.store.database import KEY_VALUES
from app.store.worker_configurations import StoredConfigurations
from tests.shapes import health_of


def settings_of(folder: Path, **more: str) -> Settings:
    return Settings.from_env(
        {
            "BRIDGE_DATA_DIR": str(folder),
            "BRIDGE_CONFIG": str(folder / "bridge.yaml"),
            "PAGERDUTY_API_KEY": "key",
            "PAGERDUTY_INTEGRATION_KEY": "integration key",
            "TRUTHVOUCH_API_KEY": "key",
            **more,
        }
    )


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerBridge]:
    settings = settings_of(tmp_path)
    migrate_stores(settings)
    with WorkerBridge(settings) as made:
        yield made


def test_what_the_worker_has_left_shows_in_the_web(worker: WorkerBridge) -> None:
    with WebBridge(worker.settings) as web:
        before = {one.key: one.calls for one in web.budgets_left()}
        for _ in range(3):
            worker.budgets("pagerduty-rest", worker.settings.pagerduty.rest_per_minute).take()
        worker.beat(datetime.now(UTC))
        after = {one.key: one.calls for one in web.budgets_left()}
    assert (16, 150) == (before["pagerduty-rest"], before["truthvouch-reads"])
    assert (after["pagerduty-rest"] or 0) < 16
    assert before.keys() == after.keys()
    assert 1 == len([key for key in after if key.startswith("pagerduty-events:") and "integration" not in key])


@pytest.mark.parametrize(("failed", "seconds", "is_known"), [(False, 300, True), (True, 300, False), (False, 0, False)])
def test_a_reconciliation_that_went_well_is_remembered_unless_it_is_switched_off(
    tmp_path: Path, failed: bool, seconds: int, is_known: bool
) -> None:
    settings = settings_of(tmp_path, BRIDGE_RECONCILE_SECONDS=str(seconds))
    migrate_stores(settings)
    with WorkerBridge(settings) as worker:
        worker.__dict__["reconcile"] = lambda: Findings(failed=failed)
        worker._reconcile_unless_behind()
        known = health_of(worker.database, worker.inbox_engine).read().reconciled_at
    assert is_known is (known is not None)


def test_a_worker_tells_its_own_metrics(worker: WorkerBridge) -> None:
    worker.beat(datetime.now(UTC))
    text = worker.metrics_text().decode()
    for name in ("accept_to_page_seconds_bucket", "worker_heartbeat_age_seconds", "budget_calls_left", "build_info"):
        assert f"truthvouch_bridge_{name}" in text


def test_what_a_worker_runs_with_is_published_without_a_secret(worker: WorkerBridge) -> None:
    now = datetime.now(UTC)
    worker._publish = publisher("main")  # as its launch does
    worker.beat(now)
    with WebBridge(worker.settings) as web:
        [published] = web.console.work.workers()
        assert web.console.runs_with() == published.runs_with
        check = web.health().checks["worker_rules"]
    assert ("main", now) == (published.worker, published.since)
    assert {"workers": 1, "versions": [published.runs_with.rules]} == check.facts
    assert "set" == {one.name: one.value for one in published.runs_with.settings}["PAGERDUTY_API_KEY"]
    assert "key" not in {one.value for one in published.runs_with.settings}
    assert any("TRUTHVOUCH_WEBHOOK_SECRETS" in fault for fault in published.runs_with.faults)


def test_the_store_can_be_written_while_a_beat_reads_a_changed_file(worker: WorkerBridge) -> None:
    worker._publish = publisher("main")
    load, loaded = worker.rulebook.load, []

    def writing() -> Rulebook:
        with worker.database.begin() as tx:
            KEY_VALUES.put(tx, "somebody", "writes")
        loaded.append(load())
        return loaded[-1]

    worker.rulebook.load, worker.rulebook._checked = writing, -math.inf
    worker.settings.config_path.write_text("rules: []", "utf-8")
    worker.beat(datetime.now(UTC))
    with worker.database.read() as tx:
        [published] = StoredConfigurations().all(tx, datetime.min.replace(tzinfo=UTC))
    assert [published.runs_with.rules] == [one.version for one in loaded]


def test_a_worker_that_is_closed_counts_no_more(worker: WorkerBridge) -> None:
    worker._publish = publisher("main")
    worker.beat(datetime.now(UTC))
    worker.close(0)
    worker.beat(datetime.now(UTC))  # one that was late
    assert () == health_of(worker.database, worker.inbox_engine).read().workers


def test_no_address_that_is_shown_can_hold_a_login(tmp_path: Path) -> None:
    shown = {one.name for one in shown_settings(settings_of(tmp_path), Rulebook()) if one.name.endswith("_URL")}
    address = "https://user:hidden@proxy.example.com/x"
    for name in shown - {"DATABASE_URL", "BRIDGE_HEARTBEAT_URL"}:  # these two are never shown
        with pytest.raises(ConfigFault, match=f"{name}.*user name or password") as refused:
            settings_of(tmp_path, **{name: address})
        assert "hidden" not in str(refused.value)
    (tmp_path / "bridge.yaml").write_text(f"truthvouch: {{api_url: '{address}'}}", "utf-8")
    with pytest.raises(ConfigFault, match="user name or password") as refused:
        WorkerBridge(settings_of(tmp_path))
    assert "hidden" not in str(refused.value)
