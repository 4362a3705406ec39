"""The text that Prometheus reads: the counts of every process that counts together, and what the store says now."""

import fcntl
import math
import platform
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from app.domain.model.types import Side
from app.domain.sync.circuit_breaker import BreakerKind
from app.domain.sync.effects import TARGETS
from app.metrics.counters import meter
from app.metrics.folder import folder, locked
from app.ports import BudgetLeft, Clock, HealthSnapshot, HealthSource, StoreUnavailable, utc_now

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""https://prometheus.io/docs/instrumenting/exposition_formats/"""
FRESH_SECONDS = 1.0
STORE_UP = "Whether the store can be read"
BudgetsLeft = Callable[[], Sequence[BudgetLeft]]
"""What may be called now, key by key. Raises ``StoreUnavailable``."""


def text(health_source: HealthSource, budgets_left: BudgetsLeft = tuple, clock: Clock = utc_now) -> bytes:
    """What ``/metrics`` answers: the counts that this process can see, and what the store says."""
    from prometheus_client import CollectorRegistry, generate_latest

    registry = CollectorRegistry()
    registry.register(Gauges(health_source, budgets_left, clock))
    return _counts() + generate_latest(registry)


def once_a_second(make: Callable[[], bytes], clock: Callable[[], float] = time.monotonic) -> Callable[[], bytes]:
    """The same text, made anew at most once a second in this process: a flood of questions must not cost a page."""
    lock, at, made = threading.Lock(), -math.inf, b""

    def kept() -> bytes:
        nonlocal at, made
        with lock:
            if clock() - at >= FRESH_SECONDS:
                made, at = make(), clock()
            return made

    return kept


def _counts() -> bytes:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.multiprocess import MultiProcessCollector

    counts = folder()
    if counts is None:
        return generate_latest(meter().registry)
    everybody = CollectorRegistry()
    MultiProcessCollector(everybody, str(counts))  # type: ignore[no-untyped-call]
    with locked(counts, fcntl.LOCK_SH):
        return generate_latest(everybody)


@dataclass(eq=False)
class Gauges:
    """What the store says when it is asked. Every process reads the same."""

    health_source: HealthSource
    budgets_left: BudgetsLeft
    clock: Callable[[], datetime]

    def describe(self) -> list["Metric"]:
        """Nothing in advance: registering must not read the store."""
        return []

    def collect(self) -> Iterator["Metric"]:
        about = {(program_version(), platform.python_version()): 1.0}
        yield _gauge("truthvouch_bridge_build_info", "The versions that answer here", about, "version", "python")
        try:
            snapshot, budgets = self.health_source.read(), self.budgets_left()
        except StoreUnavailable:
            yield _gauge("truthvouch_bridge_store_up", STORE_UP, {(): 0.0})
            return
        for name, (description, value) in _values(snapshot, self.clock()).items():
            if value is not None:
                yield _gauge(name, description, {(): value})
        yield from _by_label(snapshot, budgets)


def _gauge(name: str, text: str, samples: Mapping[Any, float], *labels: str) -> "Metric":
    """``samples``: by the values of the labels."""
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, text, labels=labels)
    for values, value in samples.items():
        family.add_metric(values, value)
    return family


@cache
def program_version() -> str:
    """The version of this bridge."""
    try:
        return version("truthvouch-pagerduty-bridge")
    except PackageNotFoundError:  # it runs from its folder and was never installed
        return "unknown"


def _by_label(snapshot: HealthSnapshot, budgets: Sequence[BudgetLeft]) -> Iterator["Metric"]:
    seen = {Side.TRUTHVOUCH: snapshot.truthvouch_seen_at, Side.PAGERDUTY: snapshot.pagerduty_seen_at}
    yield _gauge(
        "truthvouch_bridge_last_seen_timestamp_seconds",
        "Last authentic delivery, epoch",
        {(side,): at.timestamp() for side, at in seen.items() if at},
        "source",
    )
    yield _gauge(
        "truthvouch_bridge_breaker_open",
        "1 = calls that can wait are held back",
        {(on, kind): float((on, kind) in snapshot.open_breakers) for on in TARGETS for kind in BreakerKind},
        "target", "breaker",
    )  # fmt: skip
    yield _gauge(
        "truthvouch_bridge_budget_calls_left",
        "Calls that could go at once with this key",
        {(one.key,): float(one.calls) for one in budgets if one.calls is not None},
        "key",
    )
    yield _gauge(
        "truthvouch_bridge_budget_pause_seconds",
        "How long the partner still wants this key to rest; 0 = it does not",
        {(one.key, one.part): one.pause_seconds for one in budgets},
        "key", "part",
    )  # fmt: skip


def _values(snapshot: HealthSnapshot, now: datetime) -> dict[str, tuple[str, float | None]]:
    """By name: what it is, and its value; None = not told."""

    def age(at: datetime | None) -> float:
        return max(0.0, (now - at).total_seconds()) if at else 0.0

    def epoch(at: datetime | None) -> float | None:
        return at.timestamp() if at else None

    heartbeat = age(snapshot.worker_seen_at) if snapshot.worker_seen_at else None
    return {
        "truthvouch_bridge_store_up": (STORE_UP, 1),
        "truthvouch_bridge_waiting": ("Deliveries not yet done", snapshot.waiting),
        "truthvouch_bridge_oldest_waiting_seconds": (
            "Age of the oldest pending delivery; 0 = none",
            age(snapshot.oldest_waiting_at),
        ),
        "truthvouch_bridge_oldest_page_waiting_seconds": (
            "Age of the oldest page that nobody got yet, or of what may become one; 0 = none",
            age(snapshot.oldest_page_at),
        ),
        "truthvouch_bridge_inbox_waiting": ("Accepted deliveries not yet taken in", snapshot.untaken),
        "truthvouch_bridge_intake_lag_seconds": (
            "Age of the oldest of them; 0 = none",
            age(snapshot.oldest_untaken_at),
        ),
        "truthvouch_bridge_dead_letters": ("Dead letters nobody has decided on", snapshot.dead),
        "truthvouch_bridge_dead_pages": ("Dead letters that may be a page nobody got", snapshot.dead_pages),
        "truthvouch_bridge_paused_targets": (
            "Targets that refuse our credentials or do not answer",
            len(snapshot.paused_targets),
        ),
        "truthvouch_bridge_links_frozen": ("Links frozen by a ping-pong", snapshot.frozen),
        "truthvouch_bridge_worker_heartbeat_age_seconds": ("Since the worker's last heartbeat", heartbeat),
        "truthvouch_bridge_reconciliation_last_success_timestamp_seconds": (
            "When a reconciliation last read all it asked for, epoch",
            epoch(snapshot.reconciled_at),
        ),
        "truthvouch_bridge_retention_last_success_timestamp_seconds": (
            "When retention last went through everything, epoch",
            epoch(snapshot.swept_at),
        ),
    }
