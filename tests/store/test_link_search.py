"""Links are found by what people know of them, the newest first, and no index is missing for it, on both stores."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa

from app.domain.model.types import Alert, AlertId, IncidentId, LinkId, Status, Urgency, incident_key
from app.domain.rules.rulebook import Decision, Redaction
from app.domain.sync.link import Link
from app.domain.sync.side_state import SideState
from app.ports.console import FoundLink, LinkFilter
from app.store.figures import erase_titles
from app.store.link_search import StoredLinkSearch, numbers
from app.store.links import StoredLinks
from tests.fakes import START
from tests.store.conftest import Stores

PAGED = Decision(Urgency.HIGH, "severity_map", "v7", "severity_map")
UNPAGED = Decision(None, "Noise", "v7", "suppressed")


def link(alert_id: str, claim: str = "", decision: Decision = PAGED, **fields: Any) -> Link:
    alert = Alert(AlertId(alert_id), "high", "pii", "Paraphrase", claim=claim or None, model="gpt-4o")
    return Link(alert, incident_key(alert.alert_id), START, decision=decision, **fields)


def keep(stores: Stores, *links: Link, redaction: Redaction | None = None) -> list[LinkId]:
    stored = StoredLinks(lambda: redaction or Redaction())
    with stores.bridge.begin() as tx:
        return [stored.add(tx, one).link_id for one in links]


def find(stores: Stores, text: str = "", **wanted: Any) -> tuple[FoundLink, ...]:
    with stores.bridge.read() as tx:
        return StoredLinkSearch().find(tx, LinkFilter(text, **wanted))


def ids(found: Sequence[FoundLink]) -> list[str]:
    return [one.alert_id for one in found]


def test_a_found_link_says_everything_of_a_line(stores: Stores) -> None:
    sides: dict[str, Any] = {"alert_side": SideState(Status.OPEN), "incident_side": SideState(Status.ACKNOWLEDGED)}
    incident: dict[str, Any] = {"incident_id": IncidentId("Q1"), "incident_number": 12, "incident_url": "https://x"}
    (number,) = keep(
        stores, link("a1", "The Earth is flat", verdict="false_alert", frozen_at=START, **sides, **incident)
    )
    (found,) = find(stores)
    assert FoundLink(
        number, "a1", "[high] PII: The Earth is flat", "high", "pii", "gpt-4o", "Paraphrase", "open", "acknowledged",
        "Q1", 12, "high", True, "severity_map", "v7", "false_alert", True, START,
    ) == found  # fmt: skip


def test_what_nobody_knows_is_empty(stores: Stores) -> None:
    alert_id = AlertId("a1")
    keep(stores, Link(Alert(alert_id), incident_key(alert_id), START))
    (found,) = find(stores)
    assert ("unknown", "", "", "", "", "", "", None) == (
        found.severity, found.kind, found.alert_status, found.incident_status, found.incident_id, found.urgency,
        found.rule, found.incident_number,
    )  # fmt: skip
    assert ("[unknown] Alert: a1", False, False) == (found.title, found.paged, found.frozen)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("alert_7", ["alert_77", "alert_7"]),
        ("alert_77", ["alert_77"]),
        ("ALERT_7", ["alert_7"]),
        ("Q12", ["b2"]),
        ("#12", ["b2"]),
        ("12", ["12", "b2"]),
        ("earth", ["b2", "alert_77"]),
        ("flat EARTH", ["b2", "alert_77"]),
        ("earth round", []),
        ("straße", ["b3"]),
        ("STRASSE", ["b3"]),
        ("100%", ["b4"]),
        ("100_", []),
        ("x_y", ["b5"]),
        ("a/b\\c", ["b6"]),
        ("alert%", []),
        ("\0", []),
        ("\ud800", []),
        ("\U0010ffff", []),
        ("x" * 2_000, []),
    ],
)
def test_ids_beginnings_numbers_and_words_of_titles_are_found(stores: Stores, text: str, expected: list[str]) -> None:
    keep(
        stores,
        link("alert_7"),
        link("alert_77", "The Earth is flat"),
        link("b2", "Flat is the EARTH", incident_id=IncidentId("Q12"), incident_number=12),
        link("b3", "Die Straße"),
        link("b4", "true to 100%"),
        link("b5", "x_y"),
        link("xzy", "xzy"),
        link("b6", "a/b\\c"),
        link("12"),
    )
    assert expected == ids(find(stores, text))


def test_a_title_follows_its_alert_and_the_rule_that_names_it(stores: Stores) -> None:
    (number,) = keep(stores, link("a1", "first"))
    stored = StoredLinks()
    with stores.bridge.begin() as tx:
        known = stored.get(tx, number)
        stored.save(tx, replace(known, alert=replace(known.alert, claim="second")))
    assert ([], ["a1"]) == (ids(find(stores, "first")), ids(find(stores, "second")))
    with stores.bridge.begin() as tx:
        known = stored.get(tx, number)
        stored.save(tx, replace(known, decision=replace(PAGED, title="Named by a rule")))
    assert ["Named by a rule"] == [one.title for one in find(stores, "named rule")]


def test_a_title_says_no_more_than_redaction_sends(stores: Stores) -> None:
    keep(stores, link("a1", "The Earth is flat"), redaction=Redaction(send_claim=False))
    assert ["[high] PII: a1"] == [one.title for one in find(stores)]
    assert () == find(stores, "earth")


def test_an_erased_title_is_neither_shown_nor_found(stores: Stores) -> None:
    first, _ = keep(stores, link("a1", "The Earth is flat"), link("a2", "The Earth is flat"))
    with stores.bridge.begin() as tx:
        erase_titles(tx, [first])
    assert ["a2"] == ids(find(stores, "earth"))
    assert [""] == [one.title for one in find(stores, "a1")]


def test_filters_narrow_it_down_and_pages_follow_one_another(stores: Stores) -> None:
    over, acknowledged = SideState(Status.RESOLVED, START, START), SideState(Status.ACKNOWLEDGED, START, START)
    keep(
        stores,
        link("a1", decision=UNPAGED),
        link("a2", alert_side=over, incident_side=over),
        link("a3", alert_side=acknowledged, frozen_at=START),
        link("a4"),
        replace(link("a5"), alert=Alert(AlertId("a5"), "CRITICAL")),
        replace(link("a6", decision=UNPAGED, alert_side=over), first_seen_at=START + timedelta(days=2)),
    )
    assert ["a5", "a4", "a3", "a2"] == ids(find(stores, paged=True))
    assert ["a6", "a1"] == ids(find(stores, paged=False))
    assert ["a5", "a4", "a3", "a1"] == ids(find(stores, is_open=True))
    assert ["a6", "a2"] == ids(find(stores, is_open=False))
    assert ["a3"] == ids(find(stores, frozen=True))
    assert ["a5"] == ids(find(stores, severity="critical"))
    assert ["a6"] == ids(find(stores, since=START + timedelta(days=1)))
    assert ["a2"] == ids(find(stores, "a", paged=True, is_open=False))
    pages, before = [], None
    while page := find(stores, "a", paged=True, before=before, limit=3):
        pages.append(ids(page))
        before = page[-1].number
    assert [["a5", "a4", "a3"], ["a2"]] == pages


def test_the_newest_are_shown_whatever_they_were_found_by(stores: Stores) -> None:
    keep(stores, link("a1", "x1"), link("x11"), link("x12"), link("a2", "about x1"), link("x1"))
    assert ["x1", "a2", "x12", "x11", "a1"] == ids(find(stores, "x1"))
    for limit in range(1, 6):
        assert ["x1", "a2", "x12", "x11", "a1"][:limit] == ids(find(stores, "x1", limit=limit))


# --------------------------------------------------------------------------------------------------------------- plans

WANTED = {
    "newest": LinkFilter(),
    "further": LinkFilter(before=900),
    "severity": LinkFilter(severity="critical"),
    "paged": LinkFilter(paged=True),
    "not paged": LinkFilter(paged=False),
    "open": LinkFilter(is_open=True),
    "closed": LinkFilter(is_open=False),
    "frozen": LinkFilter(frozen=True),
    "since": LinkFilter(since=START + timedelta(minutes=2_990)),
    "text": LinkFilter("a29"),
    "number": LinkFilter("#12"),
    "everything": LinkFilter("a29", True, True, True, "critical", START, 2_950),
}


def many_begin(_ids: sa.Select[Any]) -> bool:
    return True


def few_begin(_ids: sa.Select[Any]) -> bool:
    return False


@pytest.fixture
def filled(stores: Stores) -> Stores:
    """Three thousand links that are over, and a few that are not."""
    over = SideState(Status.RESOLVED, START, START)
    made = [
        replace(
            link(f"a{number}", "The Earth is flat", PAGED if number % 50 == 0 else UNPAGED),
            first_seen_at=START + timedelta(minutes=number),
            alert_side=over if number % 30 else SideState(),
            incident_number=number,
        )
        for number in range(3_000)
    ]
    keep(stores, *made)
    if stores.bridge.engine.dialect.name == "postgresql":
        with stores.bridge.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text("ANALYZE"))
    return stores


def test_every_search_goes_by_an_index(filled: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of links nothing is ever read through; of titles and of the narrow rows at most from the newest on, until there
    are enough."""
    engine = filled.bridge.engine
    for (name, wanted), begins in product(WANTED.items(), (many_begin, few_begin)):
        for query in numbers(wanted, engine.dialect.name, begins):
            with engine.connect() as connection:
                plan = explained(connection, query)
            assert [] == [step for step in plan if reads_through_links(step)], (name, plan)
    # A beginning that many ids have finds the same as one that few have.
    asked: list[tuple[str, dict[str, Any]]] = [
        ("a29", {}), ("a2", {"before": 2_000}), ("a", {"paged": True}), ("a1", {"is_open": True, "limit": 7}),
    ]  # fmt: skip
    by_index, from_the_newest = list[list[str]](), list[list[str]]()
    for common, found in ((10_000, by_index), (1, from_the_newest)):
        monkeypatch.setattr("app.store.link_search.COMMON", common)
        found += [ids(find(filled, text, **more)) for text, more in asked]
    assert by_index == from_the_newest
    assert all(by_index)


def test_titles_are_read_no_further_than_to_the_last_link_that_is_shown_anyway(filled: Stores) -> None:
    """A beginning that every id has, and no title: all of them would be read."""
    read = list[Any]()

    def take(_connection: Any, _cursor: Any, statement: str, given: Any, *_: Any) -> None:
        if "folded" in statement:
            read.append(given.values() if isinstance(given, dict) else given)

    sa.event.listen(filled.bridge.engine, "before_cursor_execute", take)
    found = find(filled, "a", limit=7)
    assert ["a2999", "a2993"] == [ids(found)[0], ids(found)[-1]]
    (given,) = read
    assert found[-1].number in given


def explained(connection: sa.Connection, query: sa.Select[Any]) -> list[str]:
    statement = query.compile(connection, compile_kwargs={"literal_binds": True})
    if connection.dialect.name == "sqlite":
        return [row.detail for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}")]
    text = str(statement).replace("%%", "%").replace("%", "%%")
    (answer,) = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {text}").scalars()
    return list(nodes(json.loads(answer)[0]["Plan"] if isinstance(answer, str) else answer[0]["Plan"]))


def nodes(plan: dict[str, Any]) -> list[str]:
    inner = [step for part in plan.get("Plans", ()) for step in nodes(part)]
    return [f"{plan['Node Type']} {plan.get('Relation Name', '')} {plan.get('Index Name', '')}".strip(), *inner]


def reads_through_links(step: str) -> bool:
    """SQLite: ``SCAN links`` without an index. PostgreSQL: ``Seq Scan links``."""
    return step.startswith("Seq Scan links") or (step.startswith("SCAN links") and "INDEX" not in step)


def test_alerts_are_counted_by_the_hour(stores: Stores) -> None:
    hour = timedelta(hours=1)
    at = [START - 30 * hour, START - 2 * hour, START - 2 * hour + timedelta(minutes=59), START]
    made = [replace(link(f"a{number}"), first_seen_at=seen) for number, seen in enumerate(at)]
    keep(stores, *made, replace(link("quiet", decision=UNPAGED), first_seen_at=START))
    with stores.bridge.read() as tx:
        found = StoredLinkSearch().per_hour(tx, START - 24 * hour, 100)
        newest = StoredLinkSearch().per_hour(tx, START - 24 * hour, 2)
    assert {(START - 2 * hour, True, 2), (START, True, 1), (START, False, 1)} == set(found)
    assert {(START, True, 1), (START, False, 1)} == set(newest)
