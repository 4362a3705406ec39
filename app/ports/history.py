"""What reports and backtests are made of: the bridge's own record, and PagerDuty's statistics to hold against it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from app.domain.model.outcome import Reply
from app.domain.model.types import AlertId
from app.domain.reports.backtest import PastAlert
from app.domain.reports.compare import ServiceMetrics
from app.domain.reports.record import AlertCount, IncidentTimes, ListedIncident, Names, WeeklyCount
from app.ports.store import Tx


@dataclass(frozen=True, slots=True)
class Span:
    """From ``since`` until before ``until``."""

    since: datetime
    until: datetime


@dataclass(frozen=True, slots=True)
class Scope:
    """Which figures, and as they stood when."""

    as_of: datetime
    default_service: str
    """Where incidents go whose decision names no service."""
    service_id: str | None = None
    """None: every service."""


class History(Protocol):
    """What the bridge has counted with its links, as it is, locking nobody out; ``tx`` may be one from ``read``.

    No link is read. Of an incident that has changed since ``Scope.as_of`` the counts and the times hold nothing:
    ``incidents`` has its moments.
    """

    def began_at(self, tx: Tx) -> datetime | None:
        """When the first link was seen; None when there is none."""

    def alerts(self, tx: Tx, raised: Span, scope: Scope) -> Sequence[AlertCount]:
        """The alerts raised in the span and by ``as_of``, by what became of them."""

    def counts(self, tx: Tx, triggered: Span, scope: Scope) -> Sequence[tuple[Names, Mapping[str, int]]]:
        """The incidents triggered in the span, as ``totals.counted`` counts them, by the groups they count for."""

    def times(self, tx: Tx, triggered: Span, scope: Scope) -> Iterator[tuple[Names, IncidentTimes]]:
        """The times of the same incidents, one by one, in no order."""

    def weekly(self, tx: Tx, triggered: Span, scope: Scope) -> Sequence[WeeklyCount]:
        """How many of the same incidents whoever acknowledged."""

    def incomplete(self, tx: Tx, scope: Scope) -> Sequence[tuple[datetime, datetime | None]]:
        """When each alert was raised whose history is incomplete, and when its incident was triggered, if it had
        been."""

    def incidents(self, tx: Tx, triggered: Span, scope: Scope, changed_only: bool = False) -> Iterator[ListedIncident]:
        """Every incident triggered in the span, as it stands today, the oldest first. Those that have changed since
        ``as_of``, or ``changed_only`` those, say so with their moments, by which it is known how they stood then."""


class Analytics(Protocol):
    """PagerDuty's own statistics, up to 24 hours behind."""

    def of_services(
        self, service_ids: Sequence[str], since: datetime, until: datetime
    ) -> Reply[tuple[ServiceMetrics, ...]]:
        """The numbers of each service over the whole time, which is a year at most.

        Raises ``ValueError`` without services, for then PagerDuty answers with everybody's.
        """


class PastAlerts(Protocol):
    """The stored alerts, a page at a time: the memory used does not grow with their number. ``tx`` is one from
    ``Transactions.read``; ``since`` is included, ``until`` is not."""

    def count(self, tx: Tx, since: datetime, until: datetime) -> int:
        """How many were first seen in that time."""

    def read(self, tx: Tx, since: datetime, until: datetime) -> Iterator[PastAlert]:
        """Each of them, oldest first."""

    def field_names(self, tx: Tx, *, newest_only: bool = False) -> frozenset[str] | None:
        """The names of all fields of TruthVouch's own that any stored alert ever had, or one of the newest thousand;
        None without any alert."""

    def lines(self, tx: Tx, event: str, since: datetime, until: datetime) -> Iterator[Mapping[str, Any]]:
        """The time line entries of one kind, oldest first: ``at``, ``alert_id``, ``facts``."""


class Silenced(Protocol):
    """The alerts that a silence keeps quiet."""

    def after(self, tx: Tx, link_id: int, limit: int) -> tuple[tuple[int, AlertId], ...]:
        """Link number and alert id of those that are not resolved, numbered above ``link_id``, in order; a few too
        many is possible."""
