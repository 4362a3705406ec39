"""The subscription and account clients: documented requests, and answers that become facts or an outcome word."""

import pytest

from app.domain.model.outcome import Done, Held, Refused, Retry
from app.domain.model.pagerduty_account import ServiceFacts
from app.domain.model.subscription import DESCRIPTION, Scope, Subscription
from app.pagerduty.directory import AccountApi
from app.pagerduty.rest_api import RestApi
from app.pagerduty.subscriptions import CREATED_EVENTS, NEEDED_EVENTS, SubscriptionsApi
from app.remote.transport import Transport
from tests.contract.pagerduty import REST_HOST, check_request
from tests.far_side import FarSide
from tests.pagerduty.conftest import REST_KEY, error

URL = "https://bridge.example.com/pagerduty/webhook"
SECRET = "made-up-secret-not-to-be-seen"


@pytest.fixture
def rest_api(transport: Transport, pagerduty: FarSide) -> RestApi:
    return RestApi(transport, pagerduty.url, REST_KEY, "")


@pytest.fixture
def api(rest_api: RestApi) -> SubscriptionsApi:
    return SubscriptionsApi(rest_api.ask)


def subscription_of(ident: str = "PWSUB01", secret: str | None = None, **changes: object) -> dict[str, object]:
    return {
        "id": ident,
        "type": "webhook_subscription",
        "active": True,
        "description": DESCRIPTION,
        "delivery_method": {"type": "http_delivery_method", "url": URL, "secret": secret},
        "events": ["incident.resolved"],
        "filter": {"type": "service_reference", "id": "P1"},
    } | changes


def test_the_bridge_needs_what_it_acts_on_and_creates_no_event_pagerduty_does_not_have() -> None:
    assert {"incident.triggered", "incident.acknowledged", "incident.unacknowledged"} <= set(NEEDED_EVENTS)
    assert {"incident.resolved", "incident.reopened", "incident.annotated"} <= set(NEEDED_EVENTS)
    assert set(NEEDED_EVENTS) <= set(CREATED_EVENTS)


def test_every_page_of_the_list_is_read(api: SubscriptionsApi, pagerduty: FarSide) -> None:
    off = {"type": "http_delivery_method", "url": URL, "temporarily_disabled": True}
    pagerduty.will_answer(200, {"webhook_subscriptions": [subscription_of("S1")], "more": True})
    pagerduty.will_answer(
        200, {"webhook_subscriptions": [subscription_of("S2", delivery_method=off, active=False)], "more": False}
    )
    reply = api.list()
    assert isinstance(reply, Done)
    assert (
        Subscription("S1", URL, ("incident.resolved",), Scope("service", "P1"), description=DESCRIPTION),
        Subscription("S2", URL, ("incident.resolved",), Scope("service", "P1"), False, True, DESCRIPTION),
    ) == reply.value
    first, second = pagerduty.requests
    check_request(first, REST_HOST)
    check_request(second, REST_HOST)
    assert (["0"], ["100"]) == (first.params["offset"], second.params["offset"])


def test_what_cannot_be_a_subscription_is_left_out(api: SubscriptionsApi, pagerduty: FarSide) -> None:
    pagerduty.will_answer(
        200,
        {"webhook_subscriptions": [{}, None, subscription_of(delivery_method=None), subscription_of("S9", events=1)]},
    )
    reply = api.list()
    assert isinstance(reply, Done)
    (only,) = reply.value
    assert ("S9", ()) == (only.subscription_id, only.events)


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (401, error(2006), Held("unauthorized")),
        (403, error(2010), Held("forbidden")),
        (200, {}, Retry("unreadable_answer")),
        (503, None, Retry("http_503")),
    ],
)
def test_a_list_that_cannot_be_read_says_why(
    api: SubscriptionsApi, pagerduty: FarSide, status: int, body: object, expected: object
) -> None:
    pagerduty.will_answer(status, body)
    assert expected == api.list()


@pytest.mark.parametrize("status", [200, 201])
def test_a_new_one_tells_its_secret_once_and_hides_it_ever_after(
    api: SubscriptionsApi, pagerduty: FarSide, status: int
) -> None:
    pagerduty.will_answer(status, {"webhook_subscription": subscription_of(secret=SECRET)})
    reply = api.create(URL, CREATED_EVENTS, Scope("service", "P1"))
    assert isinstance(reply, Done)
    made = reply.value
    assert (SECRET, "PWSUB01") == (made.secret, made.subscription.subscription_id)
    assert SECRET not in repr(made)
    sent = pagerduty.only_request
    check_request(sent, REST_HOST)
    assert {"type": "service_reference", "id": "P1"} == sent.json["webhook_subscription"]["filter"]
    assert list(CREATED_EVENTS) == sent.json["webhook_subscription"]["events"]


def test_an_account_wide_one_names_no_id(api: SubscriptionsApi, pagerduty: FarSide) -> None:
    pagerduty.will_answer(201, {"webhook_subscription": subscription_of(secret=SECRET)})
    api.create(URL, NEEDED_EVENTS, Scope())
    check_request(pagerduty.only_request, REST_HOST)
    assert {"type": "account_reference"} == pagerduty.only_request.json["webhook_subscription"]["filter"]


def test_a_new_one_without_its_secret_is_no_success(api: SubscriptionsApi, pagerduty: FarSide) -> None:
    pagerduty.will_answer(201, {"webhook_subscription": subscription_of()})
    assert Retry("unreadable_answer", unclear=True) == api.create(URL, NEEDED_EVENTS, Scope())


def test_too_many_is_a_refusal_with_pagerdutys_own_number(api: SubscriptionsApi, pagerduty: FarSide) -> None:
    pagerduty.will_answer(400, error(2019, "Limit Reached"))
    reply = api.create(URL, NEEDED_EVENTS, Scope())
    assert isinstance(reply, Refused)
    assert (2019, "Limit Reached") == (reply.code, reply.detail)


def test_an_update_leaves_the_address_alone(api: SubscriptionsApi, pagerduty: FarSide) -> None:
    pagerduty.will_answer(200, {"webhook_subscription": subscription_of()})
    assert isinstance(api.update("PWSUB01", NEEDED_EVENTS), Done)
    sent = pagerduty.only_request
    check_request(sent, REST_HOST)
    requested = sent.json["webhook_subscription"]
    assert (True, list(NEEDED_EVENTS), "PUT") == (requested["active"], requested["events"], sent.method)
    assert {"active", "events"} == set(requested), "nothing that PagerDuty's document does not name"


@pytest.mark.parametrize("action", ["enable", "ping"])
def test_what_has_no_body_is_only_asked_for(api: SubscriptionsApi, pagerduty: FarSide, action: str) -> None:
    pagerduty.will_answer(202)
    assert isinstance(getattr(api, action)("PWSUB01"), Done)
    check_request(pagerduty.only_request, REST_HOST)
    assert f"/webhook_subscriptions/PWSUB01/{action}" == pagerduty.only_request.path


def test_a_service_is_read_with_what_surprises_about_it(rest_api: RestApi, pagerduty: FarSide) -> None:
    shown = {
        "id": "P1",
        "name": "AI",
        "status": "maintenance",
        "acknowledgement_timeout": 1800,
        "auto_resolve_timeout": None,
        "incident_urgency_rule": {"type": "constant", "urgency": "low"},
    }
    pagerduty.will_answer(200, {"service": shown})
    reply = AccountApi(rest_api.ask).service("P1")
    assert isinstance(reply, Done)
    assert ServiceFacts("P1", "AI", "maintenance", 1800, None, "low") == reply.value
    check_request(pagerduty.only_request, REST_HOST)


def test_a_service_without_an_id_is_no_service(rest_api: RestApi, pagerduty: FarSide) -> None:
    pagerduty.will_answer(200, {"service": {}})
    assert Retry("unreadable_answer") == AccountApi(rest_api.ask).service("P1")


def test_a_key_is_tried_by_the_cheapest_call(rest_api: RestApi, pagerduty: FarSide) -> None:
    pagerduty.will_answer(200, {"abilities": []})
    pagerduty.will_answer(401, error(2006))
    account = AccountApi(rest_api.ask)
    assert isinstance(account.accepts_key(), Done)
    assert Held("unauthorized") == account.accepts_key()
    check_request(pagerduty.requests[0], REST_HOST)
