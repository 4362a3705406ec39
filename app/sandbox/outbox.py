"""Webhooks on their way to the bridge: in order where the partner keeps order, again and again until they arrive."""

import heapq
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from app.sandbox.parcel import RETRY_AFTER_SECONDS, Parcel, arrange, judge, retry_after
from app.sandbox.postman import Post

SENDERS = 8
MODES = ("send", "hold", "drop")
OUTCOMES = ("sent", "failed", "dropped", "retried")
MAX_RECENT = 500
_log = logging.getLogger("sandbox.outbox")


@dataclass(slots=True, eq=False)
class Lane:
    """Parcels that go one after the other; at most one is under way."""

    name: str
    waiting: deque[Parcel] = field(default_factory=deque)


@dataclass(slots=True)
class Tally:
    """What became of one partner's webhooks."""

    mode: str = "send"
    queued: int = 0
    counts: Counter[str] = field(default_factory=Counter)


class Outbox:
    """Takes parcels, keeps them in lanes and sends them. ``start`` gives it threads; without, ``send_due`` works."""

    def __init__(self, post: Post, clock: Callable[[], float]) -> None:
        self._post, self._clock = post, clock
        self._changed = threading.Condition()
        self._serial = count()
        self.retry_seconds: dict[str, Sequence[float]] = {
            "pagerduty": RETRY_AFTER_SECONDS,
            "truthvouch": RETRY_AFTER_SECONDS,
        }
        self.forget()

    def forget(self) -> None:
        """Start over: nothing waiting, nothing held, everything is sent."""
        with self._changed:
            self._lanes: dict[str, Lane] = {}
            self._due: list[tuple[float, int, Lane]] = []
            self._held: list[Parcel] = []
            self._tallies = {"pagerduty": Tally(), "truthvouch": Tally()}
            self._recent: deque[Parcel] = deque(maxlen=MAX_RECENT)

    # ------------------------------------------------------------ putting in

    def put(self, parcel: Parcel, hold: bool = False) -> None:
        """Send, hold or drop a parcel, as this partner's mode (or ``hold``) says."""
        with self._changed:
            self._recent.append(parcel)
            mode = "hold" if hold else self._tallies[parcel.partner].mode
            if mode == "drop":
                self._settle(parcel, "dropped")
            elif mode == "hold":
                parcel.outcome = "held"
                self._held.append(parcel)
            else:
                self._enter(parcel, self._clock())

    def set_mode(self, mode: str, partner: str | None = None) -> None:
        """What happens to parcels from now on. Raises ``ValueError`` on an unknown mode or partner."""
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}")
        with self._changed:
            if partner is not None and partner not in self._tallies:
                raise ValueError(f"partner must be one of {', '.join(self._tallies)}")
            for name, tally in self._tallies.items():
                tally.mode = mode if partner in (None, name) else tally.mode

    def flush(self, order: str = "same", seed: int = 0, copies: int = 1, partner: str | None = None) -> int:
        """Send what is held, one after the other in this order, each ``copies`` times; how many are on their way.

        Raises ``ValueError`` on an unknown order.
        """
        with self._changed:
            chosen = [p for p in self._held if partner in (None, p.partner)]
            batch = arrange([p if n == 0 else p.twin() for p in chosen for n in range(copies)], order, seed)
            self._held = [p for p in self._held if partner not in (None, p.partner)]
            lane = f"flush-{next(self._serial)}"
            for parcel in batch:
                parcel.lane, parcel.ordered, parcel.outcome = lane, False, "queued"
                self._enter(parcel, self._clock())
            return len(batch)

    def discard(self, lane_prefix: str) -> None:
        """Throw away what waits in the lanes with this prefix, as PagerDuty does for a disabled subscription."""
        with self._changed:
            for name in [name for name in self._lanes if name.startswith(lane_prefix)]:
                for parcel in self._lanes.pop(name).waiting:
                    self._tallies[parcel.partner].queued -= 1
                    self._settle(parcel, "failed")

    # ------------------------------------------------------------ sending

    def start(self) -> None:
        """Send in background threads for the rest of the process."""
        for number in range(SENDERS):
            threading.Thread(target=self._run_for_ever, name=f"sandbox-sender-{number}", daemon=True).start()

    def send_due(self) -> int:
        """Make every attempt whose time has come; how many were made."""
        made = 0
        while (lane := self._take_due()) is not None:
            self._attempt(lane)
            made += 1
        return made

    def _run_for_ever(self) -> None:
        while True:
            with self._changed:
                lane = self._take_due()
                if lane is None:
                    self._changed.wait(self._seconds_to_next())
                    continue
            try:
                self._attempt(lane)
            except Exception:
                _log.exception("a webhook could not be attempted")

    def _attempt(self, lane: Lane) -> None:
        with self._changed:
            if not self._is_current(lane):
                return
            parcel = lane.waiting[0]
        status = self._status_of(parcel)
        with self._changed:
            verdict = self._conclude(lane, parcel, status) if self._is_current(lane) else "forgotten"
        if verdict in ("sent", "failed"):
            parcel.on_settled(verdict == "sent")

    def _status_of(self, parcel: Parcel) -> int | None:
        parcel.attempts += 1
        try:
            parcel.last_status = self._post(parcel.url(), parcel.headers, parcel.body, parcel.timeout)
        except (OSError, ValueError):
            parcel.last_status = None
        return parcel.last_status

    # ------------------------------------------------------------ bookkeeping, under the lock

    def _is_current(self, lane: Lane) -> bool:
        """False once the lane was forgotten or discarded while it was waiting or under way."""
        return self._lanes.get(lane.name) is lane

    def _conclude(self, lane: Lane, parcel: Parcel, status: int | None) -> str:
        verdict = judge(parcel, status, self._clock())
        if verdict == "again":
            self._tallies[parcel.partner].counts["retried"] += 1
            wait = retry_after(parcel.attempts, self.retry_seconds[parcel.partner])
            self._try_again(lane, parcel, self._clock() + wait)
        else:
            self._leave(lane, parcel)
            self._settle(parcel, verdict)
        return verdict

    def _try_again(self, lane: Lane, parcel: Parcel, due: float) -> None:
        if parcel.ordered:
            self._schedule(due, lane)
            return
        self._leave(lane, parcel)
        parcel.lane = f"retry-{next(self._serial)}"
        self._enter(parcel, due)

    def _enter(self, parcel: Parcel, due: float) -> None:
        self._tallies[parcel.partner].queued += 1
        lane = self._lanes.setdefault(parcel.lane, Lane(parcel.lane))
        lane.waiting.append(parcel)
        if len(lane.waiting) == 1:
            self._schedule(due, lane)

    def _leave(self, lane: Lane, parcel: Parcel) -> None:
        self._tallies[parcel.partner].queued -= 1
        lane.waiting.popleft()
        if lane.waiting:
            self._schedule(self._clock(), lane)
        else:
            del self._lanes[lane.name]

    def _settle(self, parcel: Parcel, outcome: str) -> None:
        parcel.outcome = outcome
        self._tallies[parcel.partner].counts[outcome] += 1

    def _schedule(self, due: float, lane: Lane) -> None:
        heapq.heappush(self._due, (due, next(self._serial), lane))
        self._changed.notify()

    def _take_due(self) -> Lane | None:
        with self._changed:
            if not self._due or self._due[0][0] > self._clock():
                return None
            return heapq.heappop(self._due)[2]

    def _seconds_to_next(self) -> float | None:
        return max(0.0, self._due[0][0] - self._clock()) if self._due else None

    # ------------------------------------------------------------ telling

    def as_json(self) -> dict[str, Any]:
        """Counts of both partners together and of each: ``queued`` (with those under way and to be repeated),
        ``held``, ``sent``, ``failed`` (given up), ``dropped`` (by order), ``retried`` (attempts)."""
        with self._changed:
            partners = {name: self._counts(name, tally) for name, tally in self._tallies.items()}
        total = {key: sum(p[key] for p in partners.values()) for key in ("queued", "held", *OUTCOMES)}
        return {**total, "partners": partners}

    def _counts(self, name: str, tally: Tally) -> dict[str, Any]:
        held = sum(1 for parcel in self._held if parcel.partner == name)
        outcomes = {outcome: tally.counts[outcome] for outcome in OUTCOMES}
        return {"mode": tally.mode, "queued": tally.queued, "held": held, **outcomes}

    def newest(self, limit: int) -> list[Parcel]:
        """At most ``limit`` parcels, newest first."""
        with self._changed:
            return list(self._recent)[: -limit - 1 : -1]
