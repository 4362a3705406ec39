"""What was stored, read back in one direction: for backtests and for what rules did."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol

from app.domain.backtest import PastAlert
from app.domain.names import AlertId
from app.ports.memory import Tx


class PastAlerts(Protocol):
    """The stored alerts, oldest first, a page at a time: the memory used does not grow with their number.

    ``tx`` is one from ``Transactions.read``; ``since`` is included, ``until`` is not.
    """

    def count(self, tx: Tx, since: datetime, until: datetime) -> int:
        """How many alerts were first heard of in that time."""
        ...

    def read(self, tx: Tx, since: datetime, until: datetime) -> Iterator[PastAlert]:
        """Each of them."""
        ...

    def field_names(self, tx: Tx, *, newest_only: bool = False) -> frozenset[str] | None:
        """The names of all fields of TruthVouch's own that any stored alert ever had, or one of the newest thousand;
        None without any alert."""
        ...

    def lines(self, tx: Tx, event: str, since: datetime, until: datetime) -> Iterator[Mapping[str, Any]]:
        """The time line entries of one kind, oldest first: ``at``, ``alert_id``, ``facts``."""
        ...


class Silenced(Protocol):
    """The alerts that a silence keeps quiet."""

    def after(self, tx: Tx, link_id: int, limit: int) -> tuple[tuple[int, AlertId], ...]:
        """Link number and alert id of those that are not resolved, numbered above ``link_id``, in order."""
        ...
