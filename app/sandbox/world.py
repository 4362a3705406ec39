"""Everything the sandbox is, in one object: both partners, their post, the faults, the memory of calls."""

import operator
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.sandbox.kit.faults import MAX_CALLS, Call, Faults
from app.sandbox.kit.support import PARTNERS, Ids, PartnerClock, Scheduler, check_choice
from app.sandbox.kit.webhook_sender import Post, WebhookQueue, WebhookSender
from app.sandbox.pagerduty.account import Account
from app.sandbox.truthvouch.alerts import ENVELOPES, LIST_ORDERS, SIGNATURES, Organization

DEFAULT_TRUTHVOUCH_SECRET = "whsec_sandbox_truthvouch"
DEFAULT_PAGERDUTY_SECRET = "sandbox-pagerduty-secret"
CHOICES = {"signature": SIGNATURES, "envelope": ENVELOPES, "truthvouch_list_order": LIST_ORDERS}
MOST_OF_A_CLOCK = {"offset_seconds": 1e9, "drift_seconds_per_hour": 1e5}
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
        self.clock, self.lock, self.ids = clock, threading.RLock(), Ids()
        self.clocks = {partner: PartnerClock(clock) for partner in PARTNERS}
        self.bridge_url = setup.bridge_url.rstrip("/")
        self.bridge_token = ""
        """Reads the bridge's API; empty: the sandbox cannot ask it anything."""
        self.calls: deque[Call] = deque(maxlen=MAX_CALLS)
        """Appending is atomic, so that a request never waits for a reader."""
        self.faults, self.scheduler = Faults(), Scheduler(clock, operator.call)
        self.webhook_queue = WebhookQueue(post or WebhookSender(), clock, self.faults.signs_wrongly)
        self.pagerduty = Account(
            self.lock, self.clocks["pagerduty"], self.ids, self.webhook_queue, self.scheduler, setup.pagerduty_secret,
            lambda: self.bridge_url,
        )  # fmt: skip
        self.truthvouch = Organization(
            self.lock, self.clocks["truthvouch"], self.ids, self.webhook_queue, setup.truthvouch_secret,
            lambda: self.bridge_url,
        )  # fmt: skip
        self.pagerduty.events.delay_seconds = setup.events_delay_seconds
        self.truthvouch.signature, self.truthvouch.envelope = setup.signature, setup.envelope
        self._limits = {
            "pagerduty_rest": self.pagerduty.rest_limit,
            "pagerduty_events": self.pagerduty.events_limit,
            "truthvouch": self.truthvouch.limit,
        }
        self._plain_settings: dict[str, tuple[object, str]] = {
            "events_delay_seconds": (self.pagerduty.events, "delay_seconds"),
            "signature": (self.truthvouch, "signature"),
            "envelope": (self.truthvouch, "envelope"),
            "truthvouch_refuses_reopen": (self.truthvouch, "reopen_is_refused"),
            "truthvouch_reports_api_changes": (self.truthvouch, "reports_api_changes"),
            "truthvouch_keeps_acknowledges": (self.truthvouch, "keeps_acknowledges"),
            "truthvouch_list_order": (self.truthvouch, "list_order"),
            "pagerduty_alerts_reopen_with_incident": (self.pagerduty.incidents, "alerts_reopen_with_incident"),
        }
        """Each is an attribute of a part of the world."""

    def start(self, base_url: str) -> None:
        """Begin to send webhooks and to let delayed things happen; ``base_url`` is where this sandbox answers."""
        self.pagerduty.refs.base_url = base_url
        self.webhook_queue.start()
        self.scheduler.start("scheduler")

    def settings(self) -> dict[str, Any]:
        """What can be changed while it runs. A limit is ``{calls, seconds}``; ``calls`` 0 = none."""
        return {name: getattr(*attribute) for name, attribute in self._plain_settings.items()} | {
            "webhook_retry_seconds": {name: list(steps) for name, steps in self.webhook_queue.retry_seconds.items()},
            "clocks": {name: clock.as_json() for name, clock in self.clocks.items()},
            "limits": {name: {"calls": li.calls, "seconds": li.seconds} for name, li in self._limits.items()},
        }

    def change(self, sent: Mapping[str, Any]) -> None:
        """Change some settings. Raises ``ValueError`` on unknown words and values; then nothing has changed."""
        current = self.settings()
        new = current | _object(sent, "settings", current)
        limits = _object(sent.get("limits", {}), "limits", self._limits)
        limits = {name: _limit(given) for name, given in limits.items()}
        schedules = _object(sent.get("webhook_retry_seconds", {}), "webhook_retry_seconds", PARTNERS)
        schedules = {partner: _schedule(given) for partner, given in schedules.items()}
        clocks = _object(sent.get("clocks", {}), "clocks", PARTNERS)
        clocks = {partner: _clock(given, current["clocks"][partner]) for partner, given in clocks.items()}
        for name, choices in CHOICES.items():
            check_choice(name, new[name], choices)
        for name, value in current.items():
            if isinstance(value, bool) and not isinstance(new[name], bool):
                raise ValueError(f"{name} must be true or false")
        new["events_delay_seconds"] = max(0.0, float(new["events_delay_seconds"]))
        for name, (part, attribute) in self._plain_settings.items():
            setattr(part, attribute, new[name])
        self.webhook_queue.retry_seconds.update(schedules)
        for partner, setting in clocks.items():
            self.clocks[partner].set(*setting)
        for name, limit in limits.items():
            self._limits[name].set(*limit)

    def reset(self) -> None:
        """As if newly started, except for the settings."""
        with self.lock:
            self.scheduler.clear()
            self.webhook_queue.forget()
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


def _clock(given: Any, current: dict[str, float]) -> tuple[float, ...]:
    """Offset and drift; what is left out stays as it is."""
    new = current | _object(given, "a clock", current)
    return tuple(_number(new[name], name, -most, most) for name, most in MOST_OF_A_CLOCK.items())


def _limit(given: Any) -> tuple[int, float]:
    try:
        return int(given["calls"]), float(given["seconds"])
    except (KeyError, TypeError):
        raise ValueError("a limit must be an object with the numbers calls and seconds") from None


def _schedule(given: Any) -> tuple[float, ...]:
    if not isinstance(given, list) or not given:
        raise ValueError("webhook_retry_seconds must be lists of one or more numbers")
    return tuple(_number(step, "webhook_retry_seconds", 0.001, MAX_RETRY_SECONDS) for step in given)
