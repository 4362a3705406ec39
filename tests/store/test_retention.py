"""What goes and what stays, on both stores."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from app.domain.model.events import IncidentEvent, IncidentEventType, Way
from app.domain.model.types import Alert, AlertId, IncidentId, Side, Source, Status, Urgency, incident_key
from app.domain.rules.rulebook import Decision, Silence
from app.domain.sync.link import DeliveryState, Link
from app.domain.sync.side_state import SideState
from app.ports import DeadLetter, Delivery, TimelineEntry
from app.ports.console import AuditEntry, AuditFilter, SubjectKind
from app.ports.jobs import JobState, ReplayWanted
from app.store import retention
from app.store.database import Database, connection
from app.store.inbox import ClosableInbox, inbox_for
from app.store.inbox_reader import CursorInboxReader, FlagInboxReader
from app.store.jobs import StoredAudit, StoredJobs, encode_job
from app.store.links import StoredDeadLetters, StoredLinks
from app.store.retention import BATCH_ROWS, LINES_KEPT, StoredRetention
from app.store.schema import EPOCH, dead_letters, inbox, links, timeline, unmatched_events
from app.store.stored_rules import RulesInStore
from tests.fakes import START
from tests.store.conftest import Stores

LONG_AGO, BEFORE, LATELY = START, START + timedelta(days=31), START + timedelta(days=32)


class Store:
    """A store with a past."""

    def __init__(self, stores: Stores, data_dir: Path) -> None:
        self.stores, self.links = stores, StoredLinks()
        self.data_dir = data_dir
        on_sqlite = stores.inbox.dialect.name == "sqlite"
        self.database_url = None if on_sqlite else stores.inbox.url.render_as_string(hide_password=False)
        if self.database_url:
            self.database_url = self.database_url.replace("postgresql+psycopg", "postgresql")
        self.inbox_reader = CursorInboxReader(Database(stores.inbox)) if on_sqlite else FlagInboxReader(stores.bridge)
        self.inbox_store: ClosableInbox = inbox_for(self)
        self.swept = StoredRetention(stores.bridge, stores.inbox, data_dir).sweeps()

    def arrive(self, delivery_id: str, at: datetime) -> bool:
        return self.inbox_store.add(Delivery(Source.TRUTHVOUCH, delivery_id, at, b"{}"))

    def take_in(self) -> None:
        with self.stores.bridge.begin() as tx:
            rows = self.inbox_reader.next_rows(tx, 10_000)
            self.inbox_reader.mark_taken(tx, rows, LATELY)

    def link(self, alert_id: str, **changes: object) -> Link:
        made = Link(Alert(AlertId(alert_id), "high"), incident_key(AlertId(alert_id)), LONG_AGO)
        with self.stores.bridge.begin() as tx:
            return self.links.add(tx, replace(made, **changes))  # type: ignore[arg-type]

    def say(self, event: str, at: datetime, link: Link | None = None, times: int = 1) -> None:
        entry = TimelineEntry(at, event, link.link_id if link else None)
        with self.stores.bridge.begin() as tx:
            self.links.write_timeline(tx, [entry] * times)

    def dead_letter(self, at: datetime, closed_at: datetime | None = None, **fields: object) -> int:
        with self.stores.bridge.begin() as tx:
            number = self.links.add_dead_letter(tx, DeadLetter(0, "event", "x", at, **fields))  # type: ignore[arg-type]
            if closed_at:
                StoredDeadLetters().close(tx, number, "discarded", closed_at, "somebody")
        return number

    def sweep(self, name: str) -> list[int]:
        return list(self.swept[name](BEFORE))

    def left(self, column: sa.Column[object]) -> list[object]:
        engine = self.stores.inbox if column.table is inbox else self.stores.bridge.engine
        with engine.connect() as reader:
            return list(reader.execute(sa.select(column).order_by(column)).scalars())


@pytest.fixture
def store(stores: Stores, tmp_path: Path) -> Iterator[Store]:
    made = Store(stores, tmp_path)
    yield made
    made.inbox_store.close()


OPEN, RESOLVED = SideState(Status.OPEN, LONG_AGO), SideState(Status.RESOLVED, LONG_AGO)
CLOSED: dict[str, object] = {"decision": Decision(Urgency.HIGH, "r", "v", "rule"), "alert_side": RESOLVED}
OUTSTANDING = DeliveryState(outstanding=True, seq=1, since=LONG_AGO)


def test_old_deliveries_go_once_they_are_taken_in(store: Store) -> None:
    for number, at in enumerate([LONG_AGO, LONG_AGO, LATELY]):
        store.arrive(f"taken-{number}", at)
    store.take_in()
    store.arrive("waiting", LONG_AGO)
    assert [2] == store.sweep("inbox")
    assert ["taken-2", "waiting"] == store.left(inbox.c.delivery_id)


def test_a_delivery_repeated_within_the_window_is_still_a_duplicate(store: Store) -> None:
    store.arrive("old", LONG_AGO)
    store.arrive("young", LATELY)
    store.take_in()
    store.sweep("inbox")
    assert not store.arrive("young", LATELY)
    assert store.arrive("old", LATELY)


def test_what_an_open_dead_letter_would_be_replayed_from_stays(store: Store) -> None:
    for name in ("a", "b", "c", "d"):
        store.arrive(name, LONG_AGO)
    store.take_in()
    first, second, *_ = store.left(inbox.c.id)
    store.dead_letter(LONG_AGO, inbox_id=first)
    store.dead_letter(LONG_AGO, LONG_AGO, inbox_id=second)
    store.sweep("inbox")
    kept = store.left(inbox.c.delivery_id)
    assert "a" in kept
    assert "b" not in kept


def test_the_intake_knows_its_inbox_again_after_everything_old_is_gone(store: Store) -> None:
    for name in ("a", "b", "c"):
        store.arrive(name, LONG_AGO)
    store.take_in()
    store.sweep("inbox")
    store.arrive("d", LATELY)
    with capture_logs() as lines, store.stores.bridge.begin() as tx:
        assert ["d"] == [row.delivery.delivery_id for row in store.inbox_reader.next_rows(tx, 10)]
    assert [] == lines


@pytest.mark.parametrize(
    "why", ["not resolved", "incident open", "alert open", "owes TruthVouch", "owes PagerDuty", "open dead letter"]
)
def test_no_line_of_a_link_that_somebody_waits_for_goes(store: Store, why: str) -> None:
    changes: dict[str, dict[str, object]] = {
        "not resolved": CLOSED | {"alert_side": OPEN},
        "incident open": CLOSED | {"incident_side": OPEN},
        "alert open": CLOSED | {"alert_side": OPEN, "incident_side": RESOLVED},
        "owes TruthVouch": CLOSED | {"truthvouch": OUTSTANDING},
        "owes PagerDuty": CLOSED | {"pagerduty": OUTSTANDING},
        "open dead letter": CLOSED,
    }
    still_open, closed = store.link("open", **changes[why]), store.link("closed", **CLOSED)
    if why == "open dead letter":
        store.dead_letter(LONG_AGO, link_id=still_open.link_id, side=Side.PAGERDUTY)
        store.dead_letter(LONG_AGO, LONG_AGO, link_id=closed.link_id, side=Side.PAGERDUTY)
    for link in (still_open, closed, None):
        store.say("old", LONG_AGO, link)
        store.say("young", LATELY, link)
    assert [2] == store.sweep("timeline")
    assert ["old", "young", "young", "young"] == store.left(timeline.c.event)
    assert 2 == len(store.left(links.c.id))


def test_an_alert_that_was_never_paged_nor_resolved_keeps_no_old_line(store: Store) -> None:
    store.say("old", LONG_AGO, store.link("quiet", alert_side=OPEN, decision=Decision(None, "r", "v", "severity_none")))
    assert [1] == store.sweep("timeline")


def test_of_a_link_that_flaps_for_ever_the_newest_lines_stay(store: Store) -> None:
    flaps, calm = (store.link(name, **CLOSED | {"alert_side": OPEN}) for name in ("flaps", "calm"))
    store.say("calm", LONG_AGO, calm, times=3)
    store.say("oldest", LONG_AGO, flaps, times=BATCH_ROWS + 50)
    store.say("old", LONG_AGO, flaps, times=LINES_KEPT - 1)
    store.say("young", LATELY, flaps)
    assert BATCH_ROWS + 50 == sum(store.sweep("timeline"))
    assert {"calm", "old", "young"} == set(store.left(timeline.c.event))
    store.say("young", LATELY, flaps, times=LINES_KEPT)
    assert LINES_KEPT - 1 == sum(store.sweep("timeline"))
    assert {"calm", "young"} == set(store.left(timeline.c.event))
    assert [] == store.sweep("timeline")


def test_old_events_of_unknown_incidents_go(store: Store) -> None:
    with store.stores.bridge.begin() as tx:
        for number, at in enumerate([LONG_AGO, LATELY]):
            event = IncidentEvent(IncidentEventType.ACKNOWLEDGED, IncidentId(f"Q{number}"), "incident.acknowledged", at)
            store.links.keep_unmatched(tx, event, number, at)
    assert [1] == store.sweep("unmatched_events")
    assert ["Q1"] == store.left(unmatched_events.c.incident_id)


def test_dead_letters_go_long_after_they_were_closed_and_never_before(store: Store) -> None:
    store.dead_letter(LONG_AGO, LONG_AGO)
    kept = [store.dead_letter(LONG_AGO), store.dead_letter(LONG_AGO, LATELY)]
    assert [1] == store.sweep("dead_letters")
    assert kept == store.left(dead_letters.c.id)


def test_it_goes_in_small_transactions_and_one_cut_off_is_gone_on_with(store: Store) -> None:
    store.say("old", LONG_AGO, times=BATCH_ROWS + 7)
    sweep = store.swept["timeline"](BEFORE)
    assert BATCH_ROWS == next(sweep)
    del sweep
    assert 7 == len(store.left(timeline.c.id))
    assert [7] == store.sweep("timeline")
    assert [] == store.sweep("timeline")


def test_the_inbox_too_goes_in_small_transactions(store: Store) -> None:
    count = retention.INBOX_ROWS + 3
    with store.stores.inbox.begin() as writer:
        rows = [{"source": "t", "delivery_id": f"{n}", "received_at": EPOCH, "body": b"{}"} for n in range(count + 1)]
        writer.execute(inbox.insert(), rows)
    store.take_in()
    batches = store.sweep("inbox")
    assert retention.INBOX_ROWS == batches[0] == max(batches)
    assert count <= sum(batches) <= count + 1
    assert [] == store.sweep("inbox")


def test_nothing_taken_means_nothing_swept(store: Store) -> None:
    store.arrive("a", LONG_AGO)
    assert [] == store.sweep("inbox")


def test_a_reader_is_not_needed_twice(store: Store) -> None:
    """What an open letter holds is passed over, not looked at for ever."""
    for number in range(retention.INBOX_ROWS + 1):
        store.arrive(f"{number}", LONG_AGO)
    store.take_in()
    for inbox_id in store.left(inbox.c.id):
        store.dead_letter(LONG_AGO, inbox_id=inbox_id)
    assert [] == store.sweep("inbox")
    with store.stores.bridge.read() as tx:
        assert connection(tx).execute(sa.select(sa.func.count()).select_from(dead_letters)).scalar_one()


def test_jobs_that_are_over_go_and_those_that_wait_stay(store: Store):
    jobs, old = StoredJobs(), LONG_AGO
    with store.stores.bridge.begin() as tx:
        for key, at in (("old", old), ("young", LATELY), ("waits", old)):
            jobs.add(tx, key, encode_job(ReplayWanted((1,))), old, "dana", None)
            if key != "waits":
                job = jobs.by_key(tx, key)
                assert job is not None
                jobs.ask_to_cancel(tx, job.job_id, at)
    assert [1] == store.sweep("jobs")
    with store.stores.bridge.read() as tx:
        found = {key: jobs.by_key(tx, key) for key in ("old", "young", "waits")}
    states = {key: job.state if job else None for key, job in found.items()}
    assert {"old": None, "young": JobState.CANCELLED, "waits": JobState.WAITING} == states


def test_the_audit_log_and_silences_that_are_over_go(store: Store, tmp_path: Path):
    rules = RulesInStore()
    with store.stores.bridge.begin() as tx:
        for name, at in (("old", LONG_AGO), ("young", LATELY)):
            StoredAudit().write(tx, AuditEntry(at, "dana", Way.CLI, "silence", SubjectKind.SILENCE, name, "silenced"))
            rules.put_silence(tx, Silence(name, "true", "dana", "drill", at))
    assert ([1], [1]) == (store.sweep("audit"), store.sweep("silences"))
    with store.stores.bridge.read() as tx:
        assert ["young"] == [entry.subject for entry in StoredAudit().find(tx, AuditFilter())]
        assert ["young"] == [silence.name for silence in rules.silences(tx)]
