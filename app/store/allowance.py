"""Calls that may be made in an hour, counted over restarts and processes.

Half of them may be made at once, the other half comes back evenly over the hour: so no sixty minutes ever see more
than what is allowed, and after a burst something is left to do every few seconds, not nothing for the rest of the hour.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy as sa

from app.domain.names import instant
from app.ports import Tx
from app.store.database import connection
from app.store.marks import StoredMarks
from app.store.schema import marks

HOUR = timedelta(hours=1)


class HourlyAllowance:
    """Implements ``ports.Allowance`` with one mark: until when the calls made so far are paid for."""

    def __init__(self, name: str, per_hour: Callable[[], int]) -> None:
        """``per_hour`` is asked anew for every call, so that an edited file counts at once; 0 = none."""
        self._name = name
        self._per_hour = per_hour
        self._marks = StoredMarks()
        self._locked = sa.select(marks.c.value).where(marks.c.name == name).with_for_update()

    def take(self, tx: Tx, now: datetime) -> bool:
        """Pay for one call; False when none is left."""
        written = connection(tx).execute(self._locked).scalar_one_or_none()
        if self._per_hour() < 1:
            return False
        until, granted = self._paid_until(written, now), self._left(written, now) >= 1
        paid = (until + self._pause if granted else until).isoformat()
        if paid != written:
            self._marks.put(tx, self._name, paid)
        return granted

    def left(self, tx: Tx, now: datetime) -> int:
        """How many calls could be made at once."""
        return self._left(self._marks.read(tx, self._name), now)

    def _left(self, written: str | None, now: datetime) -> int:
        if self._per_hour() < 1:
            return 0
        return self._at_once + ((now - self._paid_until(written, now)) // self._pause)

    def _paid_until(self, written: str | None, now: datetime) -> datetime:
        """Never further ahead than a full burst: a clock that was set back must not silence us for long."""
        until = instant(written) or now
        return min(max(until, now), now + self._at_once * self._pause)

    @property
    def _at_once(self) -> int:
        return max(1, self._per_hour() // 2)

    @property
    def _pause(self) -> timedelta:
        return HOUR / (self._per_hour() - self._at_once + 1)
