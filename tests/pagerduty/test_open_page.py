"""Open incidents are listed page by page, for our services only."""

import pytest

from app.domain.model.outcome import Done, Held, Retry
from app.domain.model.types import Status
from app.pagerduty.rest_api import RestApi
from app.remote.transport import Transport
from tests.contract.pagerduty import REST_HOST, check_request
from tests.far_side import FarSide
from tests.pagerduty.conftest import REST_KEY, error, incident


@pytest.fixture
def rest_api(transport: Transport, pagerduty: FarSide) -> RestApi:
    return RestApi(transport, pagerduty.url, REST_KEY, "bridge@example.com", "PDEFAULT")


def test_a_page_asks_for_what_is_open_of_all_time_on_these_services(rest_api: RestApi, pagerduty: FarSide) -> None:
    pagerduty.will_answer(200, {"incidents": [incident(), incident(id="Q2", status="acknowledged")], "more": True})
    reply = rest_api.open_page(["PA", "PB"], 200)
    check_request(pagerduty.only_request, REST_HOST)
    assert {
        "service_ids[]": ["PA", "PB"],
        "statuses[]": ["triggered", "acknowledged"],
        "date_range": ["all"],
        "sort_by": ["created_at:asc"],
        "limit": ["100"],
        "offset": ["200"],
    } == pagerduty.only_request.params
    assert isinstance(reply, Done)
    facts, more = reply.value
    assert ([("Q0TVINC0000001", Status.OPEN), ("Q2", Status.ACKNOWLEDGED)], True) == (
        [(fact.incident_id, fact.status) for fact in facts],
        more,
    )


def test_the_last_page_says_so(rest_api: RestApi, pagerduty: FarSide) -> None:
    pagerduty.will_answer(200, {"incidents": [], "more": False})
    reply = rest_api.open_page(["PA"])
    assert isinstance(reply, Done)
    assert ((), False) == reply.value


def test_without_services_nobody_is_asked(rest_api: RestApi, pagerduty: FarSide) -> None:
    with pytest.raises(ValueError, match="every open incident"):
        rest_api.open_page([])
    assert [] == pagerduty.requests


def test_a_failed_page_is_no_empty_page(rest_api: RestApi, pagerduty: FarSide) -> None:
    pagerduty.will_answer(401, error(2006))
    assert isinstance(rest_api.open_page(["PA"]), Held)
    pagerduty.will_answer(200, {"hello": "portal"})
    assert Retry("unreadable_answer") == rest_api.open_page(["PA"])
