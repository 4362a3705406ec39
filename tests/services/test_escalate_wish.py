"""The wish *escalate* as text: it says what it said, and no text breaks its reader."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.escalation import Course, Rung
from app.services.escalate_wish import CANCELLING, arming, read


def test_a_wish_says_what_it_said() -> None:
    asked = read(arming("PMGMT", [15, 0.5], descriptions=["team"], raise_urgency=True, drill=True))
    assert asked is not None
    assert (Course("PMGMT", (Rung(900, "team"), Rung(30)), True), True) == (asked.course, asked.drill)
    ended = read(CANCELLING)
    assert ended is not None
    assert None is ended.course


def test_one_time_alone_is_one_level() -> None:
    asked = read('{"timeout_minutes": 30, "policy_id": "PMGMT"}')
    assert asked is not None
    assert Course("PMGMT", (Rung(1800),)) == asked.course


@pytest.mark.parametrize("minutes", [0, -1, float("nan"), float("inf"), 60 * 24 * 32, [], [15, 0], [1] * 21])
def test_a_time_that_is_none_is_refused(minutes: float | list[float]) -> None:
    with pytest.raises(ValueError, match="minutes"):
        arming("PMGMT", minutes)


@pytest.mark.parametrize("policy_id", ["", "P X", "P\n", "P" * 65])
def test_a_policy_that_is_none_is_refused(policy_id: str) -> None:
    with pytest.raises(ValueError, match="policy"):
        arming(policy_id, 15)


@given(st.text() | st.from_regex(r'\{"(levels|timeout_minutes|policy_id|cancel)": .{0,20}\}'))
def test_no_text_breaks_the_reader(detail: str) -> None:
    asked = read(detail)
    assert asked is None or asked.course is None or asked.course.rungs
