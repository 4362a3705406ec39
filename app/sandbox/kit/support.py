"""What the whole sandbox needs: the partners' clocks and ids, things that happen later, limits, JSON, routes."""

import heapq
import json
import logging
import secrets
import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any, Generic, TypeVar

from flask import Blueprint, Response, request

PARTNERS = ("pagerduty", "truthvouch")
T = TypeVar("T")
View = TypeVar("View", bound=Callable[..., Response])


class PartnerClock:
    """One partner's own clock: ``real`` time, plus an offset, plus what it gains every hour."""

    def __init__(self, real: Callable[[], float]) -> None:
        self.real = real
        self.set(0.0, 0.0)

    def set(self, offset_seconds: float, drift_seconds_per_hour: float) -> None:
        """How far it is ahead of real time now, and what it gains from now on; negative: behind, loses."""
        self._setting = (self.real(), offset_seconds, drift_seconds_per_hour)

    def __call__(self) -> float:
        return self.real() + self._offset()

    def _offset(self) -> float:
        since, offset, drift = self._setting
        return offset + drift * (self.real() - since) / 3600

    def as_json(self) -> dict[str, float]:
        """The arguments of ``set``; the offset is that of this moment."""
        return {"offset_seconds": self._offset(), "drift_seconds_per_hour": self._setting[2]}


def iso(at: float, milliseconds: bool = False) -> str:
    """RFC 3339 in UTC with ``Z``; ``at`` is epoch seconds."""
    timespec = "milliseconds" if milliseconds else "seconds"
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def epoch(text: object) -> float | None:
    """Epoch seconds of an ISO 8601 text (UTC where it has no zone) or of a number; None for anything else."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    try:
        read = datetime.fromisoformat(str(text).strip())
    except ValueError:
        return None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def _in_base32(number: int, length: int) -> str:
    return "".join("0123456789ABCDEFGHJKMNPQRSTVWXYZ"[(number >> (5 * place)) & 31] for place in range(length))[::-1]


class Ids:
    """Hands out identifiers: unique in this process, unlike those of any other run."""

    def __init__(self) -> None:
        self._serial = count(1)
        self._run = secrets.randbits(40)

    def next(self, prefix: str, length: int = 14) -> str:
        """An identifier of ``length`` characters beginning with ``prefix``, like PagerDuty's ``Q02JTUPZWHSN7Q``."""
        return prefix + _in_base32((self._run << 25) + next(self._serial), length - len(prefix))

    def ulid(self, at: float) -> str:
        """Twenty-six characters that sort by time, like PagerDuty's event ids."""
        return _in_base32(int(at * 1000), 10) + _in_base32((self._run << 40) + next(self._serial), 16)


_log = logging.getLogger("sandbox.scheduler")


class Timetable(Generic[T]):
    """What is to happen later, in the order of due times and, within one, of arrival. ``do`` makes it happen."""

    def __init__(self, clock: Callable[[], float], do: Callable[[T], None]) -> None:
        self._clock, self._do = clock, do
        self._waiting: list[tuple[float, int, T]] = []
        self._serial = count()
        self.lock = threading.Condition()

    def after(self, seconds: float, thing: T) -> None:
        """Once, ``seconds`` from now or as soon after as can be."""
        with self.lock:
            heapq.heappush(self._waiting, (self._clock() + seconds, next(self._serial), thing))
            self.lock.notify()

    def clear(self) -> None:
        """Forget everything that has not happened yet."""
        with self.lock:
            self._waiting.clear()

    def run_due(self) -> int:
        """Let everything happen whose time has come; how much that was."""
        ran = 0
        while (thing := self._take_due()) is not None:
            self._do(thing)
            ran += 1
        return ran

    def start(self, name: str, threads: int = 1) -> None:
        """Let things happen in background threads for the rest of the process."""
        for number in range(threads):
            threading.Thread(target=self._run_for_ever, name=f"sandbox-{name}-{number}", daemon=True).start()

    def _take_due(self) -> T | None:
        with self.lock:
            if not self._waiting or self._waiting[0][0] > self._clock():
                return None
            return heapq.heappop(self._waiting)[2]

    def _run_for_ever(self) -> None:
        while True:
            with self.lock:
                thing = self._take_due()
                if thing is None:
                    self.lock.wait(max(0.0, self._waiting[0][0] - self._clock()) if self._waiting else None)
                    continue
            try:
                self._do(thing)
            except Exception:
                _log.exception("a delayed action failed")


Scheduler = Timetable[Callable[[], None]]
"""Runs actions."""


PAGERDUTY_REST_LIMIT = 960
"""Requests a minute and key; what the headers claim while no limit is enforced.
https://developer.pagerduty.com/docs/rest-api-rate-limits"""


@dataclass(slots=True)
class RateLimitState:
    """What is left of a limit after one request."""

    limit: int
    remaining: int
    reset_seconds: int
    exceeded: bool = False


class Limit:
    """``calls`` requests in any window of ``seconds``, counted from the first request of the window.

    Off unless asked for: the sandbox must never be what a benchmark measures.
    """

    def __init__(self, clock: Callable[[], float], default_limit: int = PAGERDUTY_REST_LIMIT) -> None:
        self._clock = clock
        self._default_limit = default_limit
        self._lock = threading.Lock()
        self.set()

    def set(self, calls: int = 0, seconds: float = 60.0) -> None:
        """``calls`` 0 = no limit."""
        self.calls, self.seconds = calls, seconds
        self._window_started_at, self._used = 0.0, 0

    def take(self) -> RateLimitState:
        """Count one request."""
        if not self.calls:
            return RateLimitState(self._default_limit, self._default_limit - 1, 60)
        with self._lock:
            now = self._clock()
            if now - self._window_started_at >= self.seconds:
                self._window_started_at, self._used = now, 0
            self._used += 1
            reset = max(1, round(self._window_started_at + self.seconds - now + 0.5))
            return RateLimitState(self.calls, max(0, self.calls - self._used), reset, self._used > self.calls)


def answer(value: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(json.dumps(value, ensure_ascii=False), status, headers, mimetype="application/json")


def read_json() -> Any:
    """The request's JSON whatever its content type says; None for nothing or for what is no JSON."""
    try:
        return json.loads(request.get_data() or b"null")
    except (ValueError, RecursionError):
        return None


def route(method: str, path: str) -> Callable[[View], View]:
    """Marks a method of a class as the view of a route; ``add_routes`` collects them."""

    def marked(view: View) -> View:
        view.__dict__.setdefault("marked_routes", []).append((method, path))
        return view

    return marked


def add_routes(blueprint: Blueprint, views: object, lock: AbstractContextManager[Any]) -> Blueprint:
    """The blueprint with every method of ``views`` that ``route`` marks; each runs with the lock held."""
    for name in dir(views):
        view = getattr(views, name)
        locked = partial(_call_under, lock, view)
        for method, path in getattr(view, "marked_routes", ()):
            blueprint.add_url_rule(path, name, locked, methods=[method])
    return blueprint


def _call_under(lock: AbstractContextManager[Any], view: Callable[..., Response], **path: Any) -> Response:
    with lock:
        return view(**path)


def newest(things: Iterable[T], limit: int) -> list[T]:
    """At most ``limit`` of them, the last first."""
    return list(things)[: -limit - 1 : -1]


def check_choice(name: str, value: object, choices: Iterable[str]) -> None:
    """Raises ``ValueError`` with what may be chosen."""
    if value not in tuple(choices):
        raise ValueError(f"{name} must be one of {', '.join(choices)}")
