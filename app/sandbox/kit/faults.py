"""Faults to order: the simulated partners misbehave exactly as they are told. And what was asked of them."""

import json
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import count
from typing import Any
from urllib.parse import parse_qs

from app.sandbox.kit.support import PARTNERS, check_choice


class FaultKind(StrEnum):
    """``status`` answers without doing; ``slow`` does it after ``seconds``; ``reset_before`` resets the connection
    without doing, ``reset_after`` after doing; ``refuse`` hangs up without a byte and without doing.
    ``wrong_secret`` is about webhooks, not requests: the partner signs them with another secret."""

    STATUS = "status"
    SLOW = "slow"
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    REFUSE = "refuse"
    WRONG_SECRET = "wrong_secret"


@dataclass(slots=True)
class Fault:
    """One kind of misbehaviour, for the requests it matches; the fields are those that the control API shows."""

    id: int
    kind: FaultKind
    partner: str
    method: str | None
    path_regex: str | None
    status: int | None
    headers: dict[str, str]
    seconds: float
    times: int | None
    """How often it still strikes; None = until it is taken away."""
    hits: int = 0

    @property
    def hangs_up(self) -> bool:
        return self.kind in (FaultKind.RESET_BEFORE, FaultKind.RESET_AFTER, FaultKind.REFUSE)

    def matches(self, partner: str, method: str, path: str) -> bool:
        """Whether it strikes this request."""
        return (
            self.kind is not FaultKind.WRONG_SECRET
            and self._concerns(partner)
            and self.method in (None, method)
            and re.search(self.path_regex or "", path) is not None
        )

    def spoils_webhooks_of(self, partner: str) -> bool:
        """Whether it strikes this partner's webhooks."""
        return self.kind is FaultKind.WRONG_SECRET and self._concerns(partner)

    def _concerns(self, partner: str) -> bool:
        return (self.times is None or self.times > 0) and self.partner in ("any", partner)


class Faults:
    """The faults in force, oldest first; the first that matches strikes."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._serial = count(1)
        self._lock = threading.Lock()

    def order(self, sent: Mapping[str, Any]) -> Fault:
        """Put a fault in force. Raises ``ValueError`` on an order that cannot be read."""
        with self._lock:
            fault = _read_fault(sent, next(self._serial))
            self._faults.append(fault)
            return fault

    def strike(self, partner: str, method: str, path: str) -> Fault | None:
        """The fault that this request meets, counted; None for an ordinary request."""
        return self._first(lambda fault: fault.matches(partner, method, path))

    def signs_wrongly(self, partner: str) -> bool:
        """Whether a webhook of this partner meets a fault, counted like a request."""
        return self._first(lambda fault: fault.spoils_webhooks_of(partner)) is not None

    def _first(self, strikes: Callable[[Fault], bool]) -> Fault | None:
        if not self._faults:
            return None
        with self._lock:
            fault = next(filter(strikes, self._faults), None)
            if fault is not None:
                fault.hits += 1
                fault.times = None if fault.times is None else fault.times - 1
            return fault

    def clear(self, fault_id: int | None = None) -> None:
        """Take away one fault, or all."""
        with self._lock:
            self._faults = [] if fault_id is None else [f for f in self._faults if f.id != fault_id]

    def as_json(self) -> list[dict[str, Any]]:
        with self._lock:
            return [asdict(fault) for fault in self._faults]


def _read_fault(sent: Mapping[str, Any], fault_id: int) -> Fault:
    kind, partner = sent.get("kind", FaultKind.STATUS), sent.get("partner") or "any"
    check_choice("kind", kind, FaultKind)
    check_choice("partner", partner, (*PARTNERS, "any"))
    try:
        status = int(sent.get("status") or 503)
        return Fault(
            id=fault_id,
            kind=FaultKind(kind),
            partner=partner,
            method=str(sent.get("method") or "").upper() or None,
            path_regex=re.compile(str(sent.get("path_regex") or "")).pattern or None,
            status=status if kind == FaultKind.STATUS else None,
            headers={str(name): str(value) for name, value in dict(sent.get("headers") or {}).items()},
            seconds=max(0.0, float(sent.get("seconds") or 0)),
            times=None if sent.get("times") is None else int(sent["times"]),
        )
    except (TypeError, re.error) as unreadable:
        raise ValueError(str(unreadable)) from unreadable


MAX_CALLS = 20_000
"""As many requests are remembered, the newest."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a simulated partner and how it was answered."""

    at: float
    """Epoch seconds of its arrival."""
    partner: str
    method: str
    path: str
    query_string: str
    raw_body: bytes
    status: int | None
    """None when a fault hung up instead of answering."""
    seconds: float
    """From arrival to answer."""
    from_email: str
    fault: FaultKind | None
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
            "fault": self.fault,
        }


def find_calls(calls: Iterable[Call], partner: str, method: str, path: str, since: float) -> list[Call]:
    """Oldest first; empty words match everything, ``path`` is a part of it, ``since`` is epoch seconds."""
    return [
        call
        for call in list(calls)
        if call.at >= since
        and partner in ("", call.partner)
        and method.upper() in ("", call.method)
        and path in call.path
    ]


def _readable(raw: bytes) -> Any:
    try:
        return json.loads(raw or b"null")
    except ValueError:
        return raw.decode("utf-8", "replace")
