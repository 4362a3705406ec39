"""Counts add up across processes, living and dead, and cost nobody his work."""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app import metrics
from app.domain.escalation.state import EscalationOutcome
from app.domain.model.types import Side, Urgency
from app.domain.reports.backtest import Change
from app.domain.sync.circuit_breaker import BreakerKind
from app.domain.sync.effects import TARGETS
from app.ports import BudgetLeft, RefusedReason
from app.services.sync import receive
from app.web import hooks, server
from app.web.incoming import Fault
from tests.conftest import FakeClock
from tests.web_fakes import FakeHealthSource, healthy

COUNTING = """
import sys
from app import metrics
from app.domain.model.types import Side

meter = metrics.meter()
for _ in range(int(sys.argv[1])):
    meter.accepted(Side.TRUTHVOUCH, 0.004)
    meter.refused(Side.PAGERDUTY, "signature_mismatch")
    meter.delivered("pagerduty-rest", 0.2)
"""

READING = """
import json, sys
from app import metrics
from app.ports import StoreUnavailable
from prometheus_client.parser import text_string_to_metric_families

class Nothing:
    def read(self):
        raise StoreUnavailable

text = metrics.text(Nothing()).decode()
print(json.dumps({s.name + str(sorted(s.labels.values())): s.value
                  for family in text_string_to_metric_families(text) for s in family.samples}))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The folder of counts of a bridge, as its master prepares it."""
    before = os.environ.get(metrics.FOLDER_VARIABLE)
    metrics.prepare(tmp_path)
    yield tmp_path / "metrics"
    os.environ.pop(metrics.FOLDER_VARIABLE)
    if before is not None:
        os.environ[metrics.FOLDER_VARIABLE] = before


def count(times: int) -> int:
    """Let a process count; its pid."""
    with subprocess.Popen([sys.executable, "-c", COUNTING, str(times)]) as process:
        assert 0 == process.wait()
        return process.pid


def read() -> dict[str, float]:
    answer = subprocess.run([sys.executable, "-c", READING], capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(answer.stdout)
    return found


SECRET_MATCHED = "truthvouch_bridge_secret_matched_total"
ACCEPTED = "truthvouch_bridge_deliveries_accepted_total['truthvouch']"
REFUSED = "truthvouch_bridge_refused_total['pagerduty', 'signature_mismatch']"
DELIVERED = "truthvouch_bridge_accept_to_delivery_seconds_count['pagerduty-rest']"
WITHIN = "truthvouch_bridge_accept_to_delivery_seconds_bucket['0.25', 'pagerduty-rest']"


@pytest.mark.usefixtures("folder")
def test_the_counts_of_all_processes_are_added_up():
    count(2)
    count(3)
    assert [5] * 4 == [read()[name] for name in (ACCEPTED, REFUSED, DELIVERED, WITHIN)]


def test_what_the_dead_have_counted_stays_and_their_files_go(folder: Path):
    for times in (2, 3, 4):
        metrics.mark_process_dead(count(times))
    assert [9] * 4 == [read()[name] for name in (ACCEPTED, REFUSED, DELIVERED, WITHIN)]
    assert {"counter_departed.db", "histogram_departed.db"} <= {path.name for path in folder.iterdir()}
    assert 4 >= len(list(folder.iterdir()))


@pytest.mark.usefixtures("folder")
def test_a_process_that_never_counted_is_marked_dead_without_a_trace():
    metrics.mark_process_dead(999_999_999)
    count(0)
    assert 0 == read()[ACCEPTED]


def test_a_start_sweeps_out_the_dead_and_leaves_the_living(folder: Path):
    metrics.mark_process_dead(count(1))
    count(1)
    alive = folder / f"counter_{os.getpid()}.db"
    alive.write_bytes(b"")
    metrics.prepare(folder.parent)
    assert [alive] == list(folder.iterdir())


def test_the_files_take_their_space_before_they_are_used(folder: Path):
    """A mapped file with holes kills its process with SIGBUS when the disk is full."""
    count(1)
    holes = [path for path in folder.iterdir() if path.stat().st_blocks * 512 < path.stat().st_size]
    assert [] == holes


def test_a_data_directory_that_cannot_be_written_costs_no_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(metrics.FOLDER_VARIABLE, raising=False)
    (tmp_path / "data").write_text("a file")
    metrics.prepare(tmp_path / "data")
    assert Path(os.environ.pop(metrics.FOLDER_VARIABLE)).is_dir()


def test_a_worker_alone_counts_where_its_bridge_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(metrics.FOLDER_VARIABLE, raising=False)
    metrics.join(tmp_path)
    assert str(tmp_path / "metrics") == os.environ[metrics.FOLDER_VARIABLE]
    metrics.join(tmp_path / "elsewhere")
    assert str(tmp_path / "metrics") == os.environ.pop(metrics.FOLDER_VARIABLE)


def gauges(health_source: FakeHealthSource, clock: FakeClock) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.text(health_source, clock=clock).decode())
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def test_the_snapshot_is_read_when_it_is_asked_for(clock: FakeClock):
    health_source = FakeHealthSource(healthy(clock()))
    health_source.set(
        waiting=3, dead=2, oldest_waiting_at=clock() - timedelta(seconds=30), paused_targets={"truthvouch": "http_401"}
    )
    read = gauges(health_source, clock)
    assert (1, 3, 2, 1) == tuple(
        read[f"truthvouch_bridge_{name}"] for name in ("store_up", "waiting", "dead_letters", "paused_targets")
    )
    assert (30, 0) == (
        read["truthvouch_bridge_oldest_waiting_seconds"],
        read["truthvouch_bridge_worker_heartbeat_age_seconds"],
    )


def test_a_store_that_is_gone_leaves_the_counts_readable(clock: FakeClock):
    health_source = FakeHealthSource(healthy(clock()), broken=True)
    assert 0 == gauges(health_source, clock)["truthvouch_bridge_store_up"]


def test_every_count_of_the_port_has_its_metric():
    meter = metrics.PrometheusMeter()
    meter.duplicated(Side.TRUTHVOUCH)
    meter.matched(Side.TRUTHVOUCH, 1)
    meter.called("pagerduty-rest", "http_429")
    meter.dropped(Side.PAGERDUTY, "not_an_incident")
    meter.parked("effect", "too_late")
    meter.cut("too_slow")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in meter.registry.collect()
        for sample in family.samples
    }
    for expected in (
        ("truthvouch_bridge_duplicates_total", "truthvouch"),
        ("truthvouch_bridge_secret_matched_total", "2", "truthvouch"),
        ("truthvouch_bridge_partner_calls_total", "http_429", "pagerduty-rest"),
        ("truthvouch_bridge_events_dropped_total", "not_an_incident", "pagerduty"),
        ("truthvouch_bridge_parked_total", "effect", "too_late"),
        ("truthvouch_bridge_connections_cut_total", "too_slow"),
    ):
        assert 1 == samples[expected]


def test_a_flood_of_questions_costs_one_answer_a_second():
    now, made = [100.0], iter([b"one", b"two"])
    kept = metrics.once_a_second(lambda: next(made), lambda: now[0])
    assert {b"one"} == {kept() for _ in range(50)}
    now[0] += 1
    assert {b"two"} == {kept() for _ in range(50)}


def samples_of(meter: metrics.PrometheusMeter, name: str) -> dict[tuple[str, ...], float]:
    """The values of one metric, by its labels in the order of their names."""
    samples = [one for family in meter.registry.collect() for one in family.samples if one.name == name]
    return {tuple(value for _, value in sorted(one.labels.items())): one.value for one in samples}


def counted(name: str, meter: metrics.PrometheusMeter | None = None) -> set[tuple[str, ...]]:
    """The labels that a counter has; from the start unless a meter is given."""
    return set(samples_of(meter or metrics.PrometheusMeter(), f"truthvouch_bridge_{name}_total"))


def test_every_reason_for_which_a_delivery_is_refused_is_there_from_the_start():
    """An alert on growth needs the zero before it."""
    known = {(reason.value, side.value) for side in Side for reason in RefusedReason}
    assert known - {("signature_stale", "pagerduty")} == counted("refused")


def test_every_counter_with_a_closed_set_of_labels_is_there_from_the_start():
    sides = {("truthvouch",), ("pagerduty",)}
    for name in ("deliveries_accepted", "duplicates", "deliveries_resubmitted"):
        assert sides == counted(name)
    assert {(outcome.value,) for outcome in EscalationOutcome} == counted("escalations")
    assert {(change.value,) for change in Change} == counted("shadow_decisions")
    assert {("done", target) for target in TARGETS} == counted("partner_calls")
    assert {("write_lost", "truthvouch"), ("missed", "pagerduty")} <= counted("drift_found")
    assert {()} == counted("pages_refused")
    assert ("token_wrong",) in counted("operator_refused")


def test_what_the_server_cuts_is_there_from_the_start():
    source = Path(server.__file__).read_text("utf-8")
    ours = set(re.findall(r'(?:_cut|_log_cut)\(.*"([a-z_]+)"', source))
    assert {(reason,) for reason in (*ours, *Fault)} == counted("connections_cut")


def test_every_reason_that_proves_nothing_in_the_code_is_a_known_one():
    texts = [path.read_text("utf-8") for path in Path(metrics.__file__).parents[1].rglob("*.py")]
    raised = {reason for text in texts for reason in re.findall(r'raise Refusal\("([a-z_]+)"\)', text)}
    ours = {hooks.INCOMPLETE, receive.NO_SECRET, receive.STORE_UNAVAILABLE, "body_too_large"}
    assert {reason.value for reason in RefusedReason} == raised | ours


def test_every_configured_secret_has_its_count_from_the_start():
    meter = metrics.PrometheusMeter()
    meter.expect_secrets(Side.PAGERDUTY, 2)
    meter.matched(Side.PAGERDUTY, 1)
    expected = {("1", "pagerduty"): 0, ("2", "pagerduty"): 1}
    assert expected == {tuple(sorted(of)): value for of, value in samples_of(meter, SECRET_MATCHED).items()}


def test_how_long_it_took_is_there_for_every_source_urgency_and_target():
    meter = metrics.PrometheusMeter()
    meter.accepted(Side.TRUTHVOUCH, 0.004)
    meter.paged(Urgency.HIGH, 0.7)
    for name, expected in (
        ("accept", {("pagerduty",): 0, ("truthvouch",): 1}),
        ("accept_to_page", {("high",): 1, ("low",): 0}),
        ("accept_to_delivery", {(target,): 0 for target in TARGETS}),
    ):
        assert expected == samples_of(meter, f"truthvouch_bridge_{name}_seconds_count")


def families_of(health_source: FakeHealthSource, clock: FakeClock, *budgets: BudgetLeft) -> dict[str, Any]:
    text = metrics.text(health_source, lambda: budgets, clock).decode()
    return {family.name.removeprefix("truthvouch_bridge_"): family for family in text_string_to_metric_families(text)}


def values_of(family: Any) -> dict[tuple[str, ...], float]:
    """By the values of the labels, in the order of their names."""
    return {tuple(value for _, value in sorted(one.labels.items())): one.value for one in family.samples}


def test_breakers_budgets_and_last_successes_are_read_off_the_store(clock: FakeClock):
    health_source = FakeHealthSource(healthy(clock()))
    health_source.set(
        open_breakers=frozenset({("truthvouch", BreakerKind.CIRCUIT)}),
        untaken=4, oldest_untaken_at=clock() - timedelta(seconds=3), oldest_page_at=clock() - timedelta(seconds=9),
        reconciled_at=clock() - timedelta(seconds=60), swept_at=clock(),
    )  # fmt: skip
    budgets = (BudgetLeft("pagerduty-rest", 7, 2.5), BudgetLeft("pagerduty-rest", None, 30.0, "creates"))
    found = families_of(health_source, clock, *budgets)
    breakers = values_of(found["breaker_open"])
    assert (6, 1, 1) == (len(breakers), sum(breakers.values()), breakers["circuit", "truthvouch"])
    assert {("pagerduty-rest",): 7} == values_of(found["budget_calls_left"])
    assert {("pagerduty-rest", ""): 2.5, ("pagerduty-rest", "creates"): 30} == values_of(found["budget_pause_seconds"])
    one = {name: family.samples[0].value for name, family in found.items() if family.samples}
    assert (4, 3, 9) == (one["inbox_waiting"], one["intake_lag_seconds"], one["oldest_page_waiting_seconds"])
    assert clock().timestamp() - 60 == one["reconciliation_last_success_timestamp_seconds"]
    assert clock().timestamp() == one["retention_last_success_timestamp_seconds"]


def test_what_never_happened_has_no_time(clock: FakeClock):
    found = families_of(FakeHealthSource(healthy(clock())), clock)
    assert not {name for name in found if "last_success" in name}


def test_the_versions_that_answer_are_told_even_without_a_store(clock: FakeClock):
    found = families_of(FakeHealthSource(healthy(clock()), broken=True), clock)
    assert [{"version": version("truthvouch-pagerduty-bridge"), "python": platform.python_version()}] == [
        sample.labels for sample in found["build_info"].samples
    ]


def test_names_follow_the_conventions_of_prometheus(clock: FakeClock):
    """https://prometheus.io/docs/practices/naming/"""
    text = metrics.text(FakeHealthSource(healthy(clock())), clock=clock).decode()
    declared = dict(line.split()[2:] for line in text.splitlines() if line.startswith("# TYPE"))
    assert all(name.startswith("truthvouch_bridge_") and not name.endswith("_created") for name in declared)
    assert all(name.endswith("_total") == (kind == "counter") for name, kind in declared.items())
    assert all(name.endswith("_seconds") for name, kind in declared.items() if kind == "histogram")


def test_a_worker_that_serves_its_own_counts_for_itself_alone(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(metrics.FOLDER_VARIABLE, str(folder))
    metrics.count_alone()
    assert metrics.FOLDER_VARIABLE not in os.environ
