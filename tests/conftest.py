"""What every test shares: no network but loopback, one hypothesis profile, PostgreSQL where there is one, loud skips.

Nothing here imports the application: the system tests share this file and know it from outside only.
"""

import ipaddress
import os
import shutil
import signal
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import hypothesis
import psycopg
import pytest
import structlog

# --------------------------------------------------------------------------------------------- loopback only


def _is_loopback(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if name in (None, "", "localhost", "0.0.0.0", "::"):
        return True
    try:
        return ipaddress.ip_address(str(name)).is_loopback
    except ValueError:
        return False


def _refuse_the_network(event: str, arguments: tuple[Any, ...]) -> None:
    """https://docs.python.org/3/library/audit_events.html: an audit hook cannot be removed or patched away."""
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    if not _is_loopback(host):
        raise RuntimeError(f"a test tried to reach {host!r}; only loopback is open")


sys.addaudithook(_refuse_the_network)


# --------------------------------------------------------------------------------------------- signals

# A shell starts its background jobs with SIGINT ignored, and every process below them inherits that: what a test starts
# must be as somebody at a terminal would start it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# --------------------------------------------------------------------------------------------- a folder in memory

# Thousands of small stores are made, written with fsync and thrown away. What a disk does is not tested by them.
MEMORY, ENOUGH_BYTES = Path("/dev/shm"), 4 * 1024**3
if MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free >= ENOUGH_BYTES:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


# --------------------------------------------------------------------------------------------- hypothesis

# CI must say the same thing twice; a developer wants a new chance of finding something with every run.
hypothesis.settings.register_profile(
    "ci", derandomize=True, print_blob=True, max_examples=60, deadline=None, database=None
)
hypothesis.settings.register_profile("dev", print_blob=True, max_examples=40, deadline=None)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


# --------------------------------------------------------------------------------------------- time


class FakeClock:
    """A clock that moves only when told: ``clock()`` is an aware UTC instant."""

    def __init__(self, now: datetime = datetime(2026, 1, 15, 10, 0, tzinfo=UTC)) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> datetime:
        """Move on by so many seconds."""
        self.now += timedelta(seconds=seconds)
        return self.now


@pytest.fixture(autouse=True, scope="module")
def nobody_has_configured_the_log() -> Iterator[None]:
    """Each file begins as a process does, whatever the one before it left behind."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


@pytest.fixture
def clock() -> FakeClock:
    """A clock that stands still at 2026-01-15T10:00:00Z."""
    return FakeClock()


# --------------------------------------------------------------------------------------------- PostgreSQL

POSTGRES = os.environ.get("BRIDGETEST_POSTGRES_URL", "postgresql://postgres:root@127.0.0.1:5432/test")
"""A database on a server where we may create others."""


def _administer(statement: str) -> None:
    with psycopg.connect(POSTGRES, autocommit=True, connect_timeout=3) as connection:
        connection.execute(statement)


@contextmanager
def fresh_postgres(like: str = "template1") -> Iterator[str]:
    """The URL of a fresh database, empty or a copy of another, dropped afterwards whoever is still connected.

    Without a server the test is skipped, or fails where ``BRIDGETEST_REQUIRE_POSTGRES=1`` says there must be one.
    """
    name = f"bridge_test_{os.getpid()}_{uuid.uuid4().hex[:8]}"
    try:
        _administer(f'CREATE DATABASE "{name}" TEMPLATE "{like}"')
        # Nobody kills the server here, and nobody waits for its disk. The inbox needs it all the same.
        _administer(f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    except psycopg.OperationalError as fault:
        reason = f"no PostgreSQL at {POSTGRES.rpartition('@')[2]}: {str(fault).splitlines()[0]}"
        if os.environ.get("BRIDGETEST_REQUIRE_POSTGRES") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    try:
        yield POSTGRES.rpartition("/")[0] + "/" + name
    finally:
        _administer(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A fresh PostgreSQL database for one test."""
    with fresh_postgres() as url:
        yield url


KEPT_ROWS = "kept_rows"
"""The schema with the rows that a database had at first."""
SHAPE = """
    SELECT md5(string_agg(line, ' ' ORDER BY line)) FROM (
        SELECT format('%s %s %s %s', attrelid::regclass, attname, atttypid, attnotnull) AS line FROM pg_attribute
        JOIN pg_class ON pg_class.oid = attrelid
        WHERE attnum > 0 AND relnamespace NOT IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
            AND relkind IN ('r', 'i', 'v')
        UNION ALL SELECT format('%s %s', conrelid::regclass, pg_get_constraintdef(oid)) FROM pg_constraint
        UNION ALL SELECT format('%s %s', tgrelid::regclass, tgname) FROM pg_trigger WHERE NOT tgisinternal
    ) AS lines
"""


class KeptPostgres:
    """A database that tests use one after the other, each as it was at first: to copy and drop one for every test makes
    the server write whole files, which takes longer than most of the tests.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        with psycopg.connect(url, autocommit=True) as owner:
            named = "SELECT quote_ident(schemaname) || '.' || quote_ident({}) FROM {} WHERE schemaname {}"
            ours = "NOT IN ('pg_catalog', 'information_schema')"
            self._tables = [one for (one,) in owner.execute(named.format("tablename", "pg_tables", ours))]
            sequences = [one for (one,) in owner.execute(named.format("sequencename", "pg_sequences", ours))]
            self._filled = [one for one in self._tables if owner.execute(f"SELECT 1 FROM {one} LIMIT 1").fetchone()]
            self._sequences = {
                one: owner.execute(f"SELECT last_value, is_called FROM {one}").fetchone() for one in sequences
            }
            owner.execute(f"CREATE SCHEMA {KEPT_ROWS}")
            for table in self._filled:
                owner.execute(f"CREATE TABLE {self._kept(table)} AS TABLE {table}")
            self._shape = owner.execute(SHAPE).fetchone()

    def restore(self) -> bool:
        """End what is still connected, put every row back. False where a test changed tables: it is of no use then."""
        with psycopg.connect(self.url, autocommit=True) as owner:
            others = "datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            owner.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {others}")
            if owner.execute(SHAPE).fetchone() != self._shape:
                return False
            owner.execute("SET session_replication_role = replica")  # in any order, whatever refers to what
            with owner.transaction():
                for table in self._tables:
                    owner.execute(f"DELETE FROM {table}")
                for table in self._filled:
                    owner.execute(f"INSERT INTO {table} TABLE {self._kept(table)}")
                for sequence, value in self._sequences.items():
                    owner.execute("SELECT setval(%s, %s, %s)", (sequence, *(value or ())))
        return True

    @staticmethod
    def _kept(table: str) -> str:
        return f"{KEPT_ROWS}.{table.replace('.', '_')}"


@pytest.fixture(scope="session")
def kept_postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], KeptPostgres]]:
    """A database of this version's shape; another one where the one before is of no use any more."""
    from tests.shapes import migrate_new  # only where somebody asks for it: the rest of this file is nobody's program

    made: list[KeptPostgres] = []
    with ExitStack() as ending:

        def usable() -> KeptPostgres:
            if not made or not made[-1].restore():
                url = ending.enter_context(fresh_postgres())
                migrate_new(tmp_path_factory.mktemp("shape"), url)
                made.append(KeptPostgres(url))
            return made[-1]

        yield usable


@pytest.fixture
def migrated_postgres_url(kept_postgres: Callable[[], KeptPostgres]) -> str:
    """A PostgreSQL database of this version's shape, with nothing in it."""
    return kept_postgres().url


# --------------------------------------------------------------------------------------------- Prometheus


def prometheus_tool(name: str) -> str:
    """The path of ``promtool`` or ``prometheus`` (Debian's package ``prometheus`` has both).

    Without it the test is skipped, or fails where ``BRIDGETEST_REQUIRE_PROMETHEUS=1`` says that it must be there.
    """
    if path := shutil.which(name):
        return path
    reason = f"no {name} on this machine (apt-get install prometheus)"
    if os.environ.get("BRIDGETEST_REQUIRE_PROMETHEUS") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


# --------------------------------------------------------------------------------------------- order


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Beside other processes the long files come first, and the short ones fill what is left at the end."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: item.path.parent.name not in ("system", "browser"))


# --------------------------------------------------------------------------------------------- loud skips


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say at the very end what was not tested, and why: a skipped guarantee is no guarantee."""
    skipped = terminalreporter.stats.get("skipped", [])
    if not skipped:
        return
    terminalreporter.section("NOT TESTED", sep="!", red=True, bold=True)
    reasons = Counter(str(report.longrepr[2]).removeprefix("Skipped: ") for report in skipped)
    for reason, count in reasons.most_common():
        terminalreporter.line(f"{count} skipped: {reason}", red=True)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport() -> Iterator[None]:
    """What a test printed may hold half characters on purpose; the report travels between processes and may not."""
    made: Any = yield
    report = made.get_result()
    report.sections = [(name, text.encode("utf-8", "replace").decode()) for name, text in report.sections]
