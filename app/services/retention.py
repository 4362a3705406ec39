"""Old rows are removed, a little at a time: whoever accepts or delivers goes first."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from app.ports import Round, RulebookSource

log = structlog.get_logger()

FIRST_AFTER_SECONDS = 60.0
EVERY_SECONDS = 3600.0
PAUSE_SECONDS = 0.05
"""Between two transactions, so that writers get their turn."""

Sweep = Callable[[datetime], Iterator[int]]
"""Removes what is older than an instant; each number is the rows of one transaction."""


@dataclass(frozen=True)
class Retention:
    """One run over everything. Ended in the middle, the next run goes on."""

    sweeps: Mapping[str, Sweep]
    """By what they sweep."""
    rulebook: RulebookSource
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    pause: Callable[[float], None] = time.sleep

    def __call__(self) -> None:
        """Remove what is older than the rulebook's retention. A broom that breaks stops no other."""
        days = self.rulebook.current().retention_days
        before = self.clock() - timedelta(days=days)
        counts = {name: self._swept(name, sweep, before) for name, sweep in self.sweeps.items()}
        log.info("retention.done", days=days, **counts)

    def _swept(self, name: str, sweep: Sweep, before: datetime) -> int:
        count = 0
        try:
            for removed in sweep(before):
                count += removed
                self.pause(PAUSE_SECONDS)
        except Exception as fault:
            log.exception("retention.broke", what=name, reason=type(fault).__name__)
        return count


def retention_round(retention: Retention) -> Round:
    """The run as the leader's round: a minute after the start, then every hour."""
    return Round("retention", EVERY_SECONDS, retention, first_after_seconds=FIRST_AFTER_SECONDS)
