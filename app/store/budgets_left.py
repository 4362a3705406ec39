"""What the keys may still call, for whoever only looks: nothing is taken here (``store/rate_limits.py`` does).

Of calls in an hour half may be made at once, the other half comes back evenly over the hour: so no sixty minutes ever
see more than what is allowed, and after a burst something is left to do every few seconds, not nothing for the rest of
the hour.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.domain.model.types import EPOCH, MICROSECOND, instant
from app.ports import BudgetLeft
from app.remote.replies import LONGEST_PAUSE, MICROSECONDS, Account, calls_left, pace
from app.store.plain import PlainStore

REST_BUDGET = "pagerduty-rest"


def events_budget(key: str) -> str:
    """The name of an integration key's budget: tells keys apart without telling them."""
    digest = hashlib.sha256(b"budget of " + key.encode("utf-8", "surrogatepass")).hexdigest()
    return f"pagerduty-events:{digest[:12]}"


NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
"""In PostgreSQL's words: the server's clock, which all workers share."""
_LEFT = "SELECT name, spent_until - {now}, coalesce(paused_until, 0) - {now} FROM budgets ORDER BY name"
_LEFT_SHARED, _LEFT_OWN = _LEFT.format(now=NOW), _LEFT.format(now="?")


def budgets_left(bridge: PlainStore, per_minute: Mapping[str, int], now: datetime) -> tuple[BudgetLeft, ...]:
    """What is left of these budgets, by their names and calls a minute. Raises ``StoreUnavailable``."""
    clock = (now - EPOCH) // MICROSECOND
    found = bridge.rows(_LEFT_OWN, (clock, clock)) if bridge.is_sqlite else bridge.rows(_LEFT_SHARED)
    accounts = {name: Account(spent, resting) for name, spent, resting in found}
    keys = {name: accounts.pop(name, Account()) for name in per_minute}
    parts = {name: account for name, account in accounts.items() if name.partition("/")[0] in per_minute}
    left = (BudgetLeft(name, calls_left(pace(per_minute[name]), of), _pause(of)) for name, of in keys.items())
    return (*left, *(_of_a_part(name, account) for name, account in parts.items()))


def _of_a_part(name: str, account: Account) -> BudgetLeft:
    key, _, part = name.partition("/")
    return BudgetLeft(key, None, _pause(account), part)


def _pause(account: Account) -> float:
    return min(max(0, account.paused_until), LONGEST_PAUSE) / MICROSECONDS


HOUR = timedelta(hours=1)


@dataclass(eq=False)
class HourlyCalls:
    """Calls that may be made in an hour, by one text: until when those made so far are paid for."""

    per_hour: Callable[[], int]
    """Asked anew for every call, so that an edited file counts at once; 0 = none."""

    def left_of(self, written: str | None, now: datetime) -> int:
        """How many could be made at once."""
        if self.per_hour() < 1:
            return 0
        return self._at_once + ((now - self._paid(written, now)) // self._pause)

    def paid_until(self, written: str | None, now: datetime, one_more: bool) -> datetime:
        """The same instant as of now, and after one more call."""
        until = self._paid(written, now)
        return until + self._pause if one_more else until

    def _paid(self, written: str | None, now: datetime) -> datetime:
        """Never further ahead than a full burst: a clock that was set back must not silence us for long."""
        until = instant(written) or now
        return min(max(until, now), now + self._at_once * self._pause)

    @property
    def _at_once(self) -> int:
        return max(1, self.per_hour() // 2)

    @property
    def _pause(self) -> timedelta:
        return HOUR / (self.per_hour() - self._at_once + 1)
