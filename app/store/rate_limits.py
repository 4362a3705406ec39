"""One budget of calls per key, kept where everybody who calls with that key can see it.

PostgreSQL: one row per key, moved by one statement and one round trip, on the server's clock, which all workers share.
The statement is ``app.remote.replies.ask`` in SQL; a test holds the two against each other. Its commit does not wait
for the disk: what a crash of the server loses is a second of spending.

SQLite: the only worker keeps the account in memory, on a clock that nobody sets. After a start nobody knows what was
called just before it, so the account begins as if the burst had just been spent: however often the worker is
restarted, no minute holds more calls than without. What a partner asked for is written down: it survives, and a command
beside the worker heeds it, and the worker a command's, within a second.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.ports import Budget, Tx
from app.remote.replies import LONGEST_PAUSE, MICROSECONDS, Account, Pace, ask, horizon, pace, paused, used_up
from app.store.budgets_left import NOW, HourlyCalls
from app.store.database import KEY_VALUES, connection, reachable, upsert
from app.store.schema import EPOCH, budgets, key_values

READ_SECONDS = 1.0
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


_REST_ALL = sa.text(
    "INSERT INTO budgets (name, spent_until, paused_until) VALUES (:name, 0, :until)"
    " ON CONFLICT (name) DO UPDATE SET"
    " paused_until = max(min(coalesce(paused_until, 0), :longest), excluded.paused_until) RETURNING paused_until"
)
"""In SQLite's words. A shorter rest ends no longer one, and none lasts longer than the longest from now."""


@dataclass(eq=False)
class OwnBudget:
    """Implements ``ports.Budget`` in memory, for a store that has one worker."""

    engine: sa.Engine
    name: str
    pace: Pace | None
    sleep: Sleep = time.sleep
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _accounts: dict[str, Account] = field(default_factory=dict)
    _read_at: dict[str, int] = field(default_factory=dict)
    _published: int = 0
    """What is spent, as it was last written down."""
    _seen: dict[str, int | None] = field(default_factory=dict)
    """The pause of each part as it was last read. It counts once, when it is new: then a clock that is set back
    cannot make it longer."""

    def take(self, reserve: float = 0.0, part: str = "") -> float:
        with self._lock:
            now = int(self.clock() * MICROSECONDS)
            account = self._account("", now)
            resting = self._account(part, now).paused_until if part else 0
            both = Account(account.spent_until, max(account.paused_until, resting))
            turn = ask(self.pace, both, now, reserve)
            self._accounts[""] = Account(turn.account.spent_until, account.paused_until)
        return _wait(turn.granted, turn.wait, self.sleep)

    def pause(self, seconds: float, part: str = "") -> None:
        with self._lock:
            now = int(self.clock() * MICROSECONDS)
            self._accounts[part] = paused(self._account(part, now), now, seconds)
            left = self._accounts[part].paused_until - now
        wall = _micros(datetime.now(UTC))
        pause = {"name": _row(self.name, part), "until": wall + left, "longest": wall + LONGEST_PAUSE}
        with reachable(self.engine) as connection:
            written = connection.execute(_REST_ALL, pause).scalar_one()
            connection.commit()
        if written == pause["until"]:  # else it is another process's longer one, and news
            self._seen[part] = written

    def publish(self, tx: Tx) -> None:
        """Write down what is spent, for whoever shows it. Nobody counts on it: a start begins anew."""
        with self._lock:
            spent = self._accounts[""].spent_until if "" in self._accounts else self._published
            if spent == self._published:
                return
            self._published = spent
            ahead = spent - int(self.clock() * MICROSECONDS)
        at = datetime.now(UTC) + timedelta(microseconds=ahead)
        upsert(connection(tx), budgets, {"name": self.name}, {"spent_until": at})

    def _account(self, part: str, now: int) -> Account:
        account = self._accounts.get(part) or (Account() if part else used_up(self.pace, now))
        if now - self._read_at.get(part, now - MICROSECONDS) >= READ_SECONDS * MICROSECONDS:
            account = paused(account, now, self._news(part))
            self._read_at[part] = now
        self._accounts[part] = account
        return account

    def _news(self, part: str) -> float:
        """Seconds of a pause that another process, or an earlier run of this one, was asked for since the last look."""
        rest = sa.type_coerce(budgets.c.paused_until, sa.BigInteger)
        wanted = sa.select(rest).where(budgets.c.name == _row(self.name, part))
        with reachable(self.engine) as connection:
            until = connection.execute(wanted).scalar_one_or_none()
        before, self._seen[part] = self._seen.get(part), until
        return 0.0 if until is None or until == before else (until - _micros(datetime.now(UTC))) / MICROSECONDS


_OF_THE_PART = "(SELECT paused_until FROM budgets WHERE name = :part)"
_REST = f"least(greatest(coalesce(paused_until, 0), coalesce({_OF_THE_PART}, 0)), {NOW} + {LONGEST_PAUSE})"
_EARLIEST = f"greatest({NOW}, {_REST})"
_SPENT = f"(greatest(least(spent_until, {NOW} + :horizon), {_EARLIEST}) + :interval)"
_START = f"greatest({_EARLIEST}, {_SPENT} - :tolerance)"

# The pieces above are ours and constant; what is not comes as parameters.
_TAKE = sa.text(
    f"UPDATE budgets SET spent_until = {_SPENT} WHERE name = :name AND {_START} - {NOW} <= :max_wait"  # noqa: S608
    f" RETURNING greatest({_EARLIEST}, spent_until - :tolerance) - {NOW},"
    " set_config('synchronous_commit', 'off', true)"
)
_READ = sa.text(
    f"SELECT name, spent_until - {NOW}, coalesce(paused_until, 0) - {NOW} FROM budgets WHERE name IN (:name, :part)"  # noqa: S608
)
_FOUND = sa.text("INSERT INTO budgets (name, spent_until) VALUES (:name, 0) ON CONFLICT (name) DO NOTHING")
_PAUSE = sa.text(
    f"INSERT INTO budgets (name, spent_until, paused_until) VALUES (:name, 0, {NOW} + :rest)"  # noqa: S608
    " ON CONFLICT (name) DO UPDATE SET paused_until ="
    f" greatest(least(coalesce(budgets.paused_until, 0), {NOW} + {LONGEST_PAUSE}), excluded.paused_until)"
)


@dataclass(eq=False)
class SharedBudget:
    """Implements ``ports.Budget`` in a row, for many workers. ``engine`` commits by itself."""

    engine: sa.Engine
    name: str
    pace: Pace | None
    sleep: Sleep = time.sleep
    _rests: dict[str, float] = field(default_factory=dict)
    """Part -> until when, on this process's clock, as last looked up."""
    _read_at: dict[str, float] = field(default_factory=dict)

    def take(self, reserve: float = 0.0, part: str = "") -> float:
        if self.pace is None:
            return self._unless_paused(part)
        limits = {
            "name": self.name,
            "part": _row(self.name, part),
            "interval": self.pace.interval,
            "tolerance": self.pace.tolerance(reserve),
            "max_wait": self.pace.max_wait(reserve),
            "horizon": horizon(self.pace),
        }
        with reachable(self.engine) as connection:
            wait = connection.execute(_TAKE, limits).scalar_one_or_none()
            if wait is None and connection.execute(_FOUND, {"name": self.name}).rowcount:
                wait = connection.execute(_TAKE, limits).scalar_one_or_none()
            if wait is None:
                return self._refused(connection, part, reserve)
        return _wait(True, wait, self.sleep)

    def pause(self, seconds: float, part: str = "") -> None:
        rest = min(max(0, int(seconds * MICROSECONDS)), LONGEST_PAUSE)
        with reachable(self.engine) as connection:
            connection.execute(_PAUSE, {"name": _row(self.name, part), "rest": rest})
        self._read_at.clear()

    def _refused(self, connection: sa.Connection, part: str, reserve: float) -> float:
        """Seconds until it is worth asking again."""
        found = self._read(connection, part)
        spent = next((spent for name, spent, _ in found if name == self.name), 0)
        turn = ask(self.pace, Account(spent, max([0, *(rest for _, _, rest in found)])), 0, reserve)
        return SOON if turn.granted else turn.wait / MICROSECONDS

    def _unless_paused(self, part: str) -> float:
        now = time.monotonic()
        if now - self._read_at.get(part, -READ_SECONDS) >= READ_SECONDS:
            with reachable(self.engine) as connection:
                rests = [rest for _, _, rest in self._read(connection, part)]
            self._rests[part] = now + min(max([0, *rests]), LONGEST_PAUSE) / MICROSECONDS
            self._read_at[part] = now
        turn = ask(None, Account(0, int((self._rests[part] - now) * MICROSECONDS)), 0)
        return _wait(turn.granted, turn.wait, self.sleep)

    def _read(self, connection: sa.Connection, part: str) -> list[Any]:
        return list(connection.execute(_READ, {"name": self.name, "part": _row(self.name, part)}))


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


class Budgets:
    """The budget of every key over this store, the same object for the same key: on SQLite it is the only one."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        self._made: dict[tuple[str, int], Budget] = {}
        self._lock = threading.Lock()

    def __call__(self, name: str, per_minute: int) -> Budget:
        """The budget of the key of this name."""
        with self._lock:
            known = self._made.get((name, per_minute))
            if known is None:
                known = self._made[name, per_minute] = budget(self._engine, name, per_minute)
            return known

    def publish(self, tx: Tx) -> None:
        """Write down what is spent where only this process knows it. Raises ``StoreUnavailable``."""
        for made in list(self._made.values()):
            if isinstance(made, OwnBudget):
                made.publish(tx)


class StoredHourlyQuota(HourlyCalls):
    """Implements ``ports.HourlyQuota`` with one value: until when the calls made so far are paid for."""

    def __init__(self, name: str, per_hour: Callable[[], int]) -> None:
        super().__init__(per_hour)
        self._name = name
        self._locked = sa.select(key_values.c.value).where(key_values.c.name == name).with_for_update()

    def take(self, tx: Tx, now: datetime) -> bool:
        written = connection(tx).execute(self._locked).scalar_one_or_none()
        if self.per_hour() < 1:
            return False
        granted = self.left_of(written, now) >= 1
        paid = self.paid_until(written, now, granted).isoformat()
        if paid != written:
            KEY_VALUES.put(tx, self._name, paid)
        return granted

    def left(self, tx: Tx, now: datetime) -> int:
        return self.left_of(KEY_VALUES.read(tx, self._name), now)
