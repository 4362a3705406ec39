"""Everything the sandbox is, in one object: both partners, their post, the faults, the memory of calls."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.sandbox.calls import Calls
from app.sandbox.faults import Faults
from app.sandbox.later import Later
from app.sandbox.limits import Limit
from app.sandbox.outbox import Outbox
from app.sandbox.pagerduty.account import Account
from app.sandbox.postman import Post, Postman
from app.sandbox.stamps import Names
from app.sandbox.truthvouch.alert import ENVELOPES, SIGNATURES
from app.sandbox.truthvouch.organization import Organization

DEFAULT_TRUTHVOUCH_SECRET = "whsec_sandbox_truthvouch"
DEFAULT_PAGERDUTY_SECRET = "sandbox-pagerduty-secret"


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
        self.bridge_url = setup.bridge_url.rstrip("/")
        self.calls, self.faults, self.later = Calls(), Faults(), Later(clock)
        self.outbox = Outbox(post or Postman(), clock)
        self.pagerduty = Account(
            self.lock, clock, self.names, self.outbox, self.later, setup.pagerduty_secret, lambda: self.bridge_url
        )
        self.truthvouch = Organization(
            self.lock, clock, self.names, self.outbox, setup.truthvouch_secret, lambda: self.bridge_url
        )
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
            "limits": {name: {"calls": li.calls, "seconds": li.seconds} for name, li in self._limits().items()},
        }

    def change(self, wish: Mapping[str, Any]) -> None:
        """Change some settings. Raises ``ValueError`` on unknown words and values; then nothing has changed."""
        new = self.settings() | dict(wish)
        limits = {name: (int(li["calls"]), float(li["seconds"])) for name, li in dict(new["limits"]).items()}
        if set(new) - set(self.settings()) or set(limits) - set(self._limits()):
            raise ValueError(f"settings are {', '.join(self.settings())}; limits are {', '.join(self._limits())}")
        if new["signature"] not in SIGNATURES or new["envelope"] not in ENVELOPES:
            raise ValueError("no such signature or envelope")
        self.pagerduty.events.delay_seconds = max(0.0, float(new["events_delay_seconds"]))
        self.truthvouch.signature, self.truthvouch.envelope = new["signature"], new["envelope"]
        self.truthvouch.reopen_is_refused = bool(new["truthvouch_refuses_reopen"])
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
