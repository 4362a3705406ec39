"""Statements of the hot path: built and compiled once, and run by the driver itself.

SQLAlchemy's own execution builds a cache key, a context and a result for each call, which costs several times what
SQLite needs for the statement. Only for statements inside a ``Database`` transaction, whose parameters are all plain
(no ``expanding``).
"""

from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from app.ports import Tx

Statement = sa.Executable
Processor = Callable[[Any], Any]


class Prepared:
    """One statement, or one for each dialect by its name."""

    def __init__(self, statement: Statement | Mapping[str, Statement]) -> None:
        self._statement = statement
        self._compiled: dict[tuple[str, ...], _Compiled] = {}

    def rows(self, tx: Tx, values: Mapping[str, Any] | None = None) -> list[Any]:
        """What it selects or returns, as named tuples."""
        conn, found = _connection(tx), values or {}
        return self._for(conn, found).rows(conn, found)

    def row(self, tx: Tx, values: Mapping[str, Any] | None = None) -> Any:
        """The one row; None where there is none."""
        found = self.rows(tx, values)
        return found[0] if found else None

    def run(self, tx: Tx, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute it for each of these, which have the same keys."""
        if rows:
            assert all(row.keys() == rows[0].keys() for row in rows[1:])
            conn = _connection(tx)
            self._for(conn, rows[0]).run(conn, rows)

    def _for(self, conn: sa.Connection, values: Mapping[str, Any]) -> "_Compiled":
        dialect = conn.dialect
        key = (dialect.name, *values)
        known = self._compiled.get(key)
        if known is None:
            one = self._statement[dialect.name] if isinstance(self._statement, Mapping) else self._statement
            known = self._compiled[key] = _Compiled(one, dialect, list(values))
        return known


class _Compiled:
    def __init__(self, statement: Any, dialect: sa.Dialect, names: Sequence[str]) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=names)
        self._sql, self._dialect, self._error = str(compiled), dialect, dialect.loaded_dbapi.Error
        order = compiled.positiontup if compiled.positional else list(compiled.binds)
        self._as_tuple = compiled.positional
        self._binds = [(name, compiled.params.get(name), _bound(compiled.binds[name].type, dialect)) for name in order]
        columns = list(getattr(statement, "exported_columns", ()))
        self._row: Any = namedtuple("Row", [column.key for column in columns]) if columns else None
        self._read = [
            (place, read)
            for place, column in enumerate(columns)
            if (read := column.type.dialect_impl(dialect).result_processor(dialect, None))
        ]

    def rows(self, conn: sa.Connection, values: Mapping[str, Any]) -> list[Any]:
        driver, params = _driver(conn), self._params(values)
        self._notify_listeners(conn, params)
        try:
            cursor = driver.execute(self._sql, params)
            found = cursor.fetchall() if self._row else []
        except self._error as fault:
            raise self._raised(conn, fault) from fault
        return [self._made(row) for row in found]

    def run(self, conn: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        driver, params = _driver(conn), [self._params(row) for row in rows]
        self._notify_listeners(conn, params[0] if len(params) == 1 else params)
        try:
            if len(params) == 1:
                driver.execute(self._sql, params[0])
            else:
                driver.cursor().executemany(self._sql, params)
        except self._error as fault:
            raise self._raised(conn, fault) from fault

    def _notify_listeners(self, conn: sa.Connection, params: Any) -> None:
        """Whoever listens to what this connection executes hears of it as of any other statement."""
        for listener in conn.dispatch.before_cursor_execute:
            listener(conn, None, self._sql, params, None, isinstance(params, list))

    def _made(self, found: Sequence[Any]) -> Any:
        if not self._read:
            return self._row._make(found)
        values = list(found)
        for place, read in self._read:
            values[place] = read(values[place])
        return self._row._make(values)

    def _params(self, values: Mapping[str, Any]) -> Any:
        bound = [
            process(values.get(name, fixed)) if process else values.get(name, fixed)
            for name, fixed, process in self._binds
        ]
        return tuple(bound) if self._as_tuple else dict(zip((name for name, _, _ in self._binds), bound, strict=True))

    def _raised(self, conn: sa.Connection, fault: Exception) -> Exception:
        """As SQLAlchemy would raise it, without values: alerts are in them."""
        gone = self._dialect.is_disconnect(fault, _driver(conn), None)  # type: ignore[arg-type]
        if gone:
            conn.invalidate(fault)
        return sa.exc.DBAPIError.instance(
            self._sql,
            None,
            fault,
            self._error,
            hide_parameters=True,
            connection_invalidated=gone,
            dialect=self._dialect,
        )


def _connection(tx: Tx) -> sa.Connection:
    assert isinstance(tx, sa.Connection)
    return tx


def _driver(conn: sa.Connection) -> Any:
    return conn.connection.driver_connection


def _bound(kind: Any, dialect: sa.Dialect) -> Processor | None:
    found: Processor | None = kind.dialect_impl(dialect).bind_processor(dialect)
    return found
