"""One budget of calls per key, kept where everybody who calls with that key can see it.

PostgreSQL: one row per key, moved by one statement and one round trip, on the server's clock, which all workers share.
The statement is ``app.domain.budget.ask`` in SQL; a test holds the two against each other. Its commit does not wait
for the disk: what a crash of the server loses is a second of spending.

SQLite: the only worker keeps the account in memory, on a clock that nobody sets. After a start nobody knows what was
called just before it, so the account begins as if the burst had just been spent: however often the worker is
restarted, no minute holds more calls than without. What a partner asked for is written down: it survives, and a command
beside the worker heeds it, and the worker a command's, within a second.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.domain.budget import LONGEST_PAUSE, MICROSECONDS, Account, Pace, ask, horizon, pace, paused, used_up
from app.ports import Budget, StoreUnavailable
from app.store.schema import EPOCH, budgets

LOOK_SECONDS = 1.0
"""How old the knowledge of pauses may be where it is not asked for with each call: others pause too."""

SOON = 0.1
"""Seconds until asking again, after the turn came and went while we looked."""

Sleep = Callable[[float], None]


def budget(engine: sa.Engine, name: str, per_minute: int, sleep: Sleep = time.sleep) -> Budget:
    """The budget of one key. ``name`` says whose, and never holds the key itself; ``per_minute`` 0 = no budget of our
    own, only the partner's word. Opens nothing yet."""
    if engine.dialect.name == "sqlite":
        return OwnBudget(engine, name, pace(per_minute), sleep)
    return SharedBudget(engine.execution_options(isolation_level="AUTOCOMMIT"), name, pace(per_minute), sleep)


# --------------------------------------------------------------------------------------------------- one worker


_REST_ALL = sa.text(
    "INSERT INTO budgets (name, spent_until, paused_until) VALUES (:name, 0, :until)"
    " ON CONFLICT (name) DO UPDATE SET"
    " paused_until = max(min(coalesce(paused_until, 0), :longest), excluded.paused_until) RETURNING paused_until"
)
"""In SQLite's words. A shorter rest ends no longer one, and none lasts longer than the longest from now."""


class OwnBudget:
    """In memory. For a store that has one worker."""

    def __init__(
        self,
        engine: sa.Engine,
        name: str,
        pace: Pace | None,
        sleep: Sleep = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine, self._name, self._pace, self._sleep = engine, name, pace, sleep
        self._clock = clock
        self._lock = threading.Lock()
        self._accounts: dict[str, Account] = {}
        self._looked_at: dict[str, int] = {}
        self._seen: dict[str, int | None] = {}
        """The pause of each part as it was last read. It counts once, when it is new: then a clock that is set back
        cannot make it longer."""

    def take(self, reserve: float = 0.0, part: str = "") -> float:
        """As ``ports.Budget``."""
        with self._lock:
            now = int(self._clock() * MICROSECONDS)
            account = self._account("", now)
            resting = self._account(part, now).paused_until if part else 0
            both = Account(account.spent_until, max(account.paused_until, resting))
            turn = ask(self._pace, both, now, reserve)
            self._accounts[""] = Account(turn.account.spent_until, account.paused_until)
        return _wait(turn.granted, turn.wait, self._sleep)

    def pause(self, seconds: float, part: str = "") -> None:
        """As ``ports.Budget``."""
        with self._lock:
            now = int(self._clock() * MICROSECONDS)
            self._accounts[part] = paused(self._account(part, now), now, seconds)
            left = self._accounts[part].paused_until - now
        wall = _micros(datetime.now(UTC))
        told = {"name": _row(self._name, part), "until": wall + left, "longest": wall + LONGEST_PAUSE}
        with _reachable(self._engine) as connection:
            written = connection.execute(_REST_ALL, told).scalar_one()
            connection.commit()
        if written == told["until"]:  # else it is another process's longer one, and news
            self._seen[part] = written

    def _account(self, part: str, now: int) -> Account:
        account = self._accounts.get(part) or (Account() if part else used_up(self._pace, now))
        if now - self._looked_at.get(part, now - MICROSECONDS) >= LOOK_SECONDS * MICROSECONDS:
            account = paused(account, now, self._news(part))
            self._looked_at[part] = now
        self._accounts[part] = account
        return account

    def _news(self, part: str) -> float:
        """Seconds of a pause that another process, or an earlier run of this one, was asked for since the last look."""
        rest = sa.type_coerce(budgets.c.paused_until, sa.BigInteger)
        wanted = sa.select(rest).where(budgets.c.name == _row(self._name, part))
        with _reachable(self._engine) as connection:
            until = connection.execute(wanted).scalar_one_or_none()
        before, self._seen[part] = self._seen.get(part), until
        return 0.0 if until is None or until == before else (until - _micros(datetime.now(UTC))) / MICROSECONDS


# --------------------------------------------------------------------------------------------------- many workers

_NOW = "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"
_OF_THE_PART = "(SELECT paused_until FROM budgets WHERE name = :part)"
_REST = f"least(greatest(coalesce(paused_until, 0), coalesce({_OF_THE_PART}, 0)), {_NOW} + {LONGEST_PAUSE})"
_EARLIEST = f"greatest({_NOW}, {_REST})"
_SPENT = f"(greatest(least(spent_until, {_NOW} + :horizon), {_EARLIEST}) + :interval)"
_START = f"greatest({_EARLIEST}, {_SPENT} - :allowance)"

# The pieces above are ours and constant; what is not comes as parameters.
_TAKE = sa.text(
    f"UPDATE budgets SET spent_until = {_SPENT} WHERE name = :name AND {_START} - {_NOW} <= :patience"  # noqa: S608
    f" RETURNING greatest({_EARLIEST}, spent_until - :allowance) - {_NOW},"
    " set_config('synchronous_commit', 'off', true)"
)
_LOOK = sa.text(
    f"SELECT name, spent_until - {_NOW}, coalesce(paused_until, 0) - {_NOW} FROM budgets WHERE name IN (:name, :part)"  # noqa: S608
)
_FOUND = sa.text("INSERT INTO budgets (name, spent_until) VALUES (:name, 0) ON CONFLICT (name) DO NOTHING")
_PAUSE = sa.text(
    f"INSERT INTO budgets (name, spent_until, paused_until) VALUES (:name, 0, {_NOW} + :rest)"  # noqa: S608
    " ON CONFLICT (name) DO UPDATE SET paused_until ="
    f" greatest(least(coalesce(budgets.paused_until, 0), {_NOW} + {LONGEST_PAUSE}), excluded.paused_until)"
)


@dataclass
class SharedBudget:
    """In a row. ``engine`` commits by itself."""

    engine: sa.Engine
    name: str
    pace: Pace | None
    sleep: Sleep = time.sleep
    _rests: dict[str, float] = field(default_factory=dict)
    """Part -> until when, on this process's clock, as last looked up."""
    _looked_at: dict[str, float] = field(default_factory=dict)

    def take(self, reserve: float = 0.0, part: str = "") -> float:
        """As ``ports.Budget``."""
        if self.pace is None:
            return self._unless_paused(part)
        limits = {
            "name": self.name,
            "part": _row(self.name, part),
            "interval": self.pace.interval,
            "allowance": self.pace.allowance(reserve),
            "patience": self.pace.patience(reserve),
            "horizon": horizon(self.pace),
        }
        with _reachable(self.engine) as connection:
            wait = connection.execute(_TAKE, limits).scalar_one_or_none()
            if wait is None and self._is_new(connection):
                wait = connection.execute(_TAKE, limits).scalar_one_or_none()
            if wait is None:
                return self._refused(connection, part, reserve)
        return _wait(True, wait, self.sleep)

    def pause(self, seconds: float, part: str = "") -> None:
        """As ``ports.Budget``."""
        rest = min(max(0, int(seconds * MICROSECONDS)), LONGEST_PAUSE)
        with _reachable(self.engine) as connection:
            connection.execute(_PAUSE, {"name": _row(self.name, part), "rest": rest})
        self._looked_at.clear()

    def _is_new(self, connection: sa.Connection) -> bool:
        return bool(connection.execute(_FOUND, {"name": self.name}).rowcount)

    def _refused(self, connection: sa.Connection, part: str, reserve: float) -> float:
        """Seconds until it is worth asking again."""
        found = self._look(connection, part)
        spent = next((spent for name, spent, _ in found if name == self.name), 0)
        turn = ask(self.pace, Account(spent, max([0, *(rest for _, _, rest in found)])), 0, reserve)
        return SOON if turn.granted else turn.wait / MICROSECONDS

    def _unless_paused(self, part: str) -> float:
        now = time.monotonic()
        if now - self._looked_at.get(part, -LOOK_SECONDS) >= LOOK_SECONDS:
            with _reachable(self.engine) as connection:
                rests = [rest for _, _, rest in self._look(connection, part)]
            self._rests[part] = now + min(max([0, *rests]), LONGEST_PAUSE) / MICROSECONDS
            self._looked_at[part] = now
        turn = ask(None, Account(0, int((self._rests[part] - now) * MICROSECONDS)), 0)
        return _wait(turn.granted, turn.wait, self.sleep)

    def _look(self, connection: sa.Connection, part: str) -> list[Any]:
        return list(connection.execute(_LOOK, {"name": self.name, "part": _row(self.name, part)}))


def _wait(granted: bool, wait: int, sleep: Sleep) -> float:
    """Sit a short wait out; hand a long one back."""
    seconds = wait / MICROSECONDS
    if granted and seconds > 0:
        sleep(seconds)
    return 0.0 if granted else seconds


def _row(name: str, part: str) -> str:
    return f"{name}/{part}" if part else name


def _micros(at: datetime) -> int:
    return (at - EPOCH) // timedelta(microseconds=1)


@contextmanager
def _reachable(engine: sa.Engine) -> Iterator[sa.Connection]:
    """A connection whose failure is the store's."""
    try:
        with engine.connect() as connection:
            yield connection
    except sa.exc.OperationalError as fault:
        raise StoreUnavailable(str(fault.orig)) from fault
