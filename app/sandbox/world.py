"""Everything the sandbox is, in one object: both partners, their post, the faults, the memory of calls."""

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.sandbox.calls import Calls
from app.sandbox.faults import Faults
from app.sandbox.later import Later
from app.sandbox.limits import Limit
from app.sandbox.outbox import Outbox
from app.sandbox.pagerduty.account import Account
from app.sandbox.postman import Post, Postman
from app.sandbox.stamps import Names, PartnerClock
from app.sandbox.truthvouch.alert import ENVELOPES, LIST_ORDERS, SIGNATURES
from app.sandbox.truthvouch.organization import Organization

DEFAULT_TRUTHVOUCH_SECRET = "whsec_sandbox_truthvouch"
DEFAULT_PAGERDUTY_SECRET = "sandbox-pagerduty-secret"
CHOICES = {"signature": SIGNATURES, "envelope": ENVELOPES, "truthvouch_list_order": LIST_ORDERS}
MAX_OFFSET_SECONDS = 1e9
MAX_DRIFT_SECONDS_PER_HOUR = 1e5
MAX_RETRY_SECONDS = 1e6


@dataclass(frozen=True, slots=True)
class Setup:
    """What a sandbox starts with."""

    bridge_url: str = "http://127.0.0.1:8080"
    truthvouch_secret: str = DEFAULT_TRUTHVOUCH_SECRET
    pagerduty_secret: str = DEFAULT_PAGERDUTY_SECRET
    events_delay_seconds: float = 0.05
    """From the 202 of the Events API to the incident."""
    signature: str = "s1"
    envelope: str = "nested"


class World:
    """One simulated world. Without ``start`` nothing moves but what is called: tests drive it by hand."""

    def __init__(
        self, setup: Setup = Setup(), post: Post | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self.clock, self.lock, self.names = clock, threading.RLock(), Names()
        self.clocks = {"pagerduty": PartnerClock(clock), "truthvouch": PartnerClock(clock)}
        self.bridge_url = setup.bridge_url.rstrip("/")
        self.calls, self.faults, self.later = Calls(), Faults(), Later(clock)
        self.outbox = Outbox(post or Postman(), clock)
        self.pagerduty = Account(
            self.lock, self.clocks["pagerduty"], self.names, self.outbox, self.later, setup.pagerduty_secret,
            lambda: self.bridge_url,
        )  # fmt: skip
        self.truthvouch = Organization(
            self.lock, self.clocks["truthvouch"], self.names, self.outbox, setup.truthvouch_secret,
            lambda: self.bridge_url,
        )  # fmt: skip
        self.pagerduty.events.delay_seconds = setup.events_delay_seconds
        self.truthvouch.signature, self.truthvouch.envelope = setup.signature, setup.envelope

    def start(self, base_url: str) -> None:
        """Begin to send webhooks and to let delayed things happen; ``base_url`` is where this sandbox answers."""
        self.pagerduty.refs.lead_to(base_url)
        self.outbox.start()
        self.later.start()

    def settings(self) -> dict[str, Any]:
        """What can be changed while it runs. A limit is ``{calls, seconds}``; ``calls`` 0 = none."""
        return {
            "events_delay_seconds": self.pagerduty.events.delay_seconds,
            "signature": self.truthvouch.signature,
            "envelope": self.truthvouch.envelope,
            "truthvouch_refuses_reopen": self.truthvouch.reopen_is_refused,
            "truthvouch_tells_api_changes": self.truthvouch.tells_api_changes,
            "truthvouch_keeps_acknowledges": self.truthvouch.keeps_acknowledges,
            "truthvouch_list_order": self.truthvouch.list_order,
            "pagerduty_alerts_reopen_with_incident": self.pagerduty.desk.alerts_reopen_with_incident,
            "webhook_retry_seconds": {name: list(steps) for name, steps in self.outbox.retry_seconds.items()},
            "clocks": {name: clock.as_json() for name, clock in self.clocks.items()},
            "limits": {name: {"calls": li.calls, "seconds": li.seconds} for name, li in self._limits().items()},
        }

    def change(self, wish: Mapping[str, Any]) -> None:
        """Change some settings. Raises ``ValueError`` on unknown words and values; then nothing has changed."""
        current = self.settings()
        new = current | _object(wish, "settings", current)
        limits = _object(wish.get("limits", {}), "limits", self._limits())
        limits = {name: (int(li["calls"]), float(li["seconds"])) for name, li in limits.items()}
        schedules = _object(wish.get("webhook_retry_seconds", {}), "webhook_retry_seconds", self.clocks)
        schedules = {partner: _schedule(given) for partner, given in schedules.items()}
        clocks = _object(wish.get("clocks", {}), "clocks", self.clocks)
        clocks = {partner: _clock(given, current["clocks"][partner]) for partner, given in clocks.items()}
        for name, choices in CHOICES.items():
            if new[name] not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}")
        for name, value in current.items():
            if isinstance(value, bool) and not isinstance(new[name], bool):
                raise ValueError(f"{name} must be true or false")
        self.pagerduty.events.delay_seconds = max(0.0, float(new["events_delay_seconds"]))
        self.pagerduty.desk.alerts_reopen_with_incident = new["pagerduty_alerts_reopen_with_incident"]
        self.truthvouch.signature, self.truthvouch.envelope = new["signature"], new["envelope"]
        self.truthvouch.reopen_is_refused = new["truthvouch_refuses_reopen"]
        self.truthvouch.tells_api_changes = new["truthvouch_tells_api_changes"]
        self.truthvouch.keeps_acknowledges = new["truthvouch_keeps_acknowledges"]
        self.truthvouch.list_order = new["truthvouch_list_order"]
        self.outbox.retry_seconds.update(schedules)
        for partner, (offset, drift) in clocks.items():
            self.clocks[partner].set(offset, drift)
        for name, (calls, seconds) in limits.items():
            self._limits()[name].set(calls, seconds)

    def _limits(self) -> dict[str, Limit]:
        return {
            "pagerduty_rest": self.pagerduty.rest_limit,
            "pagerduty_events": self.pagerduty.events_limit,
            "truthvouch": self.truthvouch.limit,
        }

    def reset(self) -> None:
        """As if newly started, except for the settings."""
        with self.lock:
            self.later.clear()
            self.outbox.forget()
            self.faults.clear()
            self.pagerduty.reset()
            self.truthvouch.reset()
            self.calls.clear()


def _object(value: Any, name: str, known: Iterable[str]) -> dict[str, Any]:
    """An object with some of these names and no others."""
    if not isinstance(value, dict) or set(value) - set(known):
        raise ValueError(f"{name} must be an object; its names are {', '.join(known)}")
    return value


def _number(value: Any, name: str, least: float, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ValueError(f"{name} must be a number from {least:g} to {most:g}")
    return float(value)


def _clock(given: Any, current: dict[str, float]) -> tuple[float, float]:
    """Offset and drift; what is left out stays as it is."""
    new = current | _object(given, "a clock", current)
    offset, drift = "offset_seconds", "drift_seconds_per_hour"
    return (
        _number(new[offset], offset, -MAX_OFFSET_SECONDS, MAX_OFFSET_SECONDS),
        _number(new[drift], drift, -MAX_DRIFT_SECONDS_PER_HOUR, MAX_DRIFT_SECONDS_PER_HOUR),
    )


def _schedule(given: Any) -> tuple[float, ...]:
    if not isinstance(given, list) or not given:
        raise ValueError("webhook_retry_seconds must be lists of one or more numbers")
    return tuple(_number(step, "webhook_retry_seconds", 0.001, MAX_RETRY_SECONDS) for step in given)
