"""``python -m bench.large_store``: what people wait for with 100,000 links in the store.

Fills a store of its own with a year of alerts and ten time line entries for each, then measures a year's statistics and
report, searches of every kind, and every page of the console as the web application answers it. No stranger to the
bridge: it fills the tables as the bridge does, and calls what the commands call. The first figures are the machine's
own, with nothing of the bridge in them.
"""

import random
import re
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa

from app import create_app, logs
from app.config.settings import Settings
from app.domain.model.types import Alert, AlertId, IncidentId, LinkId, Side, Status, Urgency, incident_key
from app.domain.rules.rulebook import Decision, Redaction, Rulebook, Sla
from app.domain.sync.link import HistoryEntry, Link
from app.domain.sync.side_state import SideState
from app.ports import TimelineEntry
from app.ports.console import LinkFilter
from app.services.reports.report import Reports
from app.store.database import Database, open_bridge, open_inbox
from app.store.figures import TABLES, Change, write_figures
from app.store.history import StoredHistory
from app.store.link_search import StoredLinkSearch
from app.store.links import StoredLinks, _names, _standing
from app.store.migrate import migrate
from app.store.schema import links, timeline
from bench.figures import Figure, Report, percentile
from bench.processes import fresh_database

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
LINES_EACH = 10
ROWS_AT_ONCE = 1_000
COPIED, COPIED_LINES = 10_000, 3
"""So many links of a store that is grown are made one by one; so many lines each of the others has."""
ROUNDS = 5
SEARCHES = 100
YEAR_SECONDS = 2.0
SEARCH_MS = PAGE_MS = 200.0
PAGE_ROUNDS = 40
LOOPS = 5_000_000
TOKEN = "a token of the benchmark"
SEVERITIES, KINDS = ("low", "medium", "high", "critical"), ("hallucination", "pii", "toxicity", "injection")
WORDS = ("claim", "earth", "flat", "refund", "policy", "invoice", "patient", "dose", "flight", "visa", "loan", "moon")


@click.command()
@click.option("--links", "count", default=100_000, show_default=True, help="How many, over a year.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--postgres", default="", metavar="URL", help="A server to measure on instead of SQLite.")
@click.option("--keep", "kept", type=click.Path(path_type=Path), help="Fill the store here, or use the one that is.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the table of docs/performance.md.")
def main(count: int, seed: int, postgres: str, kept: Path | None, as_markdown: bool) -> None:
    """Measure statistics, reports, searches and pages over a large store."""
    with ExitStack() as stack:
        folder = kept or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bridge-bench-")))
        is_filled = kept is not None and not postgres and (kept / "bridge.db").exists()
        url = stack.enter_context(fresh_database(postgres)) or None
        bridge, inbox = open_bridge(folder, url), open_inbox(folder, url)
        stack.callback(bridge.dispose)
        stack.callback(inbox.dispose)
        migrate(bridge, inbox, folder)
        store = Database(bridge)
        began = time.monotonic()
        if not is_filled:
            _fill(store, count, random.Random(seed))
        click.echo(f"{count:,} links, {count * LINES_EACH:,} lines in {time.monotonic() - began:.0f} s", err=True)
        report = Report({"store": bridge.dialect.name, "links": f"{count:,}", "lines": f"{count * LINES_EACH:,}"})
        report.figures += [*_bare(folder, postgres), *_reports(store)]
        report.figures += [*_searches(store, count, random.Random(seed)), *_pages(folder, url, count)]
    click.echo(report.as_markdown() if as_markdown else report.as_text())


def _fill(store: Database, count: int, dice: random.Random) -> None:
    every = timedelta(days=364) / count
    begin = NOW - timedelta(days=364)
    for first in range(0, count, ROWS_AT_ONCE):
        some = [
            _link(number, begin + number * every, dice) for number in range(first, min(first + ROWS_AT_ONCE, count))
        ]
        with store.begin() as tx:
            assert isinstance(tx, sa.Connection)
            tx.execute(sa.insert(links), [_names(link) | _standing(link) | {"id": link.link_id} for link in some])
            write_figures(tx, (Change(None, link, is_new=True) for link in some), Redaction)
            StoredLinks().write_timeline(tx, [line for link in some for line in _lines(link)])
    with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if store.engine.dialect.name == "postgresql":
            connection.execute(sa.text("ANALYZE"))


def grow(folder: Path, url: str | None, count: int) -> None:
    """Fill a new store with so many links: the first as the bridge writes them, the others copied from these by SQL."""
    bridge, inbox = open_bridge(folder, url), open_inbox(folder, url)
    migrate(bridge, inbox, folder)
    store = Database(bridge)
    _fill(store, COPIED, random.Random(1))
    for copy in range(1, count // COPIED):
        with store.begin() as tx:
            assert isinstance(tx, sa.Connection)
            for table in (links, *TABLES, timeline):
                tx.execute(_copied(table, copy))
    if bridge.dialect.name == "postgresql":
        with bridge.begin() as connection:
            connection.execute(sa.text("SELECT setval(pg_get_serial_sequence('links', 'id'), max(id)) FROM links"))
            connection.execute(sa.text("ANALYZE"))
    bridge.dispose()
    inbox.dispose()


def _copied(table: sa.Table, copy: int) -> sa.Insert:
    """Insert the first rows of a table once more, with ids of their own."""
    columns, offset, mark = table.c, copy * COPIED, f"-{copy}"
    key = columns.id if table is links else columns.link_id
    values: dict[str, sa.ColumnElement[Any]] = {one.name: one for one in columns if one is not timeline.c.id}
    values[key.name] = key + offset
    for name in {"alert_id", "incident_id", "incident_key"} & values.keys():
        values[name] = columns[name] + mark
    if "incident_number" in values:
        values["incident_number"] = columns.incident_number + offset
    if table is links:
        values["state"] = sa.func.replace(columns.state, columns.alert_id, columns.alert_id + mark)
    some = sa.select(*values.values()).where(key <= COPIED)
    if table is timeline:
        some = some.where(columns.id % LINES_EACH < COPIED_LINES)
    return sa.insert(table).from_select(list(values), some)


def _link(number: int, at: datetime, dice: random.Random) -> Link:
    alert_id = AlertId(f"alert_{number:07d}")
    claim = " ".join(dice.choices(WORDS, k=8))
    alert = Alert(
        alert_id, dice.choice(SEVERITIES), dice.choice(KINDS), "category", message=None, claim=claim, truth=claim,
        query="q" * 400, response="r" * 600, model=f"model-{number % 7}", created_at=at,
    )  # fmt: skip
    pages = alert.severity in ("high", "critical") or dice.random() < 0.5
    rule = f"rule {dice.randrange(20)}"
    decision = Decision(Urgency.HIGH if pages else None, rule, "v1", "rule" if pages else "suppressed")
    link = Link(alert, incident_key(alert_id), at, LinkId(number + 1), decision=decision)
    if not pages:
        return replace(link, alert_side=SideState(Status.RESOLVED if dice.random() < 0.8 else Status.OPEN, at, at))
    minutes = [at + timedelta(minutes=dice.expovariate(1 / 20)) for _ in range(2)]
    whats = ("triggered", "acknowledged", "resolved")
    moments = zip((at, *sorted(minutes)), whats, strict=True)
    history = tuple(HistoryEntry(when, what, Side.PAGERDUTY, f"P{number % 9}", when) for when, what in moments)
    over = SideState(Status.RESOLVED, minutes[-1], minutes[-1])
    return replace(
        link, history=history, incident_id=IncidentId(f"Q{number}"), incident_number=number,
        incident_url=f"https://example.pagerduty.com/incidents/Q{number}", alert_side=over, incident_side=over,
    )  # fmt: skip


def _lines(link: Link) -> Iterator[TimelineEntry]:
    for number in range(LINES_EACH):
        at = link.first_seen_at + timedelta(minutes=number)
        facts = {"outcome": "moved", "status": "acknowledged", "attempt": number}
        yield TimelineEntry(at, "alert.acknowledged", link.link_id, link.alert.alert_id, link.incident_id, None, facts)


class _Rules:
    def current(self) -> Rulebook:
        return Rulebook(sla={"critical": Sla(15, 60), "high": Sla(60, None)})


def _bare(folder: Path, postgres: str) -> Iterator[Figure]:
    """What this machine takes for the same without us."""

    def count() -> None:
        total = 0
        for number in range(LOOPS):
            total += number

    yield Figure(f"bare: a loop of {LOOPS:,} in Python", "s", tuple(_seconds(count) for _ in range(ROUNDS)))
    if postgres:
        return
    with closing(sqlite3.connect(folder / "bridge.db")) as bare:
        join = "SELECT * FROM incident_figures JOIN alert_figures USING (link_id) LEFT JOIN link_titles USING (link_id)"
        read = tuple(_seconds(lambda: bare.execute(join).fetchall()) for _ in range(ROUNDS))
    yield Figure("bare: the rows of the year's report by sqlite3", "s", read)


def _pages(folder: Path, url: str | None, count: int) -> Iterator[Figure]:
    """Each page as the web application answers it, without a server and a browser."""
    environ = {"BRIDGE_DATA_DIR": str(folder), "BRIDGE_ADMIN_TOKEN": TOKEN, "BRIDGE_CONFIG": str(folder / "none.yaml")}
    logs.configure("json", "CRITICAL")
    app = create_app(Settings.from_env(environ | ({"DATABASE_URL": url} if url else {})))
    browser = app.test_client()
    given = re.search(r'name="csrf_token" value="([^"]+)"', browser.get("/console/login").text)
    assert given is not None
    assert browser.post("/console/login", data={"csrf_token": given[1], "token": TOKEN}).status_code == 303
    alert = f"alert_{count // 2:07d}"
    paths = (
        "", "links", "links?open=no", f"links?before={count // 2}", f"links?q={alert}", "links?q=earth+flat",
        f"alert?alert={alert}", "dead-letters", "escalations", "rules", "silences", "reports", "setup", "configuration",
    )  # fmt: skip
    logins = {"Authorization": f"Bearer {TOKEN}"}
    for path in (*(f"/console/{path}" for path in paths), f"/api/v1/timeline/{alert}", "/api/v1/links", "/readyz"):
        took, all_began = [], time.process_time()
        for _ in range(PAGE_ROUNDS):
            began = time.perf_counter()
            answer = browser.get(path, headers=logins if path.startswith("/api/") else {})
            took.append((time.perf_counter() - began) * 1000)
            assert answer.status_code in (200, 503), (path, answer.status_code)
        note = _processor(all_began, PAGE_ROUNDS)
        yield Figure(f"page p95: {path}", "ms", (percentile(took, 95),), PAGE_MS, note=note)
    app.extensions["bridge"].close()


def _reports(store: Database) -> Iterator[Figure]:
    reports = Reports(store, StoredHistory(), _Rules(), "PMAIN", lambda: NOW)
    zone = "Europe/Berlin"
    asked: dict[str, Callable[[], object]] = {
        "statistics of a year": lambda: reports.stats(period="365d", time_zone=zone),
        "report of a year, every incident listed": lambda: reports.report(period="365d", time_zone=zone),
        "statistics of a month that is over": lambda: reports.stats(period="2026-03", time_zone=zone),
    }
    for name, ask in asked.items():
        began = time.process_time()
        rounds = tuple(_seconds(ask) for _ in range(ROUNDS))
        yield Figure(name, "s", rounds, YEAR_SECONDS, note=_processor(began, ROUNDS))


def _searches(store: Database, count: int, dice: random.Random) -> Iterator[Figure]:
    search, middle = StoredLinkSearch(), count // 2
    wanted: dict[str, Callable[[], LinkFilter]] = {
        "the newest links": LinkFilter,
        "a page in the middle": lambda: LinkFilter(before=middle),
        "open ones of a severity": lambda: LinkFilter(is_open=True, severity=dice.choice(SEVERITIES)),
        "closed ones without an incident": lambda: LinkFilter(is_open=False, paged=False),
        "an alert's id": lambda: LinkFilter(f"alert_{dice.randrange(count):07d}"),
        "the beginning of every id": lambda: LinkFilter("alert_"),
        "an incident's number": lambda: LinkFilter(f"#{dice.randrange(count)}"),
        "two words of titles": lambda: LinkFilter(" ".join(dice.sample(WORDS, 2))),
        "words of no title": lambda: LinkFilter("nowhere to be found"),
    }
    for name, made in wanted.items():
        took = []
        for _ in range(SEARCHES):
            one = made()
            with store.read() as tx:
                took.append(_seconds(lambda tx=tx, one=one: search.find(tx, one)) * 1000)  # type: ignore[misc]
        yield Figure(f"search p95: {name}", "ms", (percentile(took, 95),), SEARCH_MS)


def _processor(began: float, rounds: int) -> str:
    """How much of a processor one round took: on a busy machine the wall clock tells mostly what others do."""
    return f"{(time.process_time() - began) / rounds:.2g} s of a processor"


def _seconds(ask: Callable[[], object]) -> float:
    began = time.perf_counter()
    ask()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
