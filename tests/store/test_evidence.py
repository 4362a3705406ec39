"""What an alert says, and whom it names, is written once, and is nowhere any more once it is erased."""

import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from app.domain.model.types import Alert, AlertId, Side, Source, Status, Urgency, incident_key
from app.domain.rules.rulebook import Decision
from app.domain.sync.link import DeliveryState, Link
from app.domain.sync.side_state import SideState
from app.ports import DeadLetter, Delivery, TakenBody, TimelineEntry, Tx
from app.services.operator import retention as erasing
from app.services.operator.retention import EraseBodies, EraseOldEvidence
from app.services.sync.erasure import EraseEvidence
from app.store import plain as opened
from app.store.database import Database
from app.store.evidence import StoredBodies, StoredEvidence
from app.store.inbox import ClosableInbox, inbox_for
from app.store.inbox_reader import CursorInboxReader, FlagInboxReader
from app.store.links import StoredDeadLetters, StoredLinks
from app.store.operator_records import StoredRecords
from app.store.retention import StoredRetention
from app.store.schema import evidence, inbox, kept_bodies, links, timeline
from tests.fakes import START
from tests.store.conftest import Stores

LINKS, EVIDENCE = StoredLinks(), StoredEvidence()
MARK = "Marker-7f3a"
OLD, BEFORE, YOUNG = START, START + timedelta(days=30), START + timedelta(days=31)
ALERT = Alert(
    AlertId("a1"), "critical", kind="hallucination", model="gpt", category="Paraphrase", confidence=0.05,
    message=f"{MARK} message", claim=f"{MARK} claim", truth=f"{MARK} truth", query=f"{MARK} query",
    response=f"{MARK} response", confidence_text=f"{MARK} 5%", dashboard_url=f"https://tv.test/{MARK}",
    people={"email": f"{MARK}@example.test"}, extra={"severity_score": 7, "pii_type": f"{MARK} type", "blocked": True},
)  # fmt: skip
RESOLVED = SideState(Status.RESOLVED, OLD, OLD)
PAGED = Decision(Urgency.HIGH, "r", "v", "rule")


class Store:
    """A store, its inbox, and who erases there."""

    def __init__(self, stores: Stores, data_dir: Path) -> None:
        self.stores, self.data_dir = stores, data_dir
        self.on_sqlite = stores.inbox.dialect.name == "sqlite"
        url = stores.inbox.url.set(drivername="postgresql").render_as_string(hide_password=False)
        self.database_url = None if self.on_sqlite else url
        self.reader = CursorInboxReader(Database(stores.inbox)) if self.on_sqlite else FlagInboxReader(stores.bridge)
        self.inbox: ClosableInbox = inbox_for(self)
        self.bodies = StoredBodies(stores.bridge, stores.inbox, data_dir)
        self.erase_bodies = EraseBodies(self.bodies, lambda _seconds: None)
        self.retention = StoredRetention(stores.bridge, stores.inbox, data_dir)
        self.sweep = EraseOldEvidence(stores.bridge, LINKS, EVIDENCE, lambda: YOUNG)

    def link(self, alert: Alert = ALERT, **changes: object) -> Link:
        made = Link(alert, incident_key(alert.alert_id), OLD, decision=PAGED)
        with self.stores.bridge.begin() as tx:
            return LINKS.add(tx, replace(made, **changes))  # type: ignore[arg-type]

    def arrive(self, delivery_id: str, about: str, body: bytes, due: bool = False) -> None:
        """A webhook comes and is taken in."""
        assert self.inbox.add(Delivery(Source.TRUTHVOUCH, delivery_id, OLD, body))
        with self.stores.bridge.begin() as tx:
            rows = self.reader.next_rows(tx, 10)
            LINKS.take_bodies(tx, [TakenBody(row.inbox_id, about, due) for row in rows])
            self.reader.mark_taken(tx, rows, OLD)

    def erase(self, link: Link) -> Link:
        with self.stores.bridge.begin() as tx:
            erased, entry = EraseEvidence(LINKS, EVIDENCE)(tx, LINKS.get(tx, link.link_id), YOUNG, {"because": "asked"})
            LINKS.write_timeline(tx, [entry])
        return erased

    def read(self, link: Link) -> Link:
        with self.stores.bridge.begin() as tx:
            return LINKS.get(tx, link.link_id)

    def rows(self, column: sa.Column[object]) -> list[object]:
        engine = self.stores.inbox if column.table is inbox else self.stores.bridge.engine
        with engine.connect() as reader:
            return list(reader.execute(sa.select(column).order_by(*column.table.primary_key)).scalars())

    def holds(self, word: str) -> list[str]:
        """The files, or the dump, that hold a word, in any case."""
        if self.on_sqlite:
            files = (path for path in self.data_dir.rglob("*") if path.is_file())
            return [path.name for path in files if word.lower().encode() in path.read_bytes().lower()]
        if shutil.which("pg_dump") is None:
            pytest.skip("no pg_dump: nobody can tell what PostgreSQL still holds")
        assert self.database_url
        dump = subprocess.run(["pg_dump", self.database_url], check=True, capture_output=True).stdout.lower()
        found = word.lower().encode()
        return ["dump"] if found in dump or found.hex().encode() in dump else []


@pytest.fixture
def store(stores: Stores, tmp_path: Path) -> Iterator[Store]:
    made = Store(stores, tmp_path)
    yield made
    made.inbox.close()


# ------------------------------------------------------------------------------------------------------- where it is


def test_an_alert_comes_back_as_it_was_and_its_link_holds_no_text(store: Store) -> None:
    link = store.link()
    assert ALERT == store.read(link).alert
    (state,) = store.rows(links.c.state)
    assert MARK not in str(state)
    stays = {"alert_id", "severity", "kind", "model", "category", "confidence", "extra"}
    assert stays == set(json.loads(str(state))["alert"])
    assert {"severity_score": 7, "blocked": True} == json.loads(str(state))["alert"]["extra"]


def test_an_alert_that_says_nothing_has_no_evidence(store: Store) -> None:
    link = store.link(Alert(AlertId("a1"), "high", extra={"score": 1}))
    assert [] == store.rows(evidence.c.texts)
    assert {"score": 1} == store.read(link).alert.extra


def statements(tx: Tx) -> list[str]:
    """What a transaction asks of links and evidence from now on, by its first word; figures have their own tests."""
    said: list[str] = []
    assert isinstance(tx, sa.Connection)

    def asked(*fields: Any) -> None:
        if not any(word in fields[2] for word in ("figures", "titles", "moments")):
            said.append(fields[2].split()[0])

    sa.event.listen(tx, "before_cursor_execute", asked)
    return said


def test_it_is_read_with_its_link_and_written_again_only_where_it_has_changed(store: Store) -> None:
    link = store.link()
    with store.stores.bridge.begin() as tx:
        said = statements(tx)
        read = LINKS.get(tx, link.link_id)
        LINKS.save(tx, replace(read, flaps=1))
        LINKS.save(tx, replace(read, alert=replace(read.alert)))
        assert ["SELECT", "UPDATE", "UPDATE"] == said
        LINKS.save(tx, replace(read, alert=replace(read.alert, severity="high")))
        assert ["SELECT", *["UPDATE"] * 3] == said, "a number or a label is no evidence"
        LINKS.save(tx, replace(read, alert=replace(read.alert, claim="another")))
        assert ["SELECT", *["UPDATE"] * 4, "INSERT"] == said
    assert "another" == store.read(link).alert.claim


def test_a_batch_writes_the_evidence_of_its_new_links_at_once(store: Store) -> None:
    with store.stores.bridge.begin() as tx:
        said = statements(tx)
        with LINKS.batch(tx):
            for number in range(5):
                alert = replace(ALERT, alert_id=AlertId(f"a{number}"))
                made = LINKS.add(tx, Link(alert, incident_key(alert.alert_id), OLD))
                LINKS.save(tx, replace(made, alert=replace(alert, claim=f"claim {number}")))
    assert 5 == len(store.rows(evidence.c.texts))
    assert 12 >= said.count("INSERT"), "a link each, their evidence together, and what changed since"
    with store.stores.bridge.begin() as tx:
        assert ["claim 0", "claim 4"] == [
            link.alert.claim for one in ("a0", "a4") if (link := LINKS.by_alert(tx, AlertId(one)))
        ]


# ------------------------------------------------------------------------------------------------------- erasing


def full(store: Store) -> Link:
    """An alert that is everywhere: in its link, notes, time line, dead letters and raw bodies, in pages that are split
    and in rows that grow."""
    for number in range(40):
        store.link(replace(ALERT, alert_id=AlertId(f"b{number}"), message=f"other {number} " * 200, claim=None,
                           truth=None, query=None, response=None, confidence_text=None, dashboard_url=None, people={},
                           extra={}))  # fmt: skip
    link = store.link(alert_side=RESOLVED, incident_side=RESOLVED, closing_text=f"as {MARK} claim says",
                      closed_by=f"{MARK}@example.test", last_note=f"see: {MARK} response")  # fmt: skip
    with store.stores.bridge.begin() as tx:
        facts = {"said": f"bad title: {MARK} message", "list": [f"{MARK} query"]}
        LINKS.write_timeline(
            tx, [TimelineEntry(OLD, "alert.resolved", link.link_id, "a1", None, f"{MARK}@example.test", facts)]
        )
        number = LINKS.add_dead_letter(
            tx, DeadLetter(0, "effect", "bad", OLD, 1, f"400: {MARK} message", link.link_id, Side.PAGERDUTY)
        )
        StoredDeadLetters().close(tx, number, "discarded", OLD, "somebody")
        for size in (10, 3000, 20_000, 50):
            text = f"{MARK} claim" + "x" * size
            link = replace(link, alert=replace(link.alert, claim=text if size > 50 else f"{MARK} claim"))
            LINKS.save(tx, link)
    for number in range(30):
        store.arrive(f"d{number}", "a1", json.dumps({"message": f"{MARK} {number}" * (1 + number * 20)}).encode())
        store.arrive(f"e{number}", "b1", b"other" * number * 50)
    return link


def test_what_was_erased_is_in_no_file_and_in_no_dump(store: Store) -> None:
    link = full(store)
    assert [] != store.holds(MARK)
    store.erase(link)
    store.erase_bodies()
    assert [] == store.holds(MARK)
    assert 40 == len(store.rows(evidence.c.texts)), "what others say stays"


def test_it_is_there_as_long_as_the_pragma_is_off(
    stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The search finds what a deletion leaves behind, so an empty answer says something."""
    if stores.inbox.dialect.name != "sqlite":
        return
    for engine in (stores.bridge.engine, stores.inbox):
        engine.dispose()
    monkeypatch.setitem(opened.PRAGMAS, "secure_delete", "OFF")
    store = Store(stores, tmp_path)
    link = full(store)
    store.erase(link)
    store.erase_bodies()
    assert {"bridge.db", "inbox.db"} == set(store.holds(MARK))
    store.inbox.close()


def test_every_connection_overwrites_what_it_deletes(store: Store) -> None:
    if not store.on_sqlite:
        return
    for engine in (store.stores.bridge.engine, store.stores.inbox):
        with engine.connect() as one:
            assert 1 == one.exec_driver_sql("PRAGMA secure_delete").scalar_one()


def test_what_stays_of_an_erased_alert(store: Store) -> None:
    link = store.link(
        alert_side=RESOLVED, incident_side=RESOLVED, verdict="false_alert", closing_text="It was noise, says Dana."
    )
    erased = store.erase(link)
    assert erased == store.read(link)
    stays = Alert(
        ALERT.alert_id, "critical", kind="hallucination", model="gpt", category="Paraphrase", confidence=0.05,
        extra={"severity_score": 7, "blocked": True}, erased_at=YOUNG,
    )  # fmt: skip
    assert (stays, "false_alert", PAGED) == (erased.alert, erased.verdict, erased.decision)
    assert "It was noise, says Dana." == erased.closing_text, "a person's own words"
    assert [] == store.rows(evidence.c.texts)
    assert ["alert.erased"] == store.rows(timeline.c.event)


def test_the_row_of_an_erased_body_and_its_digest_stay(store: Store) -> None:
    link = store.link()
    store.arrive("d1", "a1", b"one")
    store.arrive("d2", "another", b"two")
    store.erase(link)
    store.erase_bodies()
    assert [b"", b"two"] == [bytes(body) for body in store.rows(inbox.c.body)]  # type: ignore[call-overload]
    digest = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    assert [digest, None] == store.rows(inbox.c.erased_sha256)
    assert not store.inbox.add(Delivery(Source.TRUTHVOUCH, "d1", YOUNG, b"one")), "it is still a duplicate"
    assert ["another"] == store.rows(kept_bodies.c.subject)
    with store.stores.bridge.begin() as tx:
        (first, second) = store.rows(inbox.c.id)
        assert None is store.reader.row(tx, first)  # type: ignore[arg-type]
        assert b"two" == store.reader.row(tx, second).delivery.body  # type: ignore[union-attr, arg-type]


def test_it_is_not_done_before_no_log_holds_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    link = store.link()
    store.arrive("d1", "a1", b"one")
    erased = store.erase(link)

    def kept() -> int:
        with store.stores.bridge.read() as tx:
            return StoredRecords().kept_bodies(tx, erased)

    with monkeypatch.context() as patched:
        patched.setattr(store.bodies, "truncate_logs", lambda: False)
        store.erase_bodies()
        assert kept() > 0
        assert store.erase_bodies.wanted
    store.erase_bodies()
    assert (0, False) == (kept(), store.erase_bodies.wanted)


def test_a_log_that_is_read_is_truncated_later(store: Store) -> None:
    if not store.on_sqlite:
        return
    store.link()
    reader = sqlite3.connect(store.data_dir / "bridge.db")
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM links").fetchall()
    store.link(replace(ALERT, alert_id=AlertId("a2")))
    assert not store.bodies.truncate_logs()
    reader.close()
    assert store.bodies.truncate_logs()
    assert 0 == (store.data_dir / "bridge.db-wal").stat().st_size


# ------------------------------------------------------------------------------------------------------- by its age

OUTSTANDING = DeliveryState(outstanding=True, seq=1, since=OLD)


@pytest.mark.parametrize(
    ("changes", "goes"),
    [
        ({"alert_side": RESOLVED, "incident_side": RESOLVED}, True),
        ({"alert_side": SideState(Status.OPEN, OLD, OLD), "decision": None}, True),
        ({"alert_side": SideState(Status.OPEN, OLD, OLD), "incident_side": RESOLVED}, True),
        ({"incident_side": SideState(Status.OPEN, OLD, OLD)}, False),
        ({"incident_side": SideState(Status.ACKNOWLEDGED, OLD, OLD), "alert_side": RESOLVED}, False),
        ({"pagerduty": OUTSTANDING}, False),
        ({"truthvouch": OUTSTANDING, "alert_side": RESOLVED, "incident_side": RESOLVED}, False),
        ({"alert_side": replace(RESOLVED, received_at=YOUNG)}, False),
        ({"first_seen_at": YOUNG}, False),
        ({"decision": Decision(None, "quiet", "v", "silenced")}, False),
    ],
)
def test_evidence_goes_once_its_alert_is_over_or_nothing_was_heard_of_it(
    store: Store, changes: dict[str, object], goes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "LINKS_AT_ONCE", 2)
    link = store.link(ALERT, **changes)
    for number in range(3):
        store.link(replace(ALERT, alert_id=AlertId(f"b{number}")), incident_side=SideState(Status.OPEN, OLD, OLD))
    assert ([1] if goes else []) == list(store.sweep(BEFORE))
    assert (YOUNG if goes else None) == store.read(link).erased_at
    assert [] == list(store.sweep(BEFORE))


def test_a_line_of_its_time_line_that_is_young_keeps_it(store: Store) -> None:
    link = store.link(alert_side=RESOLVED)
    with store.stores.bridge.begin() as tx:
        LINKS.write_timeline(tx, [TimelineEntry(BEFORE, "alert.escalated", link.link_id)])
    assert [] == list(store.sweep(BEFORE))


def test_an_open_dead_letter_keeps_it(store: Store) -> None:
    link = store.link(alert_side=RESOLVED)
    with store.stores.bridge.begin() as tx:
        number = LINKS.add_dead_letter(tx, DeadLetter(0, "effect", "bad", OLD, link_id=link.link_id))
    assert [] == list(store.sweep(BEFORE))
    with store.stores.bridge.begin() as tx:
        StoredDeadLetters().close(tx, number, "discarded", OLD, "somebody")
    assert [1] == list(store.sweep(BEFORE))


def test_a_link_that_cannot_be_read_keeps_no_other(store: Store) -> None:
    spoilt, other = store.link(), store.link(replace(ALERT, alert_id=AlertId("a2")), alert_side=RESOLVED)
    with store.stores.bridge.begin() as tx:
        assert isinstance(tx, sa.Connection)
        tx.execute(sa.update(links).where(links.c.id == spoilt.link_id).values(state="{broken", status="resolved"))
    assert [1] == list(store.sweep(BEFORE))
    assert YOUNG == store.read(other).erased_at


def test_raw_bodies_go_by_their_own_age_whatever_they_are_about(store: Store) -> None:
    for number in range(3):
        store.arrive(f"d{number}", f"a{number}", b"one")
    assert store.inbox.add(Delivery(Source.TRUTHVOUCH, "young", YOUNG, b"young"))
    assert store.inbox.add(Delivery(Source.TRUTHVOUCH, "waits", OLD, b"waits"))
    first = store.rows(inbox.c.id)[0]
    with store.stores.bridge.begin() as tx:
        LINKS.add_dead_letter(tx, DeadLetter(0, "event", "x", OLD, inbox_id=first))  # type: ignore[arg-type]
    assert [2] == list(store.retention.sweep_bodies(BEFORE))
    bodies = {bytes(body) for body in store.rows(inbox.c.body)}  # type: ignore[call-overload]
    assert {b"one", b"", b"young", b"waits"} == bodies, "not what is young, waits, or would be replayed"
    assert ["a0"] == store.rows(kept_bodies.c.subject)
    assert [] == list(store.retention.sweep_bodies(BEFORE))
