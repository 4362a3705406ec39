"""When a silence is in force, when its end is near, and what is remembered of it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.model.types import Alert, AlertId, Urgency
from app.domain.rules.decide import LOUDER, decide, explain
from app.domain.rules.rulebook import (
    Rule,
    RuleAction,
    Rulebook,
    Silence,
    Watch,
    announced_from,
    announced_text,
    expiring,
    expiry_remark,
    identity,
    in_force,
)

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
ALERT = Alert(AlertId("a1"), severity="critical")


def silence(name: str = "s", until: datetime = NOW + HOUR, starts: datetime | None = None, match: str = "true"):
    return Silence(name, match, "dana", "a release", until, starts)


@pytest.mark.parametrize(
    ("at", "standing"),
    [
        (NOW - timedelta(microseconds=1), "planned"),
        (NOW, "in_force"),
        (NOW + HOUR - timedelta(microseconds=1), "in_force"),
        (NOW + HOUR, "over"),
    ],
)
def test_a_silence_is_in_force_from_its_beginning_until_before_its_end(at: datetime, standing: str):
    one = silence(starts=NOW)
    assert (standing, standing == "in_force") == (one.standing(at), in_force([one], at) == (one,))


def test_a_silence_in_force_beats_every_rule_and_one_that_is_not_beats_none():
    rule = Rule("page", "true", RuleAction.CREATE_INCIDENT, urgency=Urgency.HIGH)
    book = Rulebook(rules=(rule,), silences=(silence("other", match="severity == low"), silence("s")))
    silenced = decide(book, ALERT, NOW)
    assert (None, "s", "silenced", None) == (silenced.urgency, silenced.rule, silenced.reason, silenced.service_id)
    assert "page" == decide(book, ALERT, NOW + HOUR).rule
    assert [("silence", "other", False), ("silence", "s", True)] == [
        (tried.kind, tried.rule, tried.matched) for tried in explain(book, ALERT, NOW)
    ]
    assert ["rule"] == [tried.kind for tried in explain(book, ALERT, NOW + HOUR)]


def test_an_end_within_the_hour_is_near():
    one = silence()
    assert ((), (one,), ()) == (
        expiring((one,), NOW - timedelta(seconds=1)), expiring((one,), NOW), expiring((one,), NOW + HOUR)
    )  # fmt: skip
    assert "the silence 's' of dana ends in 60 minutes" in expiry_remark(one, NOW)
    assert "ends in 1 minute:" in expiry_remark(one, NOW + HOUR)


def test_whatever_is_changed_about_a_silence_makes_it_another():
    one = silence()
    others = (
        silence("t"), silence(until=NOW), silence(starts=NOW), silence(match="false"),
    )  # fmt: skip
    assert 5 == len({identity(each) for each in (one, *others)})


def test_a_watch_looks_at_the_start_when_something_has_ended_and_once_a_minute():
    one = silence()
    watch = Watch().seeing((one,), NOW)
    assert watch.must_check(NOW)
    watch = watch.checked(NOW)
    assert not watch.must_check(NOW + timedelta(seconds=59))
    assert watch.must_check(NOW + timedelta(minutes=1))
    ended = watch.seeing((), NOW + timedelta(seconds=5))
    assert ended.must_check(NOW + timedelta(seconds=5))
    assert ended.seeing((), NOW + timedelta(seconds=10)).must_check(NOW + timedelta(seconds=10))  # until it is done
    assert not ended.checked(NOW + timedelta(seconds=10)).must_check(NOW + timedelta(seconds=15))


instants = st.integers(-5_000, 5_000).map(lambda minutes: NOW + timedelta(minutes=minutes))
many = st.lists(
    st.builds(silence, st.sampled_from("abc"), instants, st.none() | instants, st.sampled_from(["true", "x"])),
    max_size=4,
)


@given(many, st.lists(instants, min_size=1, max_size=6))
def test_what_was_announced_survives_being_written_down_and_nothing_is_announced_twice(
    silences: list[Silence], looks: list[datetime]
):
    watch, answer = Watch(), list[str]()
    for now in sorted(looks):
        seen = watch.seeing(silences, now)
        answer += seen.announced - watch.announced
        assert seen.announced == announced_from(announced_text(seen.announced))
        assert seen == seen.seeing(silences, now)
        watch = Watch(announced=seen.announced)  # a restart
    assert len(set(answer)) == len(answer)


@given(many, st.lists(instants, min_size=2, max_size=6))
def test_every_silence_that_was_seen_in_force_is_looked_for_when_it_has_ended(
    silences: list[Silence], looks: list[datetime]
):
    watch, before = Watch(), set[str]()
    for now in sorted(set(looks)):
        there = {identity(one) for one in in_force(silences, now)}
        watch = replace(watch.seeing(silences, now), checked_at=now)
        assert watch.must_check(now) is bool(before - there)
        watch, before = watch.checked(now), there


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"announced": 3}', "null"])
def test_what_is_no_list_of_announced_silences_is_an_empty_one(text: str | None):
    assert frozenset() == announced_from(text)


def test_what_an_older_version_wrote_down_is_understood():
    assert {"s"} == announced_from('{"ended": {"s": null}, "announced": ["s"], "looked_at": null}')


def test_a_silence_leaves_alone_what_would_page_with_a_higher_urgency():
    quiet = replace(silence(), up_to=Urgency.LOW)
    rules = (
        Rule("never", 'model == "m"', RuleAction.SUPPRESS),
        Rule("loud", 'category == "loud"', RuleAction.CREATE_INCIDENT, urgency=Urgency.HIGH),
    )
    book = Rulebook(rules=rules, silences=(quiet,))
    for alert, rule in (
        (ALERT, "severity_map"),
        (replace(ALERT, severity="high"), "s"),
        (replace(ALERT, severity="high", category="loud"), "loud"),
        (replace(ALERT, model="m"), "s"),
    ):
        assert rule == decide(book, alert, NOW).rule
        assert rule == explain(book, alert, NOW)[-1].rule
    assert LOUDER in explain(book, ALERT, NOW)[0].why
    assert "s" == decide(replace(book, silences=(replace(quiet, up_to=Urgency.HIGH),)), ALERT, NOW).rule
