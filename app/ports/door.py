"""The durable door: what a web process stores, and how intake sees it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.domain.names import Source
from app.ports.memory import Tx


class StoreUnavailable(Exception):
    """Nothing can be stored now: disk full, database gone. The sender must try again."""


class SeatLost(Exception):
    """The lock that lets this worker work is gone with its session: end, and sit down anew."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One authentic webhook delivery, as bytes."""

    source: Source
    delivery_id: str
    received_at: datetime
    body: bytes
    request_id: str = ""
    content_encoding: str | None = None
    secret_index: int = 0
    """Which configured secret proved it, 0 = the newest at that time."""


@dataclass(frozen=True, slots=True)
class InboxRow:
    """A stored delivery and its place in the order of arrival."""

    inbox_id: int
    delivery: Delivery


class Inbox(Protocol):
    """The durable door. ``add`` returns only after fsync."""

    def add(self, delivery: Delivery) -> bool:
        """True if new, False if this (source, delivery id) is already stored. Raises ``StoreUnavailable``."""
        ...

    def newest_of(self, source: Source, series: str) -> tuple[int, str] | None:
        """The newest delivery whose id begins with ``series`` (lower-case letters and digits) and goes on with a
        hexadecimal digit: its number and its id. Raises ``StoreUnavailable``."""
        ...

    def check_writable(self) -> None:
        """Prove by writing that a delivery could be stored. Raises ``StoreUnavailable``."""
        ...


class Arrivals(Protocol):
    """Intake's view of the inbox: in the order of arrival, each row taken once."""

    def next_rows(self, tx: Tx, limit: int) -> tuple[InboxRow, ...]:
        """The oldest rows not yet taken in."""
        ...

    def row(self, tx: Tx, inbox_id: int) -> InboxRow | None:
        """One row, taken or not; None when it is kept no more."""
        ...

    def mark_taken(self, tx: Tx, rows: Sequence[InboxRow], at: datetime) -> None:
        """Commits with the effect of the rows, so that a row is taken exactly once."""
        ...


class Bell(Protocol):
    """Wakes the intake the moment a delivery is stored. A lost ring costs one poll interval, never an event."""

    def ring(self) -> None: ...

    def wait(self, timeout: float) -> bool:
        """True when rung, False after ``timeout`` seconds."""
        ...
