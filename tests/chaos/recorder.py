"""Remembers every call of a run."""

import time
from typing import Any

from tests.chaos.evidence import Write, writes_in
from tests.chaos.partners import Partners

LISTEN_SECONDS = 3.0
OVERLAP_SECONDS = 20.0
"""A call is remembered by the sandbox when it is answered, under the time of its arrival."""


class Recorder:
    """Keeps the calls of the whole run: the sandbox forgets all but the newest twenty thousand."""

    def __init__(self, partners: Partners) -> None:
        self._partners, self._listened_at = partners, time.time()
        self._since = self._listened_at
        self._calls: dict[tuple[float, str, str], dict[str, Any]] = {}

    def tick(self, force: bool = False) -> None:
        """Read the newest calls if it is time."""
        now = time.time()
        if force or now - self._listened_at > LISTEN_SECONDS:
            for call in self._partners.look("calls", since=self._since)["calls"]:
                self._calls[call["at"], call["method"], call["path"]] = call
            self._listened_at, self._since = now, now - OVERLAP_SECONDS

    def writes(self) -> list[Write]:
        """The calls so far that change something, oldest first."""
        return writes_in(self._calls.values())

    @property
    def calls(self) -> list[dict[str, Any]]:
        """All of them, oldest first."""
        return sorted(self._calls.values(), key=lambda call: float(call["at"]))
