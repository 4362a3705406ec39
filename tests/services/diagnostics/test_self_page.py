"""The bridge's own incidents: opened once by whoever watches, resolved by whoever watches then, with and without a
store."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from app.domain.model.incident import IncidentDraft
from app.domain.model.outcome import Held, Refused, Reply
from app.domain.model.types import Status
from app.ports import StoreUnavailable, Transactions
from app.services.diagnostics.health import Report
from app.services.diagnostics.self_fault import Memory
from app.services.diagnostics.self_page import REMEMBERED, SelfPage
from app.store.database import KEY_VALUES, Database, open_bridge, open_inbox
from tests.conftest import FakeClock
from tests.fakes import FakePagerDuty
from tests.shapes import shape
from tests.web_fakes import FakeBridge

on_both_stores = pytest.mark.parametrize(
    "database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True
)


@pytest.fixture(params=["sqlite"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    with ExitStack() as ending:
        url = request.getfixturevalue("migrated_postgres_url") if request.param == "postgresql" else None
        bridge, inbox = open_bridge(tmp_path, url), open_inbox(tmp_path, url)
        ending.callback(bridge.dispose)
        ending.callback(inbox.dispose)
        shape(bridge, inbox, tmp_path)
        yield Database(bridge)


class Events(FakePagerDuty):
    """PagerDuty that keeps what it was sent, and refuses when told to."""

    refusal: Reply[None] | None = None

    def trigger(self, draft: IncidentDraft) -> Reply[None]:
        self.drafts = [*getattr(self, "drafts", []), draft]
        return self.refusal or super().trigger(draft)

    def resolve(self, key, service_id=None):
        return self.refusal or super().resolve(key, service_id)

    def statuses(self) -> dict[str, list[Status]]:
        """By fault: what became of its incidents, oldest first."""
        found: dict[str, list[Status]] = {}
        for incident in self.incidents.values():
            found.setdefault(str(incident.incident_key).rpartition("-")[2], []).append(incident.status)
        return found


class Watching:
    """A bridge, its store, and watchers that come and go."""

    def __init__(self, database: Database, clock: FakeClock) -> None:
        self.database, self.clock = database, clock
        self.bridge, self.events = FakeBridge(clock), Events(clock)  # type: ignore[arg-type]
        self.is_gone = False

    def watcher(self, memory: Memory | None = None) -> SelfPage:
        return SelfPage(
            self.health, self.events, self.transactions, KEY_VALUES, "fallback", "https://bridge.example.com",
            memory or Memory(), clock=self.clock,
        )  # fmt: skip

    def health(self) -> Report:
        self.transactions()
        return self.bridge.health()

    def transactions(self) -> Transactions:
        if self.is_gone:
            raise StoreUnavailable("gone")
        return self.database

    def pass_time(self, watcher: SelfPage, seconds: int, **facts: object) -> Memory:
        """Look every fifteen seconds; the worker's heart beats unless ``facts`` say otherwise."""
        memory = watcher.memory
        for _ in range(seconds // 15):
            now = self.clock.advance(15)
            self.bridge.health_source.set(**{"worker_seen_at": now, **facts})
            memory = watcher()
        return memory


@pytest.fixture
def watching(database: Database, clock: FakeClock) -> Watching:
    return Watching(database, clock)


@on_both_stores
def test_a_silent_worker_pages_once_and_is_resolved_when_it_is_back(watching: Watching):
    watcher, silent = watching.watcher(), {"worker_seen_at": watching.clock()}
    watching.pass_time(watcher, 600, **silent)
    assert {"worker_silent": [Status.OPEN]} == watching.events.statuses()
    watching.pass_time(watcher, 60)
    assert {"worker_silent": [Status.RESOLVED]} == watching.events.statuses()
    assert ["trigger", "event resolve"] == watching.events.calls[-2:]


def test_the_incident_says_what_is_wrong_since_when_what_to_do_and_where(watching: Watching):
    since = watching.clock()
    watching.pass_time(watching.watcher(), 60, worker_seen_at=since)
    [draft] = watching.events.drafts
    assert "TruthVouch bridge: The worker is silent: nothing is delivered" == draft.title
    assert ("critical", since) == (draft.severity, draft.occurred_at)
    assert "2026-01-15 10:00:00Z" == draft.details["since"]
    assert "https://bridge.example.com" == draft.details["bridge"]
    assert "truthvouch worker" in draft.details["remedy"]
    assert "heartbeat" in draft.details["what"]


@on_both_stores
def test_a_watcher_that_is_killed_in_between_doubles_nothing_and_forgets_nothing(watching: Watching):
    silent = {"worker_seen_at": watching.clock()}
    for _ in range(6):
        watching.pass_time(watching.watcher(), 30, **silent)  # each of them a new process without a memory
    assert 1 == len(watching.events.drafts)
    watching.pass_time(watching.watcher(), 30)
    watching.pass_time(watching.watcher(), 30)
    assert {"worker_silent": [Status.RESOLVED]} == watching.events.statuses()


def test_a_watcher_that_is_killed_before_it_could_remember_sends_the_same_incident_again(watching: Watching):
    silent = {"worker_seen_at": watching.clock()}
    watching.pass_time(watching.watcher(), 60, **silent)
    with watching.database.begin() as tx:
        KEY_VALUES.clear(tx, REMEMBERED)
    watching.pass_time(watching.watcher(), 60, **silent)
    assert 2 == len(watching.events.drafts)
    assert 1 == len({draft.incident_key for draft in watching.events.drafts})
    assert {"worker_silent": [Status.OPEN]} == watching.events.statuses()


def test_a_watcher_that_is_killed_after_it_has_sent_leaves_nothing_open(watching: Watching):
    watcher = watching.watcher()
    remembered: list[Memory] = []
    watcher.announce = remembered.append
    watching.pass_time(watcher, 15)
    watching.is_gone = True
    watching.pass_time(watcher, 60)
    [before_it_was_sent] = remembered
    watching.is_gone = False
    watching.pass_time(watching.watcher(Memory.from_text(before_it_was_sent.as_text())), 60)
    assert {"store_gone": [Status.RESOLVED]} == watching.events.statuses()


@on_both_stores
def test_two_machines_open_one_incident(watching: Watching):
    one, other = watching.watcher(), watching.watcher()
    silent = {"worker_seen_at": watching.clock()}
    for _ in range(10):
        watching.pass_time(one, 15, **silent)
        other()
    assert {"worker_silent": [Status.OPEN]} == watching.events.statuses()
    for _ in range(6):
        watching.pass_time(other, 15)
        one()
    assert {"worker_silent": [Status.RESOLVED]} == watching.events.statuses()


def test_a_store_that_is_gone_pages_from_memory_and_is_resolved_when_it_is_back(watching: Watching):
    watcher = watching.watcher()
    installation = watching.pass_time(watcher, 15).installation
    watching.is_gone = True
    watching.pass_time(watcher, 300)
    assert {"store_gone": [Status.OPEN]} == watching.events.statuses()
    assert installation in str(watching.events.drafts[0].incident_key)
    watching.is_gone = False
    watching.pass_time(watcher, 60)
    assert {"store_gone": [Status.RESOLVED]} == watching.events.statuses()
    assert 1 == len(watching.events.drafts)


def test_a_watcher_that_takes_over_while_the_store_is_gone_goes_on_with_the_memory_of_the_one_before(
    watching: Watching,
):
    memory = watching.pass_time(watching.watcher(), 15)
    watching.is_gone = True
    for _ in range(20):
        memory = watching.pass_time(watching.watcher(Memory.from_text(memory.as_text())), 15)
    assert 1 == len(watching.events.drafts)


def test_a_store_that_was_never_there_pages_under_a_key_made_of_the_configuration(watching: Watching):
    watching.is_gone = True
    watcher = watching.watcher()
    watching.pass_time(watcher, 60)
    assert "truthvouch-bridge-fallback-store_gone" == watching.events.drafts[0].incident_key
    watching.is_gone = False
    watching.pass_time(watcher, 60)
    assert {"store_gone": [Status.RESOLVED]} == watching.events.statuses()


def test_what_was_paged_from_memory_and_forgotten_is_resolved_by_the_next_start(watching: Watching):
    watching.pass_time(watching.watcher(), 15)
    watching.is_gone = True
    watching.pass_time(watching.watcher(), 60)
    watching.is_gone = False
    watching.pass_time(watching.watcher(), 15)
    assert {"store_gone": [Status.RESOLVED]} == watching.events.statuses()


def test_while_the_store_is_gone_no_other_incident_is_resolved(watching: Watching):
    watcher = watching.watcher()
    watching.pass_time(watcher, 60, dead=1, dead_pages=1)
    watching.is_gone = True
    watching.pass_time(watcher, 300)
    assert {"page_refused": [Status.OPEN], "store_gone": [Status.OPEN]} == watching.events.statuses()


def test_a_store_that_does_not_answer_is_gone(watching: Watching):
    hangs = threading.Event()
    watcher = watching.watcher()
    watching.pass_time(watcher, 15)
    watcher.health, watcher.health_seconds = lambda: hangs.wait() and None, 0.01  # type: ignore[assignment, return-value]
    watching.pass_time(watcher, 60)
    looks = [thread for thread in threading.enumerate() if thread.name == "self-page-health"]
    assert 1 == len(looks), "one look that hangs is enough"
    hangs.set()
    assert {"store_gone": [Status.OPEN]} == watching.events.statuses()


@pytest.mark.parametrize("refusal", [Held("unauthorized"), Refused("bad_request", 400)])
def test_a_wrong_key_is_logged_and_the_watcher_goes_on(
    watching: Watching, refusal: Reply[None], capsys: pytest.CaptureFixture[str]
):
    watching.events.refusal = refusal
    watcher = watching.watcher()
    watching.pass_time(watcher, 3600, dead=1, dead_pages=1)
    said = capsys.readouterr().out
    assert "self_page.not_sent" in said
    assert 10 <= len(watching.events.drafts) <= 20, "it is tried again, and not all the time"
    watching.events.refusal = None
    watching.pass_time(watcher, 315, dead=1, dead_pages=1)
    assert {"page_refused": [Status.OPEN]} == watching.events.statuses()


def test_a_health_check_that_breaks_is_a_page_too(watching: Watching):
    def broken() -> Report:
        raise RuntimeError("a bug")

    watcher = watching.watcher()
    watcher.health = broken
    watching.pass_time(watcher, 60)
    assert {"store_gone": [Status.OPEN]} == watching.events.statuses()
