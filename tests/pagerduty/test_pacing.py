"""Every call passes the key's budget, and the partner's word rests the key for everybody."""

from dataclasses import dataclass, field, replace

import pytest

from app.domain.model.outcome import Done, Held, Refused, Retry
from app.domain.model.types import IncidentId, Status, Urgency
from app.pagerduty.events_api import EventsApi
from app.pagerduty.rest_api import Pacing, RestApi
from app.pagerduty.wire import CODES, Follows
from app.remote.replies import LOW_RESERVE
from tests.pagerduty.conftest import KEY, REST_KEY, ROUTING_KEY, error, incident

ID = IncidentId("Q0TVINC0000001")
OTHER_KEY = "fedcba9876543210fedcba9876543210"


@dataclass
class FakeBudget:
    """A budget that notes what it is asked."""

    wait: float = 0.0
    taken: list[tuple[float, str]] = field(default_factory=list)
    pauses: list[tuple[float, str]] = field(default_factory=list)

    def take(self, reserve: float = 0.0, part: str = "") -> float:
        self.taken.append((reserve, part))
        return self.wait

    def pause(self, seconds: float, part: str = "") -> None:
        self.pauses.append((seconds, part))


@pytest.fixture
def budget() -> FakeBudget:
    return FakeBudget()


@pytest.fixture
def rest_api(transport, pagerduty, budget):
    return RestApi(transport, pagerduty.url, REST_KEY, "a@example.com", "PSVC", Pacing(budget))


def test_without_a_turn_nothing_is_sent_and_the_wait_is_reported(rest_api, pagerduty, budget, draft):
    budget.wait = 2.5
    expected = [Held("budget_spent", 2.5)] * 5
    assert expected == [
        rest_api.open(draft),
        rest_api.find(KEY),
        rest_api.get(ID),
        rest_api.set_status(ID, Status.RESOLVED),
        rest_api.notes(ID),
    ]
    assert [] == pagerduty.requests


def test_a_page_of_low_urgency_and_a_note_leave_a_reserve_to_what_is_urgent(rest_api, budget, draft):
    rest_api.open(draft)
    rest_api.open(replace(draft, urgency=Urgency.LOW))
    rest_api.set_status(ID, Status.RESOLVED)
    rest_api.notes(ID)
    rest_api.add_note(ID, "x")
    assert [0.0, LOW_RESERVE, 0.0, LOW_RESERVE, 0.0] == [reserve for reserve, _ in budget.taken]


def test_work_in_no_hurry_leaves_its_reserve_whatever_it_calls(transport, pagerduty, budget):
    RestApi(transport, pagerduty.url, REST_KEY, "a@example.com", None, Pacing(budget, reserve=0.5)).get(ID)
    assert [(0.5, "")] == budget.taken


def test_a_429_rests_the_key_as_long_as_it_says_and_the_call_itself_is_tried_again(rest_api, pagerduty, budget):
    pagerduty.will_answer(429, None, retry_after="7")
    pagerduty.will_answer(429, None, ratelimit_reset="9")
    assert [Retry("http_429", 7.0), Retry("http_429", 9.0)] == [rest_api.get(ID), rest_api.get(ID)]
    assert [(7.0, ""), (9.0, "")] == budget.pauses


def test_a_429_on_a_create_rests_creates_only(rest_api, pagerduty, budget, draft):
    pagerduty.will_answer(429, None, retry_after="7")
    rest_api.open(draft)
    assert ([(0.0, "creates")], [(7.0, "creates")]) == (budget.taken, budget.pauses)


def test_a_429_that_says_nothing_rests_the_key_longer_each_time_until_an_answer(rest_api, pagerduty, budget):
    for _ in range(3):
        pagerduty.will_answer(429)
    pagerduty.will_answer(200, {"incident": incident()})
    pagerduty.will_answer(429)
    for _ in range(5):
        rest_api.get(ID)
    assert [1, 2, 4, 1] == [seconds for seconds, _ in budget.pauses]


@pytest.mark.parametrize(
    ("said", "rests"),
    [("0", 1), ("-5", 1), ("nan", 1), ("99999", 300), ("1e300", 300), ("Sat, 01 Jan 2099 00:00:00 GMT", 300)],
)
def test_no_hostile_retry_after_parks_a_key_or_lets_it_spin(rest_api, pagerduty, budget, said, rests):
    pagerduty.will_answer(429, None, retry_after=said)
    rest_api.get(ID)
    assert [rests] == [seconds for seconds, _ in budget.pauses]


@pytest.mark.parametrize(
    ("remaining", "reset", "rests"),
    [("0", "12", [12.0]), ("0", "4000", [60.0]), ("1", "12", []), ("0", "soon", []), ("", "12", [])],
)
def test_the_last_call_of_a_window_rests_the_key_until_the_next(rest_api, pagerduty, budget, remaining, reset, rests):
    headers = {"ratelimit_remaining": remaining, "ratelimit_reset": reset}
    pagerduty.will_answer(200, {"incident": incident()}, **headers)
    assert isinstance(rest_api.get(ID), Done)
    assert rests == [seconds for seconds, _ in budget.pauses]


def test_every_integration_key_has_a_budget_of_its_own(transport, pagerduty, draft):
    budgets = {ROUTING_KEY: FakeBudget(), OTHER_KEY: FakeBudget()}
    keys = {"POTHER1": OTHER_KEY}
    events = EventsApi(transport, pagerduty.url, ROUTING_KEY, keys, lambda key: Pacing(budgets[key]))
    pagerduty.will_answer(429)
    assert Retry("http_429") == events.trigger(replace(draft, service_id="POTHER1"))
    assert ([], [(1, "")]) == (budgets[ROUTING_KEY].pauses, budgets[OTHER_KEY].pauses)
    budgets[OTHER_KEY].wait = 3.0
    assert Held("budget_spent", 3.0) == events.resolve(KEY, "POTHER1")


# ------------------------------------------------------------------------------------------------- error numbers

FINAL = sorted(code for code, meaning in CODES.items() if meaning.follows in (Follows.FINAL, Follows.LOOK_UP))
PAUSES = sorted(code for code, meaning in CODES.items() if meaning.follows is Follows.PAUSE)


@pytest.mark.parametrize("code", FINAL)
def test_a_final_number_is_refused_under_its_word(rest_api, pagerduty, code):
    pagerduty.will_answer(400, error(code, "No"))
    assert Refused(CODES[code].word, 400, code, "No") == rest_api.add_note(ID, "x")


@pytest.mark.parametrize("code", PAUSES)
def test_a_number_about_our_credentials_pauses_the_target(rest_api, pagerduty, code):
    pagerduty.will_answer(400, error(code, "No"))
    assert Held(CODES[code].word) == rest_api.add_note(ID, "x")


def test_too_many_calls_are_tried_again_however_it_is_reported(rest_api, pagerduty):
    pagerduty.will_answer(400, error(2020, "Rate Limit Exceeded"))
    assert Retry("too_many_calls") == rest_api.add_note(ID, "x")
