"""Copies a SQLite store into PostgreSQL while the bridge works on it.

From the first moment on triggers write down which rows change, in a table beside them. Every table is copied once, in
pages; then what has changed since is read again, as of one snapshot, until little is left. Once no worker works, the
rest follows in a moment, and the old store is closed before the new one is opened: at no time do two bridges work.

What the engine has in hand is not copied. The links say what is owed, and the first worker on the new store sees to it.
"""

import fcntl
import json
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert as postgres_insert

from app.domain.sync.circuit_breaker import DOWN, PAUSED
from app.ports import COPIED, Tx
from app.store.backup import FILES, is_nobodys
from app.store.database import (
    CLOSED,
    KEY_VALUES,
    Database,
    StoreClosed,
    connection,
    known,
    open_bridge,
    open_inbox,
    stored,
    unavailable,
)
from app.store.health import WORKER_SEEN
from app.store.inbox_reader import LAST_TAKEN, is_inbox_of
from app.store.inbox_sqlite import CURSOR
from app.store.migrate import migrate
from app.store.plain import StoreRefused, check_made
from app.store.schema import (
    Instant,
    access_tokens,
    bridge,
    claims,
    inbox,
    key_values,
    links,
    rule_drafts,
    stored_silences,
    worker_configurations,
)
from app.store.worker_leases import workers_kept_out

OWN = "copy."
"""How the keys of a copy under way begin; none of them is copied."""
COPY_ID, POSITION = f"{OWN}id", f"{OWN}position."
EVERY_ROW = "all"
LOGGED, FENCED = "copy_logged", "store_closed"
"""How our triggers' names begin."""
NOT_COPIED = (claims, worker_configurations)
"""What the workers of one store have in hand, and who they are."""
ROWS_AT_ONCE, BODIES_AT_ONCE = 500, 50
UNFINISHED = (
    "A copy into this store is not complete, so no bridge may work on it. Run `truthvouch store copy` again where it "
    "was started: it goes on where it was. docs/operating.md, Moving to PostgreSQL, says how to give it up."
)
MOVED = (
    "Everything in this store was copied to PostgreSQL ({where}) at {at}, and the bridge goes on there: start it with "
    "DATABASE_URL. To go back to this store, as it was then, stop the bridge there and run `truthvouch store copy "
    "--undo` here. docs/operating.md, Moving to PostgreSQL, says what that means."
)

Key = tuple[Any, ...]
Progress = Callable[[int, int], None]
"""How many rows of how many are done. Each is copied, and then compared."""


@dataclass(frozen=True)
class Part:
    """One table, with every instant as the number that it is on both stores."""

    table: sa.Table
    where: sa.ColumnElement[bool]

    @cached_property
    def key(self) -> tuple[sa.Column[Any], ...]:
        return tuple(self.table.primary_key)

    @cached_property
    def rows_at_once(self) -> int:
        return BODIES_AT_ONCE if any(isinstance(one.type, sa.LargeBinary) for one in self.table.c) else ROWS_AT_ONCE

    def key_of(self, row: Mapping[str, Any]) -> Key:
        return tuple(row[column.name] for column in self.key)

    def is_in(self, keys: Sequence[Key]) -> sa.ColumnElement[bool]:
        if len(self.key) == 1:
            return self.key[0].in_([key[0] for key in keys])
        return sa.tuple_(*self.key).in_(keys)

    def page(self, reader: sa.Connection, after: Key | None) -> list[dict[str, Any]]:
        query = sa.select(self.table).where(self.where).order_by(*self.key).limit(self.rows_at_once)
        if after is not None:
            place = [sa.literal(value, column.type) for value, column in zip(after, self.key, strict=True)]
            query = query.where(sa.tuple_(*self.key) > sa.tuple_(*place))
        return [dict(row) for row in reader.execute(query).mappings()]

    def some(self, reader: sa.Connection, keys: Sequence[Key]) -> list[dict[str, Any]]:
        return [
            dict(row) for row in reader.execute(sa.select(self.table).where(self.is_in(keys), self.where)).mappings()
        ]

    def count(self, reader: sa.Connection) -> int:
        return int(reader.execute(sa.select(sa.func.count()).select_from(self.table).where(self.where)).scalar_one())

    def compared(self, rows: Iterable[Mapping[str, Any]]) -> dict[Key, tuple[Any, ...]]:
        """Rows by their keys. Whether a delivery was taken in is a cursor in the one store and a flag in the other."""
        names = [column.name for column in self.table.c if (self.table.name, column.name) != ("inbox", "taken_at")]
        return {self.key_of(row): tuple(row[name] for name in names) for row in rows}


def _part(table: sa.Table) -> Part:
    columns = [
        sa.Column(
            one.name,
            sa.BigInteger() if isinstance(one.type, Instant) else one.type,
            primary_key=one.primary_key,
            autoincrement=False,
        )
        for one in table.columns
    ]
    plain = sa.Table(table.name, sa.MetaData(), *columns)
    if table is not key_values:
        return Part(plain, sa.true())
    name = plain.c.name
    begins = [name.startswith(text, autoescape=True) for text in (WORKER_SEEN, OWN, PAUSED, DOWN)]
    return Part(plain, sa.not_(sa.or_(name.in_((CURSOR, LAST_TAKEN, CLOSED, COPIED)), *begins)))


@dataclass(frozen=True)
class _File:
    """One of the two SQLite files, and what is copied of it."""

    database: Database
    parts: Mapping[str, Part]

    @contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        with self.database.engine.connect() as reader:
            reader.exec_driver_sql("BEGIN")
            yield reader

    def log_changes(self, writer: sa.Connection) -> None:
        """From now on, write down which rows change."""
        writer.exec_driver_sql(
            "CREATE TABLE IF NOT EXISTS copy_changes (n INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, key TEXT)"
        )
        for part in self.parts.values():
            for act, row in (("INSERT", "NEW"), ("UPDATE", "OLD"), ("DELETE", "OLD")):
                key = ", ".join(f'{row}."{column.name}"' for column in part.key)
                body = f"INSERT INTO copy_changes (name, key) VALUES ('{part.table.name}', json_array({key}))"  # noqa: S608
                _trigger(writer, LOGGED, "AFTER", act, part, body)

    def close(self, writer: sa.Connection) -> None:
        """Let nobody write any more, whoever still has it open. The log of changes is not needed then."""
        self.forget(writer)
        for part in self.parts.values():
            for act in ("INSERT", "UPDATE", "DELETE"):
                body = "SELECT RAISE(ABORT, 'everything in this store was copied to PostgreSQL')"
                _trigger(writer, FENCED, "BEFORE", act, part, body)

    def forget(self, writer: sa.Connection) -> None:
        """Drop everything of ours."""
        ours = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND (name GLOB ? OR name GLOB ?)"
        for (name,) in writer.exec_driver_sql(ours, (f"{LOGGED}_*", f"{FENCED}_*")).all():
            writer.exec_driver_sql(f'DROP TRIGGER "{name}"')
        writer.exec_driver_sql("DROP TABLE IF EXISTS copy_changes")


def _trigger(writer: sa.Connection, begins: str, when: str, act: str, part: Part, body: str) -> None:
    name = part.table.name
    writer.exec_driver_sql(
        f'CREATE TRIGGER IF NOT EXISTS {begins}_{name}_{act.lower()} {when} {act} ON "{name}" BEGIN {body}; END'
    )


def _pages(part: Part, keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    for start in range(0, len(keys), part.rows_at_once):
        yield keys[start : start + part.rows_at_once]


class StoreCopy:
    """One copy: whoever runs it again goes on where it was. Everything may raise ``StoreUnavailable`` and
    ``StoreRefused``."""

    def __init__(self, data_dir: Path, url: str, progress: Progress, clock: Callable[[], datetime]) -> None:
        check_made(data_dir, None)
        self._data_dir, self._progress, self._clock = data_dir, progress, clock
        address = sa.make_url(url)
        self.where = f"{address.host or 'local'}/{address.database}"
        """The target, for people: without a password."""
        parts = {table.name: _part(table) for table in bridge.sorted_tables if table not in NOT_COPIED}
        self._bridge = _File(Database(open_bridge(data_dir, None)), parts)
        self._inbox = _File(Database(open_inbox(data_dir, None)), {inbox.name: _part(inbox)})
        self._files = (self._bridge, self._inbox)
        self._target = Database(open_bridge(data_dir, url))
        self._rows = self._done = 0

    def dispose(self) -> None:
        """Give every connection back."""
        for database in (self._bridge.database, self._inbox.database, self._target):
            database.engine.dispose()

    def run(self, ask_to_stop: Callable[[], None], wait: Callable[[], None]) -> Mapping[str, int]:
        """Copy everything; the answer is the rows of each table. ``ask_to_stop``: says that the bridge is to be stopped
        now; ``wait``: lets a moment go by."""
        try:
            with self._alone():
                if self._begin():
                    self._copy_all()
                    if not self._finish():
                        ask_to_stop()
                        while not self._finish():
                            self._follow()
                            wait()
                return self._open_target()
        except (sa.exc.SQLAlchemyError, sqlite3.Error) as fault:
            raise unavailable(fault) from fault

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Of two copies one would bring back what the other has seen to."""
        with (self._data_dir / "copy.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as fault:
                raise StoreRefused("Another `truthvouch store copy` works on this store.") from fault
            yield

    # ---------------------------------------------------------------------------------------------------- beginning

    def _begin(self) -> bool:
        """Whether there is anything to copy: not if this copy has closed the old store already."""
        for branch, file in (("bridge", self._bridge), ("inbox", self._inbox)):
            if stored(file.database.engine, branch) != known(branch)[-1]:
                raise StoreRefused("This store has another version: start this version of the bridge on it once.")
        with self._bridge.database.read() as tx:
            copy_id, closed = KEY_VALUES.read(tx, COPY_ID), KEY_VALUES.read(tx, CLOSED)
        there = self._id_there()
        if closed is not None:
            if copy_id is None or there != copy_id:
                raise StoreClosed(closed)
            return False
        with workers_kept_out(self._target.engine, self._data_dir) as workers:
            if workers:
                raise StoreRefused(f"A bridge works on {self.where}: stop it, and name a database of its own.")
        copy_id = copy_id or uuid.uuid4().hex
        if there != copy_id:
            self._check_empty()
        elif stored(self._target.engine, "bridge") != known("bridge")[-1]:
            raise StoreRefused("Another version began this copy: give it up with --undo, and use an empty database.")
        for file in self._files:
            with file.database.begin() as tx:
                file.log_changes(connection(tx))
                if file is self._bridge:
                    KEY_VALUES.put(tx, COPY_ID, copy_id)
        if there != copy_id:
            self._take_possession(copy_id)
        return True

    def _id_there(self) -> str | None:
        if not stored(self._target.engine, "bridge"):
            return None
        with self._target.read() as tx:
            return KEY_VALUES.read(tx, COPY_ID)

    def _check_empty(self) -> None:
        """The tables are made where there are none."""
        migrate(self._target.engine, self._target.engine, self._data_dir)
        with self._target.read() as tx:
            for table in (links, inbox, access_tokens, stored_silences, rule_drafts):
                if connection(tx).execute(sa.select(sa.exists().select_from(table))).scalar_one():
                    raise StoreRefused(f"{self.where} is the store of a bridge already: name an empty database.")

    def _take_possession(self, copy_id: str) -> None:
        with self._target.begin() as tx:
            for file in self._files:
                for part in file.parts.values():
                    connection(tx).execute(sa.delete(part.table))
            KEY_VALUES.put(tx, COPY_ID, copy_id)
            KEY_VALUES.put(tx, CLOSED, UNFINISHED)

    # ------------------------------------------------------------------------------------------------------- copying

    def _copy_all(self) -> None:
        self._rows = self._done = 0
        for file in self._files:
            with file.database.read() as tx:
                self._rows += sum(part.count(connection(tx)) for part in file.parts.values())
        for file in self._files:
            for part in file.parts.values():
                self._copy(file, part)
                self._follow(file)
        for file in self._files:
            for part in file.parts.values():
                self._compare(file, part)
            self._follow(file)
        with self._target.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as session:
            session.exec_driver_sql("ANALYZE")  # else the first questions would be planned for empty tables

    def _copy(self, file: _File, part: Part) -> None:
        name = POSITION + part.table.name
        with self._target.read() as tx:
            position = KEY_VALUES.read(tx, name)
            if position:  # a copy that was interrupted
                self._has_done(part.count(connection(tx)))
        while position != EVERY_ROW:
            with file.database.read() as tx:
                rows = part.page(connection(tx), json.loads(position) if position else None)
            with self._target.begin() as tx:
                # What stands in the way has changed since it was copied: then it is in the log, and the comparison
                # brings this row.
                insert = postgres_insert(part.table).on_conflict_do_nothing()
                self._write(connection(tx), part, rows, insert)
                position = json.dumps(part.key_of(rows[-1])) if len(rows) == part.rows_at_once else EVERY_ROW
                KEY_VALUES.put(tx, name, position)
            self._has_done(len(rows))

    def _has_done(self, rows: int) -> None:
        self._done += rows
        self._progress(min(self._done, 2 * self._rows), 2 * self._rows)

    def _write(self, writer: sa.Connection, part: Part, rows: Sequence[dict[str, Any]], insert: Any) -> None:
        if rows and part.table.name == inbox.name:
            cursor = self._cursor()
            for row in rows:
                row["taken_at"] = row["received_at"] if row["id"] <= cursor else None
        if rows:
            writer.execute(insert, rows)

    def _cursor(self) -> int:
        with self._bridge.database.read() as tx:
            return int(KEY_VALUES.read(tx, CURSOR) or 0)

    def _compare(self, file: _File, part: Part) -> None:
        """Read every row on both sides. What differs is written down as changed: it has, or it could not be written."""
        after: Key | None = None
        different: list[Key] = []
        with file.database.read() as source:
            while rows := part.page(connection(source), after):
                ours, keys = part.compared(rows), [part.key_of(row) for row in rows]
                with self._target.read() as tx:
                    theirs = part.compared(part.some(connection(tx), keys))
                different += [key for key in keys if theirs.get(key) != ours[key]]
                after = keys[-1]
                self._has_done(len(rows))
        if different:
            logged = [(part.table.name, json.dumps(key)) for key in different]
            with file.database.begin() as tx:
                connection(tx).exec_driver_sql("INSERT INTO copy_changes (name, key) VALUES (?, ?)", logged)

    def _follow(self, *files: _File) -> None:
        """Copy what has changed since, as of one moment for each file."""
        for file in files or self._files:
            with file.snapshot() as reader:
                last = self._copy_changed(file, reader)
            with file.database.begin() as tx:
                connection(tx).exec_driver_sql("DELETE FROM copy_changes WHERE n <= ?", (last,))

    def _copy_changed(self, file: _File, reader: sa.Connection) -> int:
        """First everything that changed goes, then it comes as it is now: a name or a number that went from one row to
        another stands in nobody's way. The answer is the last change that was seen to."""
        changed: dict[str, dict[Key, None]] = {}
        logged = reader.exec_driver_sql("SELECT n, name, key FROM copy_changes ORDER BY n").all()
        last = logged[-1].n if logged else 0
        for _, name, key in logged:
            changed.setdefault(name, {})[tuple(json.loads(key))] = None
        pages = [
            (file.parts[name], page) for name, keys in changed.items() for page in _pages(file.parts[name], [*keys])
        ]
        if not pages:
            return last
        with self._target.begin() as tx:
            writer = connection(tx)
            for part, page in pages:
                writer.execute(sa.delete(part.table).where(part.is_in(page), part.where))
            for part, page in pages:
                rows = part.some(reader, page)
                self._write(writer, part, rows, sa.insert(part.table))
                if part.compared(part.some(writer, page)) != part.compared(rows):
                    raise StoreRefused(f"Rows of {part.table.name} are not read as they were written.")
        return last

    # --------------------------------------------------------------------------------------------------------- ending

    def _finish(self) -> bool:
        """Copy the rest and close the old store; False while a bridge works on it. One whose worker has just died has
        its files open still."""
        with workers_kept_out(self._bridge.database.engine, self._data_dir) as workers:
            if workers or not self._is_unused():
                return False
            # Nobody writes from here on; a web process that comes back refuses what it gets, and the sender repeats it.
            with self._bridge.database.begin() as tx, self._inbox.database.begin() as inbox_tx:
                readers = {"bridge": connection(tx), "inbox": connection(inbox_tx)}
                self._copy_changed(self._bridge, readers["bridge"])
                self._copy_changed(self._inbox, readers["inbox"])
                self._check_counts(readers.values())
                self._complete_target(tx, inbox_tx)
                at = self._clock().isoformat(timespec="seconds")
                KEY_VALUES.put(tx, CLOSED, MOVED.format(where=self.where, at=at))
                for file, reader in zip(self._files, readers.values(), strict=True):
                    file.close(reader)
        return True

    def _is_unused(self) -> bool:
        for file in self._files:
            file.database.engine.dispose()
        return all(is_nobodys(self._data_dir / name) for name in FILES)

    def _check_counts(self, readers: Iterable[sa.Connection]) -> None:
        """Every row is there as it is here: it was compared. So equal numbers mean equal tables."""
        with self._target.read() as tx:
            for file, reader in zip(self._files, readers, strict=True):
                for part in file.parts.values():
                    here, there = part.count(reader), part.count(connection(tx))
                    if here != there:
                        raise StoreRefused(
                            f"{part.table.name} has {here} rows here and {there} in {self.where}: somebody else has "
                            "written there. This store stays in force. Run `truthvouch store copy --undo`, and copy "
                            "into an empty database."
                        )

    def _complete_target(self, tx: Tx, inbox_tx: Tx) -> None:
        """What was taken in is marked so, and new rows get numbers beyond all that were ever given."""
        if not is_inbox_of(tx, inbox_tx):
            raise StoreRefused("inbox.db was restored and has not been taken in: start the bridge on this store once.")
        rows, cursor = self._inbox.parts[inbox.name].table, int(KEY_VALUES.read(tx, CURSOR) or 0)
        taken = (
            sa.update(rows).where(rows.c.id <= cursor, rows.c.taken_at.is_(None)).values(taken_at=rows.c.received_at)
        )
        given = {
            name: number
            for one in (tx, inbox_tx)
            for name, number in connection(one).exec_driver_sql("SELECT name, seq FROM sqlite_sequence")
        }
        with self._target.begin() as target:
            writer = connection(target)
            writer.execute(taken)
            for file in self._files:
                for part in file.parts.values():
                    _set_sequence(writer, part, given.get(part.table.name, 0))

    def _open_target(self) -> Mapping[str, int]:
        """The old store is closed: let a bridge work on the new one, and its first worker see to what is owed."""
        with self._target.begin() as tx:
            writer = connection(tx)
            if KEY_VALUES.read(tx, CLOSED) is not None:
                writer.execute(sa.delete(key_values).where(key_values.c.name.startswith(POSITION, autoescape=True)))
                KEY_VALUES.clear(tx, CLOSED)
                KEY_VALUES.put(tx, COPIED, self._clock().isoformat())
            return {part.table.name: part.count(writer) for file in self._files for part in file.parts.values()}


def _set_sequence(writer: sa.Connection, part: Part, given: int) -> None:
    if "id" not in part.table.c:
        return
    highest = writer.execute(sa.select(sa.func.max(part.table.c.id))).scalar_one() or 0
    if number := max(highest, given):
        name = sa.func.pg_get_serial_sequence(part.table.name, "id")
        writer.execute(sa.select(sa.func.setval(name, number)))


def undo(data_dir: Path) -> bool:
    """Open a store that was copied, or give up a copy that is not complete; False where there is neither."""
    check_made(data_dir, None)
    deliveries, links_too = (_File(Database(opened(data_dir, None)), {}) for opened in (open_inbox, open_bridge))
    try:
        with deliveries.database.begin() as tx:
            deliveries.forget(connection(tx))
        with links_too.database.begin() as tx:
            links_too.forget(connection(tx))
            found = KEY_VALUES.read(tx, COPY_ID) is not None
            KEY_VALUES.clear(tx, COPY_ID)
            KEY_VALUES.clear(tx, CLOSED)
        return found
    except sa.exc.SQLAlchemyError as fault:
        raise unavailable(fault) from fault
    finally:
        deliveries.database.engine.dispose()
        links_too.database.engine.dispose()
