"""Use case: an open incident that nobody armed is armed: an older worker opened it, or it was there before the levels.

Whoever learns of an incident arms it in the same transaction (``escalations``); a worker that knows nothing of levels
does not. The leader looks once a minute, without waiting for a word: what needs an escalation most, nobody talks of.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from app.ports import Climbs, Round, Transactions
from app.services.escalations import Escalations, deserves_one

log = structlog.get_logger()

EVERY_SECONDS = 60.0
YOUNG = timedelta(days=1)
"""Alerts first seen longer ago are left alone: whoever adds levels wakes nobody for old matters. It is less than a
finished climb is kept (three days at least), so none that has been is armed again."""


@dataclass(frozen=True)
class ArmMissed:
    """Arms what is open and has no climb."""

    transactions: Transactions
    climbs: Climbs
    escalations: Escalations
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)

    def __call__(self) -> int:
        """How many were armed. Safe to run again after any crash. Raises ``StoreUnavailable``."""
        if not self.escalations.has_levels():
            return 0
        with self.transactions.read() as tx:
            links = self.climbs.missing(tx, self.clock() - YOUNG)
        wanted = dict.fromkeys(link.incident_id for link in links if link.incident_id and deserves_one(link))
        armed = 0
        for incident_id in wanted:
            with self.transactions.begin() as tx:
                armed += self.escalations.found(tx, incident_id, self.clock())
        if armed:
            log.info("escalations.found", armed=armed)
        return armed


def missed_round(arm: Callable[[], object]) -> Round:
    """The look as the leader's round."""

    def look() -> None:
        arm()

    return Round("escalation-missed", EVERY_SECONDS, look)
