"""When a silence is in force, when its end is near, and what is remembered of it."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.alert import Alert
from app.domain.names import AlertId, Urgency
from app.domain.rulebook import Rule, RuleAction, Rulebook
from app.domain.rules import decide, explain
from app.domain.silences import Silence, Watch, expiring, identity, in_force, told_of_expiry, watch_from

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
    assert (standing, standing == "in_force") == (one.standing(at), one.is_in_force(at))


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
    assert "the silence 's' of dana ends in 60 minutes" in told_of_expiry(one, NOW)
    assert "ends in 1 minute:" in told_of_expiry(one, NOW + HOUR)


def test_whatever_is_changed_about_a_silence_makes_it_another():
    one = silence()
    others = (
        silence("t"), silence(until=NOW), silence(starts=NOW), silence(match="false"),
    )  # fmt: skip
    assert 5 == len({identity(each) for each in (one, *others)})


def test_a_watch_looks_when_something_has_ended_and_again_for_a_while():
    one = silence()
    watch = Watch().seeing((one,), NOW)
    assert not watch.must_look(NOW)
    ended = watch.seeing((one,), NOW + HOUR)
    assert ended.must_look(NOW + HOUR)
    looked = ended.looked(NOW + HOUR)
    assert not looked.seeing((one,), NOW + HOUR).must_look(NOW + HOUR + timedelta(seconds=59))
    assert looked.must_look(NOW + HOUR + timedelta(seconds=60))
    late = looked.looked(NOW + HOUR + timedelta(minutes=10)).seeing((), NOW + 2 * HOUR)
    assert ({}, False) == (late.ended, late.must_look(NOW + 2 * HOUR))


instants = st.integers(-5_000, 5_000).map(lambda minutes: NOW + timedelta(minutes=minutes))
many = st.lists(
    st.builds(silence, st.sampled_from("abc"), instants, st.none() | instants, st.sampled_from(["true", "x"])),
    max_size=4,
)


@given(many, st.lists(instants, min_size=1, max_size=6))
def test_a_watch_survives_being_written_down(silences: list[Silence], looks: list[datetime]):
    watch = Watch()
    for now in sorted(looks):
        watch = watch.seeing(silences, now)
        watch = watch.looked(now) if watch.must_look(now) else watch
        assert watch == watch_from(watch.as_text())
        again = watch.seeing(silences, now)
        assert (again, False) == (again.seeing(silences, now), again.must_look(now))


@given(many, st.lists(instants, min_size=2, max_size=6))
def test_every_silence_that_was_seen_in_force_is_looked_for_when_it_has_ended(
    silences: list[Silence], looks: list[datetime]
):
    watch, before = Watch(), set[str]()
    for now in sorted(set(looks)):
        there = {identity(one) for one in in_force(silences, now)}
        watch = watch.seeing(silences, now)
        if before - there:
            assert watch.must_look(now)
        watch, before = watch.looked(now) if watch.must_look(now) else watch, there


@pytest.mark.parametrize("text", [None, "", "{", "[]", '{"ended": 3}', "null"])
def test_what_is_no_watch_is_an_empty_one(text: str | None):
    assert Watch() == watch_from(text)
