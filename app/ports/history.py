"""What reports are made of: the bridge's own record, and PagerDuty's statistics to hold against it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.domain.link import Link
from app.domain.names import LinkId
from app.domain.outcome import Reply
from app.domain.stats_compare import ServiceMetrics
from app.ports.memory import Tx


@dataclass(frozen=True, slots=True)
class Span:
    """From ``since`` until before ``until``."""

    since: datetime
    until: datetime


class History(Protocol):
    """Links in the order they were first seen, as they are, locking nobody out; ``tx`` may be one from ``read``."""

    def began_at(self, tx: Tx) -> datetime | None:
        """When the first link was seen; None when there is none."""
        ...

    def count(self, tx: Tx, span: Span) -> int:
        """How many links were first seen in the span."""
        ...

    def page(self, tx: Tx, span: Span, after: tuple[datetime, LinkId] | None, limit: int) -> tuple[Link, ...]:
        """The next links of the span; ``after``: when the last one before was first seen, and its number."""
        ...


class Analytics(Protocol):
    """PagerDuty's own statistics, up to 24 hours behind."""

    def of_services(
        self, service_ids: Sequence[str], since: datetime, until: datetime
    ) -> Reply[tuple[ServiceMetrics, ...]]:
        """The numbers of each service over the whole time, which is a year at most. Raises ``ValueError`` without
        services."""
        ...
