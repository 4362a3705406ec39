"""A draft over the alerts that came: each kind of difference, what it saves and what it costs."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.model.types import Alert, AlertId, Side, Urgency
from app.domain.reports.backtest import (
    EXAMPLES,
    MAX_NAMES,
    Backtest,
    Change,
    Hits,
    PastAlert,
    ShadowTally,
    difference,
    worth,
)
from app.domain.rules.decide import decide
from app.domain.rules.rulebook import Decision, Rule, RuleAction, Rulebook, Silence
from app.domain.sync.link import HistoryEntry
from tests.properties.strategies import alerts, rulebooks

DAY = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)
PAGE, SUPPRESS = RuleAction.CREATE_INCIDENT, RuleAction.SUPPRESS
THEN = Decision(Urgency.HIGH, "page", "v1", "rule")
NEVER = Decision(None, "quiet", "v1", "suppressed")


def past(number: int = 1, at: datetime = DAY, decided: Decision | None = THEN, **fields: Any) -> PastAlert:
    about = {name: fields.pop(name) for name in ("history", "verdict", "flaps") if name in fields}
    return PastAlert(Alert(AlertId(f"a{number}"), severity="critical", **fields), at, decided, **about)


def moment(what: str, side: Side = Side.PAGERDUTY, author: str | None = None) -> HistoryEntry:
    return HistoryEntry(DAY, what, side, author)


def page(trigger: str, name: str = "page", **action: Any) -> Rule:
    return Rule(name, trigger, PAGE, **{"urgency": Urgency.HIGH, **action})


def book(*rules: Rule, version: str = "v") -> Rulebook:
    return Rulebook(rules=rules, severity_map={"critical": None}, version=version)


def over(live: Rulebook, draft: Rulebook, *alerts: PastAlert) -> Backtest:
    test = Backtest(live, draft)
    for alert in alerts:
        test.add(alert)
    return test


@pytest.mark.parametrize(
    ("draft", "kind", "moved"),
    [
        (THEN, "same", ()),
        (NEVER, "lost", ()),
        (Decision(Urgency.HIGH, "another", "v2", "severity_map"), "same", ()),
        (Decision(Urgency.LOW, "page", "v1", "rule"), "moved", ("urgency",)),
        (Decision(Urgency.HIGH, "page", "v1", "rule", service_id="P2"), "moved", ("service",)),
        (Decision(Urgency.HIGH, "page", "v1", "rule", escalation_policy_id="P2"), "moved", ("policy",)),
        (Decision(Urgency.HIGH, "page", "v1", "rule", title="Else"), "moved", ("title",)),
        (Decision(Urgency.LOW, "page", "v1", "rule", "T", "P"), "moved", ("urgency", "service", "title")),
    ],
)
def test_two_decisions_differ_in_whether_and_in_where(draft: Decision, kind: str, moved: tuple[str, ...]):
    assert (kind, moved) == difference(THEN, draft)
    assert {"lost": "gained"}.get(kind, kind) == difference(draft, THEN)[0]
    assert ("same", ()) == difference(NEVER, Decision(None, "other", "v2", "severity_none", title="T"))


@pytest.mark.parametrize(
    ("trigger", "decidable"),
    [
        ('"x" in claim', False),
        ('not "x" in claim', False),
        ("claim == null", False),
        ('pii_type == "email"', False),
        ('confidence > 0.5 and "x" in claim', True),
        ('confidence < 0.5 and "x" in claim', False),
        ('confidence < 0.5 or "x" in claim', True),
        ("confidence < 0.5", True),
        ("score == 4", True),
        ('category == "other"', True),
        ("no trigger at all (", True),
    ],
)
def test_a_rule_that_reads_an_erased_field_is_not_decidable(trigger: str, decidable: bool):
    erased = past(confidence=0.1, claim="x", extra={"score": 4, "pii_type": "email"})
    erased = replace(erased, alert=erased.alert.without_evidence(DAY))
    for live, draft in ((book(), book(page(trigger, "reads"))), (book(page(trigger, "reads")), book())):
        found = over(live, draft, erased, past(2))
        assert ({} if decidable else {"reads": 1}) == dict(found.not_decidable)
        assert 1 + decidable == found.alerts


def test_a_rule_behind_the_one_that_matches_is_not_asked():
    erased = past(confidence=0.1)
    erased = replace(erased, alert=erased.alert.without_evidence(DAY))
    first = page("confidence < 0.5", "first")
    assert {} == over(book(first), book(first, page('"x" in claim', "reads")), erased).not_decidable
    assert {"reads": 1} == over(book(first), book(page('"x" in claim', "reads"), first), erased).not_decidable


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"verdict": "false_alert", "history": (moment("acknowledged", author="Dana"),)}, "false_alert"),
        ({"verdict": "true_alert"}, "true_alert"),
        ({"history": (moment("acknowledged", author="Dana"), moment("resolved"))}, "acknowledged"),
        ({"history": (moment("acknowledged", Side.TRUTHVOUCH),)}, "acknowledged"),
        ({"history": (moment("acknowledged"), moment("resolved"))}, "resolved_by_itself"),
        ({"history": (moment("resolved"),)}, "resolved_by_itself"),
        ({"history": (moment("resolved", author="Dana"),)}, "resolved_by_a_person"),
        ({"history": (moment("triggered"),)}, "still_open"),
        (
            {"history": (moment("resolved"), HistoryEntry(DAY + timedelta(hours=1), "reopened", Side.PAGERDUTY))},
            "still_open",
        ),
        ({"history": (moment("reopened"), moment("resolved"))}, "resolved_by_itself"),
        ({}, "still_open"),
    ],
)
def test_what_a_page_was_worth(fields: dict[str, Any], word: str):
    assert word == worth(past(**fields))


def test_pages_gained_lost_and_moved_are_counted_by_rule_and_day_with_examples():
    live = book(page("confidence < 0.5"), version="live")
    draft = book(page("confidence < 0.2", urgency=Urgency.LOW), page('category == "new"', "new"), version="draft")
    tested = over(
        live, draft,
        past(1, confidence=0.4),
        past(2, confidence=0.1),
        past(3, category="new", at=DAY + timedelta(days=1)),
        past(4, confidence=0.9),
        past(5, decided=None),
    )  # fmt: skip
    assert {"gained": ["a3"], "lost": ["a1"], "moved": ["a2"]} == {k: g.examples for k, g in tested.groups.items()}
    assert {"page → severity_map": 1} == tested.groups["lost"].by_rule
    assert {"urgency": 1} == tested.moved_in
    assert (2, 2, 4, 1) == (tested.total.live, tested.total.draft, tested.alerts, tested.undecided)
    assert {"2026-05-04": (2, 1), "2026-05-05": (0, 1)} == {d: (p.live, p.draft) for d, p in tested.by_day.items()}
    assert {"page": (2, 1), "severity_map": (0, 0), "new": (0, 1)} == {
        name: (pages.live, pages.draft) for name, pages in tested.by_rule.items()
    }
    assert {"page": (2, 1), "severity_map": (2, 2), "new": (0, 1)} == {
        name: (pages.live, pages.draft) for name, pages in tested.matched.items()
    }


def test_what_lost_pages_save_and_what_they_cost():
    tested = over(
        book(page("true")), book(),
        past(1, verdict="false_alert"),
        past(2, history=(moment("acknowledged", author="Dana"),)),
        past(3, history=(moment("resolved"),)),
        past(4),
        past(5, verdict="true_alert"),
    )  # fmt: skip
    assert {"false_alert": 1, "resolved_by_itself": 1} == dict(tested.saved())
    assert {"true_alert": 1, "acknowledged": 1} == dict(tested.costs())
    assert 1 == tested.still_open


def test_only_lost_pages_save_or_cost_anything():
    tested = over(book(page("true")), book(page("true", title="Else")), past(verdict="false_alert"))
    assert ({}, {}) == (tested.saved(), tested.costs())


def test_where_the_recorded_decision_was_another_is_counted_apart():
    silenced = Decision(None, "deploy", "v1", "silenced")
    tested = over(book(page("true")), book(page("true")), past(1), past(2, decided=NEVER), past(3, decided=silenced))
    assert {"rulebook_changed": 1, "silenced": 1} == tested.recorded_differs
    assert [0, 0, 0] == [group.count for group in tested.groups.values()]


def test_silences_are_left_out_of_both_sides():
    silences = (Silence("all", "true", "dana", "drill", DAY + timedelta(days=1)),)
    live = Rulebook(rules=(page("true"),), silences=silences)
    assert 1 == over(live, book(), past()).groups["lost"].count


def test_memory_stays_small_whatever_comes():
    tested, hits = Backtest(book(page("true")), book()), Hits()
    for number in range(3 * MAX_NAMES):
        one = past(number, DAY + timedelta(days=number), decided=Decision(None, f"rule {number}", "v", "rule"))
        tested.add(one)
        hits.add(one)
    assert (EXAMPLES, MAX_NAMES + 1) == (len(tested.groups["lost"].examples), len(tested.by_day))
    assert len(hits.by_rule) <= MAX_NAMES + 1
    assert 3 * MAX_NAMES == sum(hit.matched for hit in hits.by_rule.values())
    hits.add(past(decided=Decision(None, "rule 1", "v", "rule")))
    assert 2 == hits.by_rule["rule 1"].matched, "a rule that is known keeps its own count"


@given(rulebooks, rulebooks, st.lists(alerts(), max_size=8))
def test_a_backtest_adds_up(live: Rulebook, draft: Rulebook, seen: list[Alert]):
    tested = over(live, draft, *(PastAlert(alert, DAY, decide(live, alert, DAY)) for alert in seen))
    gained, lost = tested.groups[Change.GAINED].count, tested.groups[Change.LOST].count
    assert len(seen) == tested.alerts == sum(matched.live for matched in tested.matched.values())
    assert tested.total.draft == tested.total.live + gained - lost
    assert tested.total.live == sum(pages.live for pages in tested.by_rule.values())
    assert tested.total.draft == sum(pages.draft for pages in tested.by_day.values())
    assert lost == sum(tested.lost_worth.values())
    assert {} == tested.recorded_differs


@given(rulebooks, st.lists(alerts(), max_size=8))
def test_a_draft_that_says_the_same_makes_no_difference(live: Rulebook, seen: list[Alert]):
    tested = over(live, live, *(PastAlert(alert, DAY, THEN) for alert in seen))
    assert [0, 0, 0] == [group.count for group in tested.groups.values()]


def test_what_a_shadow_told_is_summed_up():
    tally = ShadowTally()
    facts = {"change": "moved", "moved": ["urgency"], "live": {"rule": "a"}, "draft": {"rule": "b", "rulebook": "v2"}}
    tally.add("a1", DAY, facts)
    tally.add("a2", DAY, facts | {"change": "from a newer version"})
    assert (1, ["a1"], {"a → b": 1}) == (
        tally.groups["moved"].count, tally.groups["moved"].examples, dict(tally.groups["moved"].by_rule)
    )  # fmt: skip
    assert ({"v2": 1}, {"2026-05-04": 1}) == (dict(tally.by_version), dict(tally.by_day))
