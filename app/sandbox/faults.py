"""Faults to order: the simulated partners misbehave exactly as they are told."""

import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count
from typing import Any

KINDS = ("status", "slow", "reset_before", "reset_after", "refuse")
PARTNERS = ("pagerduty", "truthvouch", "any")


class BadFault(ValueError):
    """The order for a fault makes no sense; the text says why."""


@dataclass(slots=True)
class Fault:
    """One kind of misbehaviour, for the requests it matches.

    ``status`` answers without doing; ``slow`` does it after ``seconds``; ``reset_before`` resets the connection
    without doing, ``reset_after`` after doing; ``refuse`` hangs up without a byte and without doing.
    """

    fault_id: int
    kind: str
    partner: str = "any"
    method: str = ""
    path: re.Pattern[str] = field(default_factory=lambda: re.compile(""))
    status: int = 503
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    times: int | None = None
    """How often it still strikes; None = until it is taken away."""
    hits: int = 0

    def matches(self, partner: str, method: str, path: str) -> bool:
        return (
            (self.times is None or self.times > 0)
            and self.partner in ("any", partner)
            and self.method in ("", method)
            and self.path.search(path) is not None
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "id": self.fault_id,
            "kind": self.kind,
            "partner": self.partner,
            "method": self.method or None,
            "path_regex": self.path.pattern or None,
            "status": self.status if self.kind == "status" else None,
            "headers": self.headers,
            "seconds": self.seconds,
            "times": self.times,
            "hits": self.hits,
        }


class Faults:
    """The faults in force, oldest first; the first that matches strikes."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._serial = count(1)
        self._lock = threading.Lock()

    def order(self, wish: Mapping[str, Any]) -> Fault:
        """Put a fault in force. Raises ``BadFault`` on an order that cannot be read."""
        with self._lock:
            fault = read_fault(wish, next(self._serial))
            self._faults.append(fault)
            return fault

    def strike(self, partner: str, method: str, path: str) -> Fault | None:
        """The fault that this request meets, counted; None for an ordinary request."""
        if not self._faults:
            return None
        with self._lock:
            for fault in self._faults:
                if fault.matches(partner, method, path):
                    fault.hits += 1
                    fault.times = None if fault.times is None else fault.times - 1
                    return fault
        return None

    def clear(self, fault_id: int | None = None) -> None:
        """Take away one fault, or all."""
        with self._lock:
            self._faults = [] if fault_id is None else [f for f in self._faults if f.fault_id != fault_id]

    def as_json(self) -> list[dict[str, Any]]:
        with self._lock:
            return [fault.as_json() for fault in self._faults]


def read_fault(wish: Mapping[str, Any], fault_id: int) -> Fault:
    """The fault that a JSON object orders. Raises ``BadFault``."""
    kind, partner = wish.get("kind", "status"), wish.get("partner") or "any"
    if kind not in KINDS:
        raise BadFault(f"kind must be one of {', '.join(KINDS)}")
    if partner not in PARTNERS:
        raise BadFault(f"partner must be one of {', '.join(PARTNERS)}")
    try:
        return Fault(
            fault_id=fault_id,
            kind=kind,
            partner=partner,
            method=str(wish.get("method") or "").upper(),
            path=re.compile(str(wish.get("path_regex") or "")),
            status=int(wish.get("status") or 503),
            headers={str(name): str(value) for name, value in dict(wish.get("headers") or {}).items()},
            seconds=max(0.0, float(wish.get("seconds") or 0)),
            times=None if wish.get("times") is None else int(wish["times"]),
        )
    except (TypeError, ValueError, re.error) as unreadable:
        raise BadFault(str(unreadable)) from unreadable
