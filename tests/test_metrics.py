"""Counts add up across processes, living and dead, and cost nobody his work."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from app import metrics
from app.domain.names import Side
from tests.conftest import FakeClock
from tests.doors import FakeVitals, healthy

COUNTING = """
import sys
from app import metrics
from app.domain.names import Side

meter = metrics.meter()
for _ in range(int(sys.argv[1])):
    meter.accepted(Side.TRUTHVOUCH)
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
    told: dict[str, float] = json.loads(answer.stdout)
    return told


ACCEPTED = "bridge_deliveries_accepted_total['truthvouch']"
REFUSED = "bridge_refused_total['pagerduty', 'signature_mismatch']"
DELIVERED = "bridge_accept_to_delivery_seconds_count['pagerduty-rest']"
WITHIN = "bridge_accept_to_delivery_seconds_bucket['0.25', 'pagerduty-rest']"


@pytest.mark.usefixtures("folder")
def test_the_counts_of_all_processes_are_added_up():
    count(2)
    count(3)
    assert [5] * 4 == [read()[name] for name in (ACCEPTED, REFUSED, DELIVERED, WITHIN)]


def test_what_the_dead_have_counted_stays_and_their_files_go(folder: Path):
    for times in (2, 3, 4):
        metrics.bury(count(times))
    assert [9] * 4 == [read()[name] for name in (ACCEPTED, REFUSED, DELIVERED, WITHIN)]
    assert {"counter_departed.db", "histogram_departed.db"} <= {path.name for path in folder.iterdir()}
    assert 4 >= len(list(folder.iterdir()))


@pytest.mark.usefixtures("folder")
def test_a_process_that_never_counted_is_buried_without_a_trace():
    metrics.bury(999_999_999)
    count(0)
    assert 0 == read()[ACCEPTED]


def test_a_start_sweeps_out_the_dead_and_leaves_the_living(folder: Path):
    metrics.bury(count(1))
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
    assert Path(os.environ[metrics.FOLDER_VARIABLE]).is_dir()
    monkeypatch.delenv(metrics.FOLDER_VARIABLE)


def test_a_worker_alone_counts_where_its_bridge_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(metrics.FOLDER_VARIABLE, raising=False)
    metrics.join(tmp_path)
    assert str(tmp_path / "metrics") == os.environ[metrics.FOLDER_VARIABLE]
    metrics.join(tmp_path / "elsewhere")
    assert str(tmp_path / "metrics") == os.environ[metrics.FOLDER_VARIABLE]
    monkeypatch.delenv(metrics.FOLDER_VARIABLE)


def gauges(vitals: FakeVitals, clock: FakeClock) -> dict[str, float]:
    families = text_string_to_metric_families(metrics.text(vitals, clock).decode())
    return {sample.name: sample.value for family in families for sample in family.samples if not sample.labels}


def test_the_pulse_is_read_when_it_is_asked_for(clock: FakeClock):
    vitals = FakeVitals(healthy(clock()))
    vitals.set(waiting=3, dead=2, oldest_waiting_at=clock() - timedelta(seconds=30), holds={"truthvouch": "http_401"})
    read = gauges(vitals, clock)
    assert (1, 3, 2, 1) == tuple(read[f"bridge_{name}"] for name in ("store_up", "waiting", "dead_letters", "holds"))
    assert (30, 0) == (read["bridge_oldest_waiting_seconds"], read["bridge_worker_heartbeat_age_seconds"])


def test_a_store_that_is_gone_leaves_the_counts_readable(clock: FakeClock):
    vitals = FakeVitals(healthy(clock()), broken=True)
    assert 0 == gauges(vitals, clock)["bridge_store_up"]


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
        ("bridge_duplicates_total", "truthvouch"),
        ("bridge_secret_matched_total", "1", "truthvouch"),
        ("bridge_partner_calls_total", "http_429", "pagerduty-rest"),
        ("bridge_words_dropped_total", "not_an_incident", "pagerduty"),
        ("bridge_parked_total", "effect", "too_late"),
        ("bridge_connections_cut_total", "too_slow"),
    ):
        assert 1 == samples[expected]


def test_a_flood_of_questions_costs_one_answer_a_second():
    now, made = [100.0], iter([b"one", b"two"])
    kept = metrics.once_a_second(lambda: next(made), lambda: now[0])
    assert {b"one"} == {kept() for _ in range(50)}
    now[0] += 1
    assert {b"two"} == {kept() for _ in range(50)}


def test_every_reason_for_which_a_signature_is_refused_is_there_from_the_start():
    """An alarm on growth needs the zero before it."""
    families = metrics.PrometheusMeter().registry.collect()
    told = {(one.labels["source"], one.labels["reason"]) for family in families for one in family.samples
            if one.name == "bridge_refused_total"}  # fmt: skip
    known = [f"signature_{reason}" for reason in ("missing", "malformed", "mismatch")]
    assert {(side.value, reason) for side in Side for reason in known} | {("truthvouch", "signature_stale")} == told
