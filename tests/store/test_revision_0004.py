"""What was written before revision 0004 is read after it: same targets, same calls, nothing twice, on both stores."""

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from hypothesis import given
from hypothesis import strategies as st

from app.domain.escalation.state import Escalation, State
from app.domain.model.events import AlertEventType, IncidentEventType
from app.domain.model.incident import IncidentFacts
from app.domain.model.outcome import Done
from app.domain.model.types import AlertId, IncidentId, Side, Status, Via
from app.domain.sync.delivery import record
from app.domain.sync.effects import (
    AddNote,
    Circumstances,
    LookForIncident,
    OpenIncident,
    ReadAlert,
    ReadIncident,
    SetAlert,
    SetIncident,
    desired_effect,
    next_effect,
)
from app.domain.sync.link import DeliveryState, Flip, HistoryEntry, Link, Note
from app.domain.sync.side_state import PendingWrite, Said, SideState, said
from app.ports import Page
from app.store import codec
from app.store import inbox as internal_events
from app.store.database import MIGRATIONS, Database, open_bridge, open_inbox
from app.store.escalations import StoredEscalations
from app.store.links import StoredLinks
from app.store.migrate import migrate
from app.store.operator_records import StoredRecords
from app.store.schema import links
from tests.store import old_links as old
from tests.store.old_links import Json, at, clock, instant, known, write

OPEN, ACKNOWLEDGED, RESOLVED = Status
NOW = instant(120)


def _revision() -> Any:
    file = MIGRATIONS / "bridge" / "versions" / "0004_sides.py"
    spec = importlib.util.spec_from_file_location("revision_0004", file)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


REVISION = _revision()


def migrated(state: Json, now: datetime = NOW) -> Link:
    """The link as it is read after the upgrade."""
    return codec.LINK.load(json.dumps(REVISION.new_link(state, now)))


def effect_for(link: Link, side: Side, now: datetime = NOW, **circumstances: Any) -> object:
    return next_effect(link, side, Circumstances(now, **circumstances))


# ------------------------------------------------------------------------------------------------------- one link


def test_every_field_is_carried_over() -> None:
    link = migrated(old.EVERYTHING)
    assert (
        Link(
            link.alert,
            link.incident_key,
            link.first_seen_at,
            link.link_id,
            agreed=OPEN,
            alert_side=SideState(
                OPEN,
                None,  # it is of the read that showed what TruthVouch did not keep
                instant(2.5),
                unconfirmed_count=3,
                written=(ACKNOWLEDGED,),
            ),
            incident_side=SideState(
                ACKNOWLEDGED,
                instant(3),
                instant(3),
                by_us=True,
                confirmed=True,
                previous=OPEN,
                unconfirmed_count=2,
                written=(RESOLVED, ACKNOWLEDGED),
            ),
            life=1,
            decision=link.decision,
            via=Via.EVENTS,
            incident_id=IncidentId("Q1"),
            incident_number=17,
            incident_url="https://pd.test/17",
            open_tried=True,
            merged=True,
            guests=True,
            closed_by="Dana",
            closing_text="noise",
            last_note="It is noise.",
            notes=(
                Note("r1", "", done=True),
                Note("r2", "given up (ref r2)", done=True, given_up=True),
                Note("r3", "owed (ref r3)", held_until=instant(9)),
            ),
            history=(
                HistoryEntry(instant(0), "triggered", Side.PAGERDUTY),
                HistoryEntry(instant(1), "unacknowledged", Side.PAGERDUTY, "Dana"),
            ),
            verdict="false_alert",
            flaps=2,
            hold_until=instant(30),
            flips=(Flip(instant(2), Side.TRUTHVOUCH, instant(2)), Flip(instant(2.5), Side.PAGERDUTY, instant(2.5))),
            frozen_at=instant(4),
            truthvouch=DeliveryState(True, 4, 2, instant(5), "http_500", instant(5), OPEN, "", "SetAlert", instant(6)),
            pagerduty=DeliveryState(seq=2, dead="bad_request"),
        )
        == link
    )
    assert (1, "a/1 ☃") == (link.link_id, link.alert.alert_id)


@pytest.mark.parametrize(
    ("heard", "alert", "incident", "agreed", "conflict"),
    [
        ({}, None, None, OPEN, None),
        ({}, "open", None, OPEN, None),
        ({}, "open", "open", OPEN, None),
        (clock(acknowledged=1), "acknowledged", "open", OPEN, None),
        (clock(acknowledged=1), "open", "acknowledged", OPEN, None),
        (clock(acknowledged=1), "acknowledged", None, OPEN, None),
        (clock(acknowledged=1), None, "acknowledged", OPEN, None),
        (clock(acknowledged=1), "acknowledged", "acknowledged", ACKNOWLEDGED, None),
        (clock(resolved=1), "resolved", "acknowledged", ACKNOWLEDGED, None),
        (clock(resolved=1), "open", "resolved", OPEN, None),
        (clock(resolved=1, reopened=2), "open", "resolved", RESOLVED, None),
        (clock(resolved=1, reopened=2), "resolved", "open", RESOLVED, None),
        (clock(acknowledged=1, unacknowledged=2), "acknowledged", "open", ACKNOWLEDGED, None),
        (clock(resolved=1), "open", "open", OPEN, "alert"),
        (clock(resolved=1), "open", "acknowledged", ACKNOWLEDGED, "alert"),
        (clock(resolved=1, reopened=2), "resolved", "acknowledged", ACKNOWLEDGED, "alert"),
        (clock(resolved=1), None, "acknowledged", ACKNOWLEDGED, "incident"),
        (clock(resolved=1, reopened=2), "resolved", None, RESOLVED, "alert"),
        (clock(acknowledged=1), None, None, ACKNOWLEDGED, None),
    ],
)
def test_both_agreed_where_the_target_does_not_stand(
    heard: Json, alert: str | None, incident: str | None, agreed: Status, conflict: str | None
) -> None:
    link = migrated(old.link(clock=heard, alert_side=known(alert, 1), incident_side=known(incident, 1)))
    target = Status(old.target_of(heard))
    assert (agreed, target) == (link.agreed, link.status)
    found = {"alert": link.alert_side.conflict, "incident": link.incident_side.conflict}
    assert {"alert": None, "incident": None} | ({conflict: target} if conflict else {}) == found


@pytest.mark.parametrize(
    ("state", "time"),
    [
        (old.link(alert_side=known("open", 1)), instant(1)),
        (old.link(alert_side=known("acknowledged", 1, kept=True)), None),
        (old.link(alert_side=known("open", 1), truthvouch={"unkept": 1}), None),
        (old.link(alert_side=known("resolved", 1, ours=True)), None),
        (
            old.link(alert_side=known("resolved", 1, ours=True), writes=[write("truthvouch", "resolved", 0.9, echo=1)]),
            instant(1),
        ),
        (old.link(alert_side=known("open", 1, ours=True), writes=[write("truthvouch", "resolved", 1)]), None),
    ],
)
def test_a_time_is_kept_only_where_the_alert_itself_told_it(state: Json, time: datetime | None) -> None:
    assert (time, instant(1)) == (migrated(state).alert_side.at, migrated(state).alert_side.received_at)


@pytest.mark.parametrize(
    ("fields", "time"),
    [
        ({"incident_side": known("acknowledged", 1, kept=True)}, instant(1)),
        ({"incident_side": known("resolved", 1, ours=True)}, None),
        (
            {
                "incident_side": known("resolved", 1, ours=True, kept=True),
                "writes": [write("pagerduty", "resolved", 1, exact=True)],
            },
            instant(1),
        ),
        (
            {
                "incident_side": known("open", 1),
                "history": [{"at": at(1), "what": "triggered", "side": "pagerduty"}],
                "via": "events",
            },
            None,
        ),
        (
            {"incident_side": known("open", 1), "history": [{"at": at(1), "what": "triggered", "side": "pagerduty"}]},
            instant(1),
        ),
    ],
)
def test_a_time_is_kept_only_where_the_incident_itself_told_it(fields: Json, time: datetime | None) -> None:
    link = migrated(old.link(**fields))
    assert (time, instant(1)) == (link.incident_side.at, link.incident_side.received_at)


def test_what_is_known_was_learned_before_now() -> None:
    """A clock that is ahead must not keep reads from counting."""
    assert instant(3) == migrated(old.link(alert_side=known("open", 4)), instant(3)).alert_side.received_at
    assert instant(2) == migrated(old.link(clock=clock(2), incident_side=known("open"))).incident_side.received_at
    assert None is migrated(old.link(incident_side=known("open"))).incident_side.received_at


def test_an_incident_that_was_looked_for_and_not_there_is_no_persons_resolve() -> None:
    link = migrated(old.link(alert_side=known("open", 1), incident_side=known("resolved", 0), clock=clock(reopened=1)))
    assert (True, RESOLVED, None) == (
        link.incident_side.by_us, link.incident_side.previous, link.incident_side.at,
    )  # fmt: skip
    assert OpenIncident(look_first=True) == effect_for(link, Side.PAGERDUTY)


# ------------------------------------------------------------------------------------------------------- lost answers

LOST: Json = {
    "clock": clock(acknowledged=1),
    "alert_side": known("acknowledged", 1),
    "incident_side": known("open", 0.5),
    "incident_id": "Q1",
    "writes": [write("pagerduty", "acknowledged", 1.5, "open", unclear=True)],
}


def test_a_write_whose_answer_was_lost_is_read_before_it_is_repeated() -> None:
    link = migrated(old.link(**LOST))
    assert PendingWrite(ACKNOWLEDGED, instant(1.5), True, OPEN, instant(0.5)) == link.incident_side.pending
    assert ReadIncident() == effect_for(link, Side.PAGERDUTY)
    assert SetIncident(ACKNOWLEDGED) == effect_for(link, Side.PAGERDUTY, has_api_key=False)


@pytest.mark.parametrize(
    "fields",
    [
        {"writes": [*LOST["writes"], write("pagerduty", "open", 1.6)]},  # a newer one was answered
        {"writes": [write("pagerduty", "acknowledged", 1.5, unclear=True, echo=1.6)]},  # its event came
        {"incident_side": known("open", 17)},  # the side has spoken since
        {"pagerduty": {"refused": "acknowledged", "dead": "gave_up:read_timeout"}},  # it was given up
        {"incident_side": known("acknowledged", 0.5)},
    ],
)
def test_a_write_that_is_settled_is_not_asked_about(fields: Json) -> None:
    side = migrated(old.link(**LOST | fields)).incident_side
    assert (None, False) == (side.pending, side.must_read)


def test_a_lost_write_of_something_else_keeps_the_target_once_it_is_found() -> None:
    """The alert was reopened while our resolve of it was lost, and its incident is resolved: both are to be open."""
    state = old.link(
        clock=clock(acknowledged=1, resolved=2, reopened=4),
        alert_side=known("acknowledged", 1),
        incident_side=known("resolved", 2),
        writes=[write("truthvouch", "resolved", 3, "acknowledged", unclear=True)],
    )
    link = migrated(state)
    assert (OPEN, ReadAlert()) == (link.status, effect_for(link, Side.TRUTHVOUCH))
    assert (None, OPEN) == (link.alert_side.conflict, link.incident_side.conflict)
    assert link.alert_side.pending
    assert link.alert_side.pending.answers


def test_a_side_that_may_have_been_moved_away_from_the_target_is_read_and_moved_back() -> None:
    """Our resolve was lost, then the alert was reopened: what is known is what should be, and it may not be so."""
    lost = write("pagerduty", "resolved", 1.5, "open", unclear=True)
    state = LOST | {"clock": clock(resolved=1, reopened=2), "alert_side": known("open", 2), "writes": [lost]}
    link = migrated(old.link(**state))
    assert (OPEN, OPEN) == (link.status, link.incident_side.status)
    assert ReadIncident() == effect_for(link, Side.PAGERDUTY)
    facts = IncidentFacts(IncidentId("Q1"), RESOLVED, status_changed_at=instant(1.5))
    read = record(link, Side.PAGERDUTY, ReadIncident(), Done(facts, NOW), NOW, 0.5, NOW).link
    assert (OPEN, RESOLVED) == (read.status, read.incident_side.status)
    assert SetIncident(OPEN) == effect_for(read, Side.PAGERDUTY, NOW)


@pytest.mark.parametrize(("outstanding", "effect"), [(False, None), (True, ReadIncident())])
def test_what_is_over_is_asked_about_only_while_a_delivery_is_under_way(outstanding: bool, effect: object) -> None:
    state = LOST | {
        "clock": clock(acknowledged=1, resolved=1.6),
        "alert_side": known("resolved", 1.6),
        "incident_side": known("resolved", 1.6),
        "pagerduty": old.dense(outstanding=outstanding, seq=1),
    }
    assert effect == effect_for(migrated(old.link(**state)), Side.PAGERDUTY)


def test_a_resolve_by_event_that_nobody_has_seen_is_read_where_that_can_be_done() -> None:
    state = old.link(
        clock=clock(resolved=1),
        alert_side=known("resolved", 1),
        incident_side=known("resolved", 1, ours=True, was="acknowledged"),
        via="events",
        incident_id="Q1",
        writes=[write("pagerduty", "resolved", 1, "acknowledged")],
        resolve_unseen=True,
    )
    link = migrated(state)
    assert (RESOLVED, True, ACKNOWLEDGED) == (link.status, link.incident_side.must_read, link.incident_side.previous)
    assert ReadIncident() == effect_for(link, Side.PAGERDUTY)
    assert None is effect_for(link, Side.PAGERDUTY, has_api_key=False)
    unfound = migrated({name: value for name, value in state.items() if name != "incident_id"})
    assert LookForIncident() == effect_for(unfound, Side.PAGERDUTY)


def test_an_event_received_before_the_upgrade_says_nothing_new_after_it() -> None:
    link = migrated(old.link(clock=clock(acknowledged=1), incident_side=known("acknowledged", 1)))
    again, applied = said(link.incident_side, Said(ACKNOWLEDGED, instant(1), NOW), readable=True)
    assert ("already_so", ACKNOWLEDGED) == (applied, again.status)
    stale, applied = said(link.incident_side, Said(OPEN, instant(0.5), NOW), readable=True)
    assert ("stale", ACKNOWLEDGED) == (applied, stale.status)


# ------------------------------------------------------------------------------------------------------- any link

STATUSES = [status.value for status in Status]
minutes = st.integers(0, 40)
maybe = st.none() | minutes
statuses = st.sampled_from(STATUSES)
clocks = st.builds(clock, maybe, maybe, maybe, maybe) | st.builds(
    lambda acknowledged, resolved, reopened, begun: clock(acknowledged, None, resolved, reopened, reopened, begun),
    maybe,
    maybe,
    minutes,
    maybe,
)
sides: st.SearchStrategy[Json] = st.just({}) | st.builds(
    known, statuses, maybe, st.booleans(), st.booleans(), st.none() | statuses
)
writes = st.lists(
    st.builds(
        write,
        st.sampled_from(["truthvouch", "pagerduty"]),
        statuses,
        minutes,
        st.none() | statuses,
        unclear=st.booleans(),
        exact=st.booleans(),
        echo=st.none() | minutes,
    ),
    max_size=4,
)
deliveries = st.builds(
    lambda **fields: old.dense(**fields),
    outstanding=st.booleans(),
    seq=st.integers(0, 3),
    attempt=st.sampled_from([0, 2, 13]),
    failing=st.sampled_from(["", "not_there_yet", "http_500"]),
    since=st.none() | minutes.map(at),
    refused=st.none() | statuses,
    dead=st.sampled_from(["", "", "bad_request"]),
    unkept=st.sampled_from([0, 0, 2, 7]),
)
decisions = st.sampled_from(
    [
        None,
        {"urgency": None, "rule": "r", "version": "v", "reason": "suppressed"},
        {"urgency": "high", "rule": "r", "version": "v", "reason": "rule"},
    ]
)
any_link = st.builds(
    lambda decision, **fields: {**old.link(**fields), "decision": decision},
    decision=decisions,
    clock=clocks,
    alert_side=sides,
    incident_side=sides,
    via=st.sampled_from(["rest", "events"]),
    incident_id=st.none() | st.just("Q1"),
    open_tried=st.booleans(),
    merged=st.booleans(),
    guests=st.booleans(),
    notes=st.lists(st.builds(lambda done: old.dense(ref="r1", content="c", done=done), st.booleans()), max_size=1),
    writes=writes,
    resolve_unseen=st.booleans(),
    hold_until=st.none() | minutes.map(at),
    frozen_at=st.none() | minutes.map(at),
    truthvouch=deliveries,
    pagerduty=deliveries,
)


@given(any_link)
def test_what_both_sides_should_be_stays_as_it_was(state: Json) -> None:
    new = REVISION.new_link(state, NOW)
    link = codec.LINK.load(json.dumps(new))
    assert old.target_of(state.get("clock", {})) == link.status == REVISION.target_of(new)
    for side, name in ((link.alert_side, "alert_side"), (link.incident_side, "incident_side")):
        assert state.get(name, {}).get("status") == side.status
    assert [note["ref"] for note in state.get("notes", [])] == [note.ref for note in link.notes]
    for now, before in ((link.truthvouch, state.get("truthvouch")), (link.pagerduty, state.get("pagerduty"))):
        before = before or {}
        kept = (before.get("refused"), before.get("dead", ""), before.get("seq", 0), before.get("outstanding", False))
        assert kept == (now.refused, now.dead, now.seq, now.outstanding)


def was_pending(state: Json, side: Side, readable: bool) -> set[str]:
    """What the old model owed that side at most: one that is not at the target a write, and a read before it; one where
    a write may have been made a read, or where none can be made (or would be pointless) what the read would be for."""
    known_there = state.get("alert_side" if side is Side.TRUTHVOUCH else "incident_side", {})
    status, target, delivery = known_there.get("status"), old.target_of(state.get("clock", {})), state.get(side, {})
    calls, by_steps = set(), (status, target) == ("resolved", "acknowledged")
    if status not in (None, target) and (delivery.get("refused") != target or by_steps):
        calls |= {"write", "read"}
    if side is Side.PAGERDUTY and state.get("resolve_unseen"):
        calls |= {"read"}
    newest = [one for one in state.get("writes", ()) if one["side"] == side][-1:]
    if newest and newest[0].get("unclear"):
        calls |= {"read"} if readable and target != "resolved" else {"read", "write"}
    return calls


@given(any_link, st.booleans(), st.booleans())
def test_no_call_is_owed_that_was_not_owed_before(state: Json, has_api_key: bool, held: bool) -> None:
    link = migrated(state)
    for side in Side:
        effect = desired_effect(link, side, Circumstances(NOW, has_api_key=has_api_key, held=held))
        readable = side is Side.TRUTHVOUCH or (has_api_key and link.incident_id is not None)
        calls = was_pending(state, side, readable)
        match effect:
            case SetAlert(status) | SetIncident(status):
                unclear_create = side is Side.PAGERDUTY and link.incident_side.status is None and link.open_tried
                assert "write" in calls or unclear_create
                # An event cannot acknowledge what is resolved: that is opened first.
                assert status in (link.status, OPEN)
            case ReadAlert() | ReadIncident():
                assert "read" in calls
            case OpenIncident():
                assert link.incident_side.status is None or (link.via is Via.REST and link.incident_id is None)
                assert link.status is not RESOLVED
            case AddNote(ref):
                assert [{"ref": ref, "content": "c"}] == state["notes"]
            case LookForIncident() | None:
                pass
            case _:
                pytest.fail(f"{effect} was never owed")


@given(any_link)
def test_a_write_that_is_owed_stays_owed(state: Json) -> None:
    """Or a read before it, or what it waits behind: nothing is forgotten."""
    link = migrated(state)
    delivery, side = state.get("truthvouch", {}), state.get("alert_side", {})
    closed_for_good = side.get("status") == "resolved" and delivery.get("refused") is not None
    if side.get("status") in (None, link.status) or link.frozen_at or closed_for_good or delivery.get("refused"):
        return
    assert isinstance(desired_effect(link, Side.TRUTHVOUCH, Circumstances(NOW)), SetAlert | ReadAlert)


# ------------------------------------------------------------------------------------------------------- escalations


def escalated(state: Json, link: Json | None = None) -> Escalation:
    new_link = None if link is None else REVISION.new_link(link, NOW)
    return codec.ESCALATION.load(json.dumps(REVISION.new_escalation(state, new_link, NOW)))


def test_an_escalation_that_somebody_stopped_stays_stopped() -> None:
    heard = clock(acknowledged=5, resolved=2, reopened=3)
    state = old.escalation(heard=heard, link_id=1, alert_id="a1", state="paused", reason="acknowledged")
    linked = old.link(clock=heard, alert_side=known("acknowledged", 5), incident_side=known("open", 3))
    escalation = escalated(state, linked)
    assert (State.PAUSED, ACKNOWLEDGED, 1, 1) == (
        escalation.state,
        escalation.status,
        escalation.life,
        escalation.levels_done,
    )
    assert (ACKNOWLEDGED, SideState()) == (escalation.links_status, escalation.incident_side)
    assert migrated(linked).life == escalation.life


def test_what_only_the_escalation_knew_is_the_incidents_own() -> None:
    state = old.escalation(heard=clock(acknowledged=5), link_id=1, state="paused", reason="acknowledged")
    escalation = escalated(state, old.link(alert_side=known("open", 0)))
    assert (OPEN, ACKNOWLEDGED) == (escalation.links_status, escalation.status)
    assert SideState(ACKNOWLEDGED, received_at=instant(5)) == escalation.incident_side


@pytest.mark.parametrize("why", [{"merged": True}, {"guests": True}, None])
def test_of_an_incident_of_several_alerts_their_common_status_is_known(why: Json | None) -> None:
    state = old.escalation(heard=clock(acknowledged=5), link_id=1, state="paused", reason="acknowledged")
    escalation = escalated(state, old.link(**why) if why else None)
    assert (ACKNOWLEDGED, SideState()) == (escalation.links_status, escalation.incident_side)


def test_a_resolve_that_is_held_back_has_not_ended_it() -> None:
    escalation = escalated(
        old.escalation(link_id=1), old.link(clock=clock(resolved=5), alert_side=known("resolved", 5))
    )
    assert (OPEN, State.RUNNING) == (escalation.status, escalation.state)


def test_an_escalation_without_an_alert_knows_its_incident_itself() -> None:
    escalation = escalated(
        old.escalation(heard=clock(acknowledged=5), state="paused", reason="acknowledged", by="Dana")
    )
    assert (OPEN, SideState(ACKNOWLEDGED, received_at=instant(5))) == (
        escalation.links_status,
        escalation.incident_side,
    )
    assert SideState() == escalated(old.escalation(by="Dana")).incident_side


def test_an_escalation_that_is_over_stays_over() -> None:
    escalation = escalated(old.escalation(heard=clock(resolved=5), link_id=1, state="finished", reason="resolved"))
    assert (State.FINISHED, "resolved", RESOLVED) == (escalation.state, escalation.reason, escalation.status)


# ------------------------------------------------------------------------------------------------------- both stores


class OldStore:
    """A store as the version before left it."""

    def __init__(self, data_dir: Path, url: str | None) -> None:
        self.data_dir = data_dir
        self.engine, self.inbox = open_bridge(data_dir, url), open_inbox(data_dir, url)
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS / "bridge"))
        with self.engine.begin() as one:
            config.attributes |= {"connection": one, "version_table": "bridge_version"}
            command.upgrade(config, "0003")

    def write(self, table: str, *rows: Json) -> None:
        with self.engine.begin() as one:
            one.execute(sa.insert(sa.table(table, *(sa.column(name) for name in rows[0]))), list(rows))

    def add(self, state: Json | str, number: int) -> None:
        """A link with its columns, as they were kept."""
        answer = state if isinstance(state, dict) else {}
        row = {
            "id": number, "alert_id": f"a{number}", "incident_key": f"k{number}", "first_seen_at": number,
            "incident_id": answer.get("incident_id"), "status": old.target_of(answer.get("clock", {})), "paged": True,
            "alert_status": answer.get("alert_side", {}).get("status"),
            "incident_status": answer.get("incident_side", {}).get("status"),
            "state": state if isinstance(state, str) else json.dumps(state, ensure_ascii=False, separators=(",", ":")),
        }  # fmt: skip
        self.write("links", row)

    def migrate(self) -> Database:
        migrate(self.engine, self.inbox, self.data_dir)
        return Database(self.engine)

    def rows(self) -> list[Any]:
        with self.engine.connect() as one:
            return list(one.execute(sa.select(links).order_by(links.c.id)).all())


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OldStore]:
    url = request.getfixturevalue("postgres_url") if request.param == "postgresql" else None
    made = OldStore(tmp_path, url)
    yield made
    made.engine.dispose()
    made.inbox.dispose()


UNMATCHED = {
    "verb": "read", "incident_id": "Q9", "event": "incident.read", "at": at(1), "incident_key": "k",
    "status": "acknowledged", "read_at": at(2),
}  # fmt: skip


def test_a_store_of_the_version_before_opens_and_goes_on(store: OldStore) -> None:
    store.add(old.EVERYTHING, 1)
    store.add(old.link(**LOST) | {"link_id": 2}, 2)
    store.write("strays", {"incident_id": "Q9", "inbox_id": 7, "at": 1, "word": json.dumps(UNMATCHED)})
    paused = old.escalation("Q1", clock(acknowledged=3), link_id=1, state="paused", reason="acknowledged")
    store.write(
        "escalations",
        {"incident_id": "Q1", "link_id": 1, "finished": False, "changed_at": 1, "state": json.dumps(paused)},
        {"incident_id": "Q8", "link_id": None, "finished": False, "changed_at": 1, "state": "{broken"},
    )
    database = store.migrate()
    with database.begin() as tx:
        first, second = StoredLinks().by_alert(tx, AlertId("a1")), StoredLinks().by_incident(tx, IncidentId("Q1"))[1]
        assert (migrated(old.EVERYTHING), 2) == (first, second.link_id)
        assert ReadIncident() == effect_for(second, Side.PAGERDUTY)
        StoredLinks().save(tx, replace(second, alert_side=SideState(RESOLVED, instant(9))))
        [event] = StoredLinks().take_unmatched(tx, IncidentId("Q9"))
        assert (IncidentEventType.READ, ACKNOWLEDGED, False) == (event.type, event.status, event.time_unread)
        escalation = StoredEscalations().find(tx, IncidentId("Q1"))
        assert escalation
        assert (State.PAUSED, ACKNOWLEDGED, 1) == (escalation.state, escalation.status, escalation.life)
    with database.read() as tx:
        assert RESOLVED is StoredLinks().peek(tx, second.link_id).status
        assert [1] == [link.link_id for link in StoredRecords().about(tx, "#17")], "its number is still found"
        listed = [row["status"] for row in StoredRecords().links(tx, Page(10))]
    assert ["resolved", "acknowledged"] == listed, "newest first"


def test_columns_say_what_the_link_says_and_several_pages_are_rewritten(store: OldStore) -> None:
    states = [
        old.link(clock=clock(resolved=1), alert_side=known("resolved", 1), incident_side=known("open", 0)),
        old.link(clock=clock(resolved=1), alert_side=known("open", 1), incident_side=known("open", 0)),
        old.link(clock=clock(acknowledged=1), alert_side=known("acknowledged", 1)),
        old.link(),
    ]
    for number, state in enumerate(states, 1):
        store.add(state, number)
    many = 1100
    alike = {"first_seen_at": 1, "status": "open", "paged": False, "state": json.dumps(states[0])}
    rows = [{"id": 10 + n, "alert_id": f"b{n}", "incident_key": f"b{n}", **alike} for n in range(many)]
    store.write("links", *rows)
    store.migrate()
    found = store.rows()
    for row in found:
        link = codec.LINK.load(row.state)
        assert (link.status, link.alert_side.status, link.incident_side.status) == (
            row.status, row.alert_status, row.incident_status,
        )  # fmt: skip
    assert many + len(states) == len(found)
    assert [status.value for status in (RESOLVED, RESOLVED, ACKNOWLEDGED, OPEN)] == [row.status for row in found[:4]]


@pytest.mark.parametrize(
    "text", ["{broken", "[]", '"text"', "", '{"clock": {"resolved_at": "never"}}', '{"writes": 7}']
)
def test_a_row_that_cannot_be_read_is_left_alone(store: OldStore, text: str) -> None:
    store.add(text, 1)
    store.add(old.link(clock=clock(resolved=1)), 2)
    store.migrate()
    broken, good = store.rows()
    assert text == broken.state
    assert RESOLVED is codec.LINK.load(good.state).status


def test_what_no_text_column_takes_is_still_written(store: OldStore) -> None:
    state = old.link(last_note="half a pair: \ud800, nothing: \0, snow: ☃")
    store.add(json.dumps(state), 1)
    store.migrate()
    [row] = store.rows()
    assert state["last_note"] == json.loads(row.state)["last_note"]


def test_internal_events_are_read_after_the_upgrade() -> None:
    """A finding of reconciliation that waits in the inbox was written without the fields of today."""
    alert = {"verb": "read", "alert": {"alert_id": "a1"}, "event": "alert.read", "status": "resolved", "read_at": at(2)}
    body = json.dumps({"alerts": [alert], "incidents": [UNMATCHED]}).encode()
    first, second = internal_events.read(body, None)
    assert (AlertEventType.READ, RESOLVED, False) == (first.type, first.status, first.time_unread)  # type: ignore[union-attr]
    assert (IncidentEventType.READ, None, False) == (second.type, second.note_id, second.trimmed)  # type: ignore[union-attr]
