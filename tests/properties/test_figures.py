"""What reports count in the store is what the whole record says, link by link: in any zone, as of any instant, on both
stores; and it does not matter whether the rows were written with the links or after an upgrade."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.model.types import FALSE_ALERT, TRUE_ALERT, Alert, AlertId, IncidentId, Side, Urgency, incident_key
from app.domain.reports.period import between
from app.domain.reports.record import record_of, state_at
from app.domain.reports.totals import fold, frame
from app.domain.rules.rulebook import Decision, Redaction, Rulebook, Sla
from app.domain.sync.link import HISTORY_LIMIT, HistoryEntry, Link, remembering
from app.services.reports.report import Reports, rounded
from app.store.database import Database, open_bridge, open_inbox
from app.store.figures import TABLES
from app.store.history import StoredHistory
from app.store.links import StoredLinks
from app.store.migrate import FILLED, _fill_figures
from app.store.schema import bridge, key_values
from tests.conftest import fresh_postgres
from tests.fakes import FakeClock
from tests.rig import FixedRulebook
from tests.shapes import shape

BEGIN = datetime(2026, 3, 20, tzinfo=UTC)
"""Clocks change within the next ten days in many zones."""
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe",
    "Pacific/Apia", "Africa/Cairo", "America/Santiago",
)  # fmt: skip
SLA = {"critical": Sla(15, 60), "high": Sla(None, 1440)}
NEVER = datetime(1, 1, 1, tzinfo=UTC)
WHATS = ("acknowledged", "unacknowledged", "resolved", "reopened", "merged", "escalated")

# Few different ones, so that much falls together; and some in between.
instants = st.one_of(
    st.integers(0, 40).map(lambda number: BEGIN + number * timedelta(hours=6)),
    st.integers(0, 240 * 3600 * 10**6).map(lambda number: BEGIN + timedelta(microseconds=number)),
)
words = st.one_of(st.none(), st.sampled_from(["", "Ada", "Bo", "nobody named"]))


@st.composite
def entries(draw: st.DrawFn, what: str = "") -> HistoryEntry:
    at = draw(st.one_of(instants, st.just(NEVER)))
    received_at = draw(st.one_of(st.none(), instants, st.just(at if at > NEVER else BEGIN)))
    side = Side.PAGERDUTY if what else draw(st.sampled_from(Side))
    return HistoryEntry(at, what or draw(st.sampled_from(WHATS)), side, draw(words), received_at)


decisions = st.builds(
    Decision,
    urgency=st.sampled_from([None, Urgency.HIGH, Urgency.LOW]),
    rule=st.sampled_from(["severity_map", "Noise", "unknown"]),
    version=st.sampled_from(["v1", "v2"]),
    reason=st.sampled_from(["rule", "suppressed", "silenced"]),
    service_id=st.sampled_from([None, "", "PMAIN", "POTHER"]),
)


@st.composite
def lives(draw: st.DrawFn, number: int) -> Sequence[Link]:
    """A link as it was saved again and again."""
    alert_id = AlertId(f"a{number}")
    alert = Alert(
        alert_id,
        draw(st.sampled_from([None, "critical", "HIGH", "low", ""])),
        created_at=draw(st.one_of(st.none(), instants, st.just(NEVER))),
    )
    link = Link(alert, incident_key(alert_id), draw(instants), decision=draw(st.one_of(st.none(), decisions)))
    steps = [link]
    moments = draw(st.lists(entries(), max_size=6))
    if draw(st.integers(0, 4)):
        moments.insert(draw(st.integers(0, len(moments))), draw(entries("triggered")))
    for moment in moments:
        link = remembering(link, moment)
        if draw(st.booleans()):
            steps.append(link)
    link = replace(
        link,
        verdict=draw(st.sampled_from([None, FALSE_ALERT, TRUE_ALERT])),
        flaps=draw(st.integers(0, 2)),
        history_dropped=draw(st.sampled_from([0, 0, 3])),
        decision=draw(st.one_of(st.just(link.decision), decisions)),
        incident_id=draw(st.one_of(st.none(), st.just(IncidentId(f"Q{number}")))),
        incident_number=draw(st.sampled_from([None, 7])),
        alert=replace(alert, severity=draw(st.sampled_from([alert.severity, "medium"]))),
    )
    return (*steps, link)


records = st.integers(0, 6).flatmap(lambda count: st.tuples(*(lives(number) for number in range(count))))


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder: Path = tmp_path_factory.mktemp("figures")
    with ExitStack() as ending:
        url = ending.enter_context(fresh_postgres()) if request.param == "postgresql" else None
        engine, inbox = open_bridge(folder, url), open_inbox(folder, url)
        shape(engine, inbox, folder)
        yield Database(engine)
        engine.dispose()
        inbox.dispose()


def store(database: Database, stories: Sequence[Sequence[Link]], batched: bool) -> list[Link]:
    """An empty store in which these links were saved step by step; the last step of each."""
    links = StoredLinks()
    with database.engine.begin() as connection:
        for table in (*TABLES, bridge.tables["links"]):
            connection.execute(sa.delete(table))
    kept = []
    for story in stories:
        with database.begin() as tx:
            number = links.add(tx, story[0]).link_id
        if batched:
            with database.begin() as tx, links.batch(tx):
                links.get(tx, number)
                for step in story[1:]:
                    links.save(tx, replace(step, link_id=number))
        for step in story[1:] if not batched else ():
            with database.begin() as tx:
                links.get(tx, number)
                links.save(tx, replace(step, link_id=number))
        kept.append(replace(story[-1], link_id=number))
    return kept


def rows_of(database: Database) -> list[Any]:
    with database.engine.begin() as connection:
        return [sorted(map(tuple, connection.execute(sa.select(table))), key=repr) for table in TABLES]


@settings(max_examples=80, deadline=None)
@given(
    stories=records,
    batched=st.booleans(),
    zone=st.sampled_from(ZONES),
    days=st.tuples(st.integers(0, 9), st.integers(0, 9)).map(sorted),
    now=st.integers(1, 60),
    service_id=st.sampled_from([None, "PMAIN", "POTHER"]),
)
def test_what_the_store_counts_is_what_the_whole_record_says(
    database: Database,
    stories: Sequence[Sequence[Link]],
    batched: bool,
    zone: str,
    days: list[int],
    now: int,
    service_id: str | None,
) -> None:
    links = store(database, stories, batched)
    first, last = (date(2026, 3, 20) + timedelta(days=number) for number in days)
    period = between(first, last, ZoneInfo(zone), zone)
    clock = FakeClock(max(BEGIN + timedelta(hours=now * 6), period.since))
    asked = Reports(database, StoredHistory(), FixedRulebook(Rulebook(sla=SLA)), "PMAIN", clock)
    answer = asked.report(service_id, start=first, end=last, time_zone=zone)
    began_at = min((link.first_seen_at for link in links), default=None)
    about = frame(period, clock(), SLA, began_at)
    whole = [record_of(link, "PMAIN") for link in links]
    whole = [record for record in whole if service_id in (None, record.service_id)]
    expected = rounded(fold(whole, about))
    assert expected == {name: answer["stats"][name] for name in expected}  # type: ignore[literal-required]
    states = {record.alert_id: state_at(record, about.as_of) for record in whole}
    listed = {name: state for name, state in states.items() if state and period.holds(state.triggered_at)}
    assert {
        name: (state.status, state.reopened, state.escalated > 0, state.merged, rounded(state.minutes_to_acknowledge))
        for name, state in listed.items()
    } == {
        line["alert_id"]: (
            line["status"], line["reopened"], line["escalated"], line["merged"], line["acknowledged_after_minutes"],
        )
        for line in answer["incidents"]
    }  # fmt: skip
    assert {
        name: rounded(state.minutes_until(about.as_of) if state.resolve is None else state.minutes_to_resolve)
        for name, state in listed.items()
    } == {line["alert_id"]: line["duration_minutes"] for line in answer["incidents"]}
    # ``listed`` is in the order of the links' numbers.
    oldest_first = sorted(listed, key=lambda name: listed[name].triggered_at)
    assert oldest_first == [line["alert_id"] for line in answer["incidents"]]


def test_a_report_of_days_that_are_over_says_how_everything_stood_then(database: Database) -> None:
    """Triggered on the first day, acknowledged on the second, resolved on the third."""
    alert_id = AlertId("a1")
    link = Link(Alert(alert_id), incident_key(alert_id), BEGIN)
    for day, what in enumerate(("triggered", "acknowledged", "resolved")):
        at = BEGIN + timedelta(days=day)
        link = remembering(link, HistoryEntry(at, what, Side.PAGERDUTY, "Ada", at))
    store(database, [(link,)], batched=False)
    asked = Reports(database, StoredHistory(), FixedRulebook(Rulebook()), "PMAIN", FakeClock(BEGIN + timedelta(days=9)))
    stood = []
    for day in (20, 21, 22):
        answer = asked.report(start="2026-03-20", end=f"2026-03-{day}")
        stats = answer["stats"]
        stood.append((answer["incidents"][0]["status"], stats["acknowledged"], stats["mttr_minutes"]["mean"]))
    assert [("triggered", 0, None), ("acknowledged", 1, None), ("resolved", 1, 2 * 1440.0)] == stood


@settings(max_examples=25, deadline=None)
@given(stories=records, batched=st.booleans())
def test_rows_written_after_an_upgrade_are_those_that_are_written_with_the_links(
    database: Database, stories: Sequence[Sequence[Link]], batched: bool
) -> None:
    store(database, stories, batched)
    expected = rows_of(database)
    with database.engine.begin() as connection:
        for table in TABLES:
            connection.execute(sa.delete(table))
        connection.execute(sa.delete(key_values).where(key_values.c.name == FILLED))
    _fill_figures(database.engine, Redaction)
    assert expected == rows_of(database)
    with database.engine.begin() as connection:
        connection.execute(sa.delete(key_values).where(key_values.c.name == FILLED))
    _fill_figures(database.engine, Redaction)
    assert expected == rows_of(database), "written once more, they are the same"


def test_a_history_that_drops_its_oldest_moments_drops_their_rows(database: Database) -> None:
    alert_id = AlertId("a1")
    link = half = Link(Alert(alert_id), incident_key(alert_id), BEGIN)
    for minute in range(HISTORY_LIMIT + 20):
        what = "acknowledged" if minute % 2 else "unacknowledged"
        at = BEGIN + timedelta(minutes=minute)
        link = remembering(link, HistoryEntry(at, what if minute else "triggered", Side.PAGERDUTY, None, at))
        if minute == HISTORY_LIMIT - 5:
            half = link
    store(database, [(half, link)], batched=False)
    with database.engine.begin() as connection:
        moments = bridge.tables["incident_moments"]
        assert HISTORY_LIMIT == connection.execute(sa.select(sa.func.count()).select_from(moments)).scalar_one()
