"""The stored alerts read back, on both stores: everything a backtest needs, page by page."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.domain.model.types import Alert, AlertId, Side, Status, Urgency, incident_key
from app.domain.rules.rulebook import Decision
from app.domain.sync.link import HistoryEntry, Link, remembering
from app.domain.sync.side_state import SideState
from app.ports import TimelineEntry
from app.store import history as backtest
from app.store.history import PAGE, StoredPast, StoredSilenced
from app.store.links import StoredLinks
from tests.store.conftest import Stores

NOON = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
DECIDED = Decision(Urgency.LOW, "rule", "v1", "rule", "Title", "P1", "PP", 2.5)


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtest, "PAGE", 3)
    monkeypatch.setattr(backtest, "_newest", backtest._newest.limit(3))
    monkeypatch.setattr(backtest, "_older", backtest._older.limit(3))
    monkeypatch.setattr(backtest, "_lines", backtest._lines.limit(3))


def link(number: int, at: datetime = NOON, **fields: object) -> Link:
    alert = Alert(AlertId(f"a{number}"), severity="high", created_at=NOON, extra={"scan_ms": number})
    return replace(Link(alert, incident_key(alert.alert_id), at), **fields)  # type: ignore[arg-type]


def keep(stores: Stores, *links: Link) -> None:
    with stores.bridge.begin() as tx:
        for one in links:
            StoredLinks().add(tx, one)


def test_everything_a_backtest_needs_comes_back(stores: Stores):
    full = link(1, decision=DECIDED, verdict="false_alert", flaps=3)
    at, received_at = NOON + timedelta(minutes=1), NOON + timedelta(minutes=9)
    full = remembering(full, HistoryEntry(at, "acknowledged", Side.PAGERDUTY, "Dana", received_at))
    full = remembering(full, HistoryEntry(datetime(1970, 1, 1, tzinfo=UTC), "escalated", Side.PAGERDUTY))
    keep(stores, full, link(2))
    with stores.bridge.read() as tx:
        first, second = StoredPast().read(tx, NOON, NOON + timedelta(days=1))
    assert (full.alert, NOON, DECIDED, full.history) == (first.alert, first.at, first.decided, first.history)
    assert ("false_alert", 3) == (first.verdict, first.flaps)
    assert (None, (), None, 0) == (second.decided, second.history, second.verdict, second.flaps)


def test_each_alert_of_the_time_comes_once_and_in_order(stores: Stores):
    """Also where many were seen in the same moment, and where a later number was seen earlier."""
    times = [NOON] * 8 + [NOON - timedelta(hours=1), NOON + timedelta(hours=1), NOON + timedelta(hours=2)]
    keep(stores, *(link(number, at) for number, at in enumerate(times)))
    past, until = StoredPast(), NOON + timedelta(hours=2)
    with stores.bridge.read() as tx:
        found = [one.alert.alert_id for one in past.read(tx, NOON, until)]
        assert [f"a{number}" for number in (0, 1, 2, 3, 4, 5, 6, 7, 9)] == found
        assert 9 == past.count(tx, NOON, until)
        assert frozenset({"scan_ms"}) == past.field_names(tx)


def test_an_empty_store_has_nothing(stores: Stores):
    with stores.bridge.read() as tx:
        assert [] == list(StoredPast().read(tx, NOON, NOON + timedelta(days=1)))
        assert None is StoredPast().field_names(tx)


def test_alerts_without_a_field_of_their_own_have_none(stores: Stores):
    bare = link(1)
    keep(stores, replace(bare, alert=replace(bare.alert, extra={})))
    with stores.bridge.read() as tx:
        assert frozenset() == StoredPast().field_names(tx)


def test_the_fields_of_the_newest_are_those_of_one_page(stores: Stores):
    oldest = link(0)
    keep(stores, replace(oldest, alert=replace(oldest.alert, extra={"once": 1})), *map(link, range(1, 4)))
    with stores.bridge.read() as tx:
        assert frozenset({"scan_ms"}) == StoredPast().field_names(tx, newest_only=True)
        assert frozenset({"scan_ms", "once"}) == StoredPast().field_names(tx)


def test_time_line_entries_of_one_kind_come_in_order(stores: Stores):
    entries = [
        TimelineEntry(NOON + timedelta(minutes=n), "this" if n % 2 else "that", None, f"a{n}", facts={"n": n})
        for n in range(12)
    ]
    with stores.bridge.begin() as tx:
        StoredLinks().write_timeline(tx, entries)
    with stores.bridge.read() as tx:
        found = list(StoredPast().lines(tx, "this", NOON + timedelta(minutes=2), NOON + timedelta(minutes=11)))
    assert [3, 5, 7, 9] == [line["facts"]["n"] for line in found]
    assert ("a3", NOON + timedelta(minutes=3)) == (found[0]["alert_id"], found[0]["at"])


def test_entries_of_one_moment_are_read_page_by_page_without_a_gap(stores: Stores):
    entries = [TimelineEntry(NOON, "this", None, f"a{n}", facts={"n": n}) for n in range(PAGE + 3)]
    with stores.bridge.begin() as tx:
        StoredLinks().write_timeline(tx, entries)
    with stores.bridge.read() as tx:
        found = [line["facts"]["n"] for line in StoredPast().lines(tx, "this", NOON, NOON + timedelta(seconds=1))]
    assert list(range(PAGE + 3)) == found


def test_what_is_silenced_and_open_is_found(stores: Stores):
    silenced = Decision(None, "deploy", "v1", "silenced")
    keep(
        stores,
        link(1, decision=silenced),
        link(2, decision=Decision(None, "noise", "v1", "suppressed")),
        link(3, decision=DECIDED),
        link(4),
        link(5, decision=silenced),
    )
    odd = link(7, decision=DECIDED)
    keep(stores, replace(odd, alert=replace(odd.alert, extra={"reason": "silenced"})))
    over = link(6, decision=silenced, alert_side=SideState(Status.RESOLVED, NOON))
    assert Status.RESOLVED is over.status
    keep(stores, over)
    with stores.bridge.read() as tx:
        found = StoredSilenced().after(tx, 0, 10)
        assert ["a1", "a5"] == [alert_id for _, alert_id in found]
        assert found[1:] == StoredSilenced().after(tx, found[0][0], 10)
        assert found[:1] == StoredSilenced().after(tx, 0, 1)
