"""The memory of what was asked of the simulated partners: the last twenty thousand requests."""

import json
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

MAX_CALLS = 20_000


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a simulated partner and how it was answered."""

    at: float
    """Epoch seconds of its arrival."""
    partner: str
    """``pagerduty`` or ``truthvouch``."""
    method: str
    path: str
    query_string: str
    raw_body: bytes
    status: int | None
    """None when a fault hung up instead of answering."""
    seconds: float
    """From arrival to answer."""
    from_email: str = ""
    fault: str = ""
    """The kind of the fault that interfered, if one did."""

    def as_json(self) -> dict[str, Any]:
        """The shape of ``GET /sandbox/calls``; ``body`` is JSON where it was JSON, else text, else null."""
        return {
            "at": self.at,
            "partner": self.partner,
            "method": self.method,
            "path": self.path,
            "query": parse_qs(self.query_string, keep_blank_values=True),
            "body": _readable(self.raw_body),
            "status": self.status,
            "milliseconds": round(self.seconds * 1000, 1),
            "from": self.from_email or None,
            "fault": self.fault or None,
        }


class Calls:
    """Appending is atomic, so that a request never waits for a reader."""

    def __init__(self) -> None:
        self._kept: deque[Call] = deque(maxlen=MAX_CALLS)

    def add(self, call: Call) -> None:
        self._kept.append(call)

    def clear(self) -> None:
        self._kept.clear()

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, partner: str = "", method: str = "", path: str = "", since: float = 0.0) -> list[Call]:
        """Oldest first; empty words match everything, ``path`` is a part of it, ``since`` is epoch seconds."""
        return [
            call
            for call in list(self._kept)
            if call.at >= since
            and partner in ("", call.partner)
            and method.upper() in ("", call.method)
            and path in call.path
        ]

    def newest(self, limit: int) -> Iterable[Call]:
        """At most ``limit`` calls, newest first."""
        return list(self._kept)[: -limit - 1 : -1]


def _readable(raw: bytes) -> Any:
    if not raw:
        return None
    try:
        return json.loads(raw)
    except ValueError:
        return raw.decode("utf-8", "replace")
