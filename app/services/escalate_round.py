"""What is due is done, several incidents at a time: a slow one delays no other."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import structlog

from app.domain.names import IncidentId
from app.ports import Climbs, Round, StoreUnavailable, Transactions

log = structlog.get_logger()

EVERY_SECONDS = 0.3
AT_ONCE = 4
"""Incidents in hand at a time."""
REST_SECONDS = 15.0
"""Until one that broke is tried again: it is due all the while, and must not take the turn of the others."""
LOOK = 50
"""Due incidents looked up at a time; those in hand are among them."""


@dataclass
class EscalationRound:
    """Starts whatever is due and not in hand. Never waits for it."""

    transactions: Transactions
    climbs: Climbs
    escalate: Callable[[IncidentId], str]
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    _in_hand: set[IncidentId] = field(default_factory=set)
    _resting: dict[IncidentId, datetime] = field(default_factory=dict)
    """Those that broke, and until when they are left alone."""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __call__(self) -> None:
        """One look. Raises ``StoreUnavailable``."""
        now = self.clock()
        with self._lock:
            self._resting = {incident_id: until for incident_id, until in self._resting.items() if now < until}
            at_most = LOOK + len(self._resting)
        with self.transactions.read() as tx:
            due = self.climbs.due(tx, now, at_most)
        for incident_id in due:
            if not self._take(incident_id):
                continue
            name = f"escalate-{incident_id}"
            # Not a pool's thread: the end of the process does not wait for these, and what they leave is done again.
            threading.Thread(target=self._run, args=(incident_id,), name=name, daemon=True).start()

    def _take(self, incident_id: IncidentId) -> bool:
        with self._lock:
            if incident_id in self._in_hand or incident_id in self._resting or len(self._in_hand) >= AT_ONCE:
                return False
            self._in_hand.add(incident_id)
            return True

    def _run(self, incident_id: IncidentId) -> None:
        try:
            self.escalate(incident_id)
        except StoreUnavailable as fault:
            log.error("store.unavailable", reason=str(fault)[:200])
        except Exception:
            log.exception("escalation.broke", incident_id=incident_id)
            with self._lock:
                self._resting[incident_id] = self.clock() + timedelta(seconds=REST_SECONDS)
        finally:
            with self._lock:
                self._in_hand.discard(incident_id)


def escalation_round(look: Callable[[], None]) -> Round:
    """The look as the leader's round."""
    return Round("escalation", EVERY_SECONDS, look)
