"""Remembers every call and every webhook of a run."""

import time
from typing import Any

from tests.chaos.evidence import Webhook, Write, webhooks_in, writes_in
from tests.chaos.partners import Partners

LISTEN_SECONDS = 3.0
OVERLAP_SECONDS = 20.0
"""A call is remembered by the sandbox when it is answered, under the time of its arrival."""
WEBHOOKS_KEPT = 500
"""So many of the newest webhooks the sandbox shows: a half minute of them."""


class Recorder:
    """Keeps the calls and webhooks of the whole run: the sandbox forgets all but the newest."""

    def __init__(self, partners: Partners) -> None:
        self._partners, self._listened_at = partners, time.time()
        self._since = self._listened_at
        self._calls: dict[tuple[float, str, str], dict[str, Any]] = {}
        self._webhooks: dict[tuple[float, str, str], Webhook] = {}
        self._logged_at = 0.0

    def tick(self, force: bool = False) -> None:
        """Read the newest if it is time; the calls also where ``force`` says so."""
        now = time.time()
        if force or now - self._listened_at > LISTEN_SECONDS:
            for call in self._partners.look("calls", since=self._since)["calls"]:
                self._calls[call["at"], call["method"], call["path"]] = call
            self._listened_at, self._since = now, now - OVERLAP_SECONDS
        if now - self._logged_at > LISTEN_SECONDS:
            self._logged_at = now
            self.read_webhooks()

    def read_webhooks(self) -> None:
        """Read the newest webhooks: what became of them may be known only now."""
        for webhook in webhooks_in(self._partners.look("log", limit=WEBHOOKS_KEPT)["webhooks"]):
            self._webhooks[webhook.at, webhook.event, webhook.subject] = webhook

    def writes(self) -> list[Write]:
        """The calls so far that change something, oldest first."""
        return writes_in(self._calls.values())

    @property
    def webhooks(self) -> list[Webhook]:
        """All of them, oldest first; of those that were doubled one."""
        return sorted(self._webhooks.values(), key=lambda webhook: webhook.at)

    @property
    def calls(self) -> list[dict[str, Any]]:
        """All of them, oldest first."""
        return sorted(self._calls.values(), key=lambda call: float(call["at"]))
