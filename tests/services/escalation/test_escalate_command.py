"""The command *escalate* as text: it says what it said, and no text breaks its reader."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.escalation.state import EscalationPlan, PlanLevel
from app.services.escalation.target import CANCELLING, arming, read


def test_a_command_says_what_it_said() -> None:
    written = json.loads(arming("PMGMT", [15, 0.5], raise_urgency=True, drill=True))
    written["levels"][0]["description"] = "team"  # which is understood, too
    asked = read(json.dumps(written))
    assert asked is not None
    assert (EscalationPlan("PMGMT", (PlanLevel(900, "team"), PlanLevel(30)), True), True) == (asked.plan, asked.drill)
    ended = read(CANCELLING)
    assert ended is not None
    assert None is ended.plan


def test_one_time_alone_is_one_level() -> None:
    asked = read('{"timeout_minutes": 30, "policy_id": "PMGMT"}')
    assert asked is not None
    assert EscalationPlan("PMGMT", (PlanLevel(1800),)) == asked.plan


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
    assert asked is None or asked.plan is None or asked.plan.levels
