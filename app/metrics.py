"""Every metric of the bridge, declared in one place, and the text Prometheus reads.

Web processes and the worker count into files of their own in one folder (``PROMETHEUS_MULTIPROC_DIR``); whoever is
asked adds them all up. What can be read off the store (what waits, what is dead) is read at that moment, not counted.

https://prometheus.github.io/client_python/multiprocess/
"""

import fcntl
import math
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.domain.names import Side, Source
from app.ports import Pulse, StoreUnavailable, Vitals

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

# prometheus_client decides when it is imported whether it counts into files: import it only after prepare().

FOLDER_VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
KINDS = ("counter", "histogram")
FILE_BYTES = 128 * 1024
"""Some five hundred label sets; several times what the words of our code can make."""
FRESH_SECONDS = 1.0
DEPARTED = "departed"
DELIVERY_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)


def _utc_now() -> datetime:
    return datetime.now(UTC)


# ------------------------------------------------------------------------------------------------------- counting


class PrometheusMeter:
    """The ``Meter`` port. Counts are kept even if nobody ever reads them."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self.registry = CollectorRegistry()

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(name, text, labels, registry=self.registry)

        self._accepted = counter("bridge_deliveries_accepted", "Deliveries stored", "source")
        self._duplicates = counter("bridge_duplicates", "Deliveries that were already stored", "source")
        self._refused = counter("bridge_refused", "Deliveries not stored, by reason", "source", "reason")
        self._matched = counter("bridge_secret_matched", "Deliveries, by secret (0 = newest)", "source", "secret")
        self._dropped = counter("bridge_words_dropped", "Words that move nothing, by reason", "source", "reason")
        self._parked = counter("bridge_parked", "Dead letters written, by reason", "kind", "reason")
        self._pages = counter(
            "bridge_pages_refused",
            "What may be a page that nobody got, and escalations that were not made: alarm on it",
        )
        self._calls = counter("bridge_partner_calls", "Calls to partners by how they ended", "target", "outcome")
        self._drifted = counter("bridge_drift_found", "What reconciliation found, by outcome", "side", "outcome")
        self._resubmitted = counter("bridge_lanes_resubmitted", "Deliveries owed that nobody would have made", "side")
        self._escalated = counter("bridge_escalations", "Escalation levels that had their turn", "outcome")
        self._operators = counter("bridge_operator_refused", "Requests of operators that were not let in", "reason")
        self._cut = counter("bridge_connections_cut", "Connections ended by us, by reason", "reason")
        self._shadowed = counter("bridge_shadow_decisions", "What a draft (shadow:) said of alerts", "outcome")
        self._delivery = Histogram(
            "bridge_accept_to_delivery_seconds",
            "From accepting a word to having done what it asks for",
            ("target",),
            buckets=DELIVERY_BUCKETS,
            registry=self.registry,
        )
        for side in Side:
            self._accepted.labels(side)
            self._duplicates.labels(side)
            for reason in ("missing", "malformed", "mismatch"):
                self._refused.labels(side, f"signature_{reason}")
        self._refused.labels(Side.TRUTHVOUCH, "signature_stale")  # PagerDuty's signatures carry no time
        for reason in ("token_missing", "token_wrong", "too_many_wrong"):
            self._operators.labels(reason)

    def accepted(self, source: Side) -> None:
        self._accepted.labels(source).inc()

    def duplicated(self, source: Side) -> None:
        self._duplicates.labels(source).inc()

    def refused(self, source: Side, reason: str) -> None:
        self._refused.labels(source, reason).inc()

    def matched(self, source: Side, secret_index: int) -> None:
        self._matched.labels(source, str(secret_index)).inc()

    def called(self, target: str, outcome: str) -> None:
        self._calls.labels(target, outcome).inc()

    def delivered(self, target: str, seconds: float) -> None:
        self._delivery.labels(target).observe(max(0.0, seconds))

    def dropped(self, source: Source, reason: str) -> None:
        self._dropped.labels(source, reason).inc()

    def parked(self, kind: str, reason: str) -> None:
        self._parked.labels(kind, reason).inc()
        if kind in ("page", "escalation"):
            self._pages.inc()

    def drifted(self, side: Side, outcome: str) -> None:
        self._drifted.labels(side, outcome).inc()

    def resubmitted(self, side: Side) -> None:
        self._resubmitted.labels(side).inc()

    def escalated(self, outcome: str) -> None:
        self._escalated.labels(outcome).inc()

    def shadowed(self, outcome: str) -> None:
        """The draft was asked about an alert: ``same``, ``gained``, ``lost``, ``moved``."""
        self._shadowed.labels(outcome).inc()

    def operator_refused(self, reason: str) -> None:
        """Somebody was not let in: ``token_missing``, ``token_wrong``, ``too_many_wrong``, ``no_admin_token``."""
        self._operators.labels(reason).inc()

    def cut(self, reason: str) -> None:
        """The web server ended a connection: ``too_slow``, ``too_many``, ``stalled``, or a ``Fault`` of what came."""
        self._cut.labels(reason).inc()


@cache
def meter() -> PrometheusMeter:
    """The one meter of this process: two would overwrite each other's counts."""
    folder = _folder()
    if folder and not _reserve(folder, str(os.getpid())):
        # No room for files: this process counts for itself alone.
        del os.environ[FOLDER_VARIABLE]
    return PrometheusMeter()


# -------------------------------------------------------------------------------------------------------- reading


def text(vitals: Vitals, clock: Callable[[], datetime] = _utc_now) -> bytes:
    """What ``/metrics`` answers: the counts of every process, and the pulse."""
    from prometheus_client import CollectorRegistry, generate_latest

    pulse = CollectorRegistry()
    pulse.register(_PulseCollector(vitals, clock))
    return _counts() + generate_latest(pulse)


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

    folder = _folder()
    if folder is None:
        return generate_latest(meter().registry)
    everybody = CollectorRegistry()
    MultiProcessCollector(everybody, str(folder))  # type: ignore[no-untyped-call]
    with _locked(folder, fcntl.LOCK_SH):
        return generate_latest(everybody)


class _PulseCollector:
    """Reads the store when it is asked."""

    def __init__(self, vitals: Vitals, clock: Callable[[], datetime]) -> None:
        self._vitals, self._clock = vitals, clock

    def describe(self) -> list["Metric"]:
        """Nothing in advance: registering must not read the store."""
        return []

    def collect(self) -> Iterator["Metric"]:
        from prometheus_client.core import GaugeMetricFamily

        try:
            pulse = self._vitals.read()
        except StoreUnavailable:
            yield GaugeMetricFamily("bridge_store_up", "Whether the store can be read", 0)
            return
        yield GaugeMetricFamily("bridge_store_up", "Whether the store can be read", 1)
        yield from _gauges(pulse, self._clock())


def _gauges(pulse: Pulse, now: datetime) -> Iterator["Metric"]:
    from prometheus_client.core import GaugeMetricFamily

    yield GaugeMetricFamily("bridge_waiting", "Deliveries owed and not yet done", pulse.waiting)
    yield GaugeMetricFamily("bridge_dead_letters", "Dead letters nobody has decided on", pulse.dead)
    yield GaugeMetricFamily("bridge_dead_pages", "Dead letters that may be a page nobody got", pulse.dead_pages)
    yield GaugeMetricFamily("bridge_holds", "Targets whose credentials are refused", len(pulse.holds))
    yield GaugeMetricFamily("bridge_links_frozen", "Links frozen by a ping-pong", pulse.frozen)
    oldest = (now - pulse.oldest_waiting_at).total_seconds() if pulse.oldest_waiting_at else 0.0
    yield GaugeMetricFamily("bridge_oldest_waiting_seconds", "Age of the oldest owed; 0 = none", max(0.0, oldest))
    if pulse.worker_seen_at:
        age = max(0.0, (now - pulse.worker_seen_at).total_seconds())
        yield GaugeMetricFamily("bridge_worker_heartbeat_age_seconds", "Since the worker's last heartbeat", age)
    seen = GaugeMetricFamily("bridge_last_seen_timestamp_seconds", "Last authentic delivery, epoch", labels=["source"])
    for side, at in ((Side.TRUTHVOUCH, pulse.truthvouch_seen_at), (Side.PAGERDUTY, pulse.pagerduty_seen_at)):
        if at:
            seen.add_metric([side], at.timestamp())
    yield seen


# ------------------------------------------------------------------------------------------------------ the files


def prepare(data_dir: Path) -> None:
    """Choose the folder of this bridge's counts for this process and its children, and sweep out earlier ones.

    For the process that starts the others. A data directory that cannot be written gets a temporary folder instead.
    """
    folder = data_dir / "metrics"
    try:
        _make(folder)
        _sweep(folder)
    except OSError:
        folder = Path(tempfile.mkdtemp(prefix="bridge-metrics-"))
    os.environ[FOLDER_VARIABLE] = str(folder.resolve())


def join(data_dir: Path) -> None:
    """Count into the folder of the bridge that uses this data directory, unless the starter has said where.

    For a worker that was started on its own. Call it before anything counts.
    """
    folder = data_dir / "metrics"
    if FOLDER_VARIABLE not in os.environ:
        _make(folder)
        os.environ[FOLDER_VARIABLE] = str(folder.resolve())


def _make(folder: Path) -> None:
    """Whoever makes the data directory makes it for its owner alone: the store will lie in it."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True)


def bury(pid: int) -> None:
    """Add the counts of a process that has ended to those of all departed, so that restarts leave no files behind."""
    folder = _folder()
    if folder is None:
        return
    with _locked(folder, fcntl.LOCK_EX):
        for path in [folder / f"{kind}_{pid}.db" for kind in KINDS]:
            if path.exists():
                _add_up(path, folder)


def _add_up(path: Path, folder: Path) -> None:
    from prometheus_client.mmap_dict import MmapedDict

    if not _reserve(folder, DEPARTED):
        return
    kind = path.name.partition("_")[0]
    total: Any = MmapedDict(str(folder / f"{kind}_{DEPARTED}.db"))  # type: ignore[no-untyped-call]
    counts: Any = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]
    for key, value, _stamp, _place in counts:
        total.write_value(key, total.read_value(key)[0] + value, 0.0)
    total.close()
    path.unlink()


def _folder() -> Path | None:
    name = os.environ.get(FOLDER_VARIABLE)
    return Path(name) if name else None


def _reserve(folder: Path, owner: str) -> bool:
    """Claim the disk space of the counts now: a mapped file with a hole in it kills its process on a full disk."""
    try:
        for path in [folder / f"{kind}_{owner}.db" for kind in KINDS]:
            if not path.exists():
                draft = path.with_suffix(".new")
                draft.write_bytes(bytes(FILE_BYTES))
                draft.replace(path)
    except OSError:
        return False
    return True


def _sweep(folder: Path) -> None:
    """Remove the files of processes that are no more; another bridge may be using the same folder."""
    for path in folder.glob("*_*.*"):
        owner = path.stem.rpartition("_")[2]
        if owner == DEPARTED or not _is_alive(owner):
            path.unlink(missing_ok=True)


def _is_alive(owner: str) -> bool:
    try:
        os.kill(int(owner), 0)
    except (ProcessLookupError, ValueError):
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    """Nobody may add up the counts while some of them are being moved."""
    directory = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(directory, how)
        yield
    finally:
        os.close(directory)
