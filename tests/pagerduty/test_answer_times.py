"""Whatever is read out of PagerDuty's answer, PagerDuty's own clock comes with it."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from app.domain.model.incident import IncidentDraft
from app.domain.model.outcome import Done, Reply
from app.domain.model.subscription import Scope
from app.domain.model.types import IncidentId, Status, Urgency
from app.pagerduty.directory import AccountApi, AnalyticsApi, RespondersApi
from app.pagerduty.events_api import EventsApi
from app.pagerduty.rest_api import RestApi
from app.pagerduty.subscriptions import SubscriptionsApi
from app.remote.transport import Transport
from tests.answering import FIRST, SECOND, Answering
from tests.far_side import FarSide
from tests.pagerduty.conftest import KEY, REST_KEY, ROUTING_KEY, error, incident

ID = IncidentId("Q0TVINC0000001")
DRAFT = IncidentDraft(KEY, "title", Urgency.HIGH, "critical", "source")
SHOWN = {"incident": incident(status="resolved")}
NOTE = {"id": "PNOTE1", "content": "x"}
SUBSCRIPTION = {"id": "S1", "delivery_method": {"url": "https://bridge.example.com/hook", "secret": "made-up"}}
MADE = {"webhook_subscription": SUBSCRIPTION}

Ask = Callable[[RestApi], Reply[Any]]

CALLS: dict[str, tuple[int, object, Ask]] = {
    "open": (201, SHOWN, lambda api: api.open(DRAFT)),
    "find": (200, {"incidents": []}, lambda api: api.find(KEY)),
    "open_page": (200, {"incidents": []}, lambda api: api.open_page(["P1"])),
    "get": (200, SHOWN, lambda api: api.get(ID)),
    "set_status": (200, SHOWN, lambda api: api.set_status(ID, Status.RESOLVED)),
    "add_note": (200, {"note": NOTE}, lambda api: api.add_note(ID, "x")),
    "notes": (200, {"notes": [NOTE]}, lambda api: api.notes(ID)),
    "ask": (200, {}, lambda api: api.ask("GET", "/abilities")),
    "change": (200, {}, lambda api: api.change("PUT", "/x", {})),
    "escalate": (200, SHOWN, lambda api: RespondersApi(api.ask, api.change).escalate(ID, level=2)),
    "request": (200, {}, lambda api: RespondersApi(api.ask, api.change).request(ID, "U1", "help", ["U2"], [])),
    "publish": (201, {}, lambda api: RespondersApi(api.ask, api.change).publish(ID, "on it")),
    "set_fields": (200, {}, lambda api: RespondersApi(api.ask, api.change).set_fields(ID, {"a": "b"})),
    "log": (200, {"log_entries": []}, lambda api: RespondersApi(api.ask, api.change).log(ID)),
    "accepts_key": (200, {}, lambda api: AccountApi(api.ask).accepts_key()),
    "service": (200, {"service": {"id": "P1"}}, lambda api: AccountApi(api.ask).service("P1")),
    "policy": (200, {"escalation_policy": {"id": "E1"}}, lambda api: AccountApi(api.ask).policy("E1")),
    "on_call": (200, {"oncalls": []}, lambda api: AccountApi(api.ask).on_call("E1")),
    "user": (200, {"user": {"id": "U1"}}, lambda api: AccountApi(api.ask).user("U1")),
    "user_called": (200, {"users": []}, lambda api: AccountApi(api.ask).user_called("a@example.com")),
    "abilities": (200, {"abilities": []}, lambda api: AccountApi(api.ask).abilities()),
    "priorities": (200, {"priorities": []}, lambda api: AccountApi(api.ask).priorities()),
    "of_services": (200, {"data": []}, lambda api: AnalyticsApi(api.ask).of_services(["P1"], FIRST, SECOND)),
    "list": (200, {"webhook_subscriptions": []}, lambda api: SubscriptionsApi(api.ask).list()),
    "create": (201, MADE, lambda api: SubscriptionsApi(api.ask).create("https://x.example", ["a"], Scope())),
    "update": (200, MADE, lambda api: SubscriptionsApi(api.ask).update("S1", ["a"])),
    "enable": (202, None, lambda api: SubscriptionsApi(api.ask).enable("S1")),
    "ping": (202, None, lambda api: SubscriptionsApi(api.ask).ping("S1")),
}


def rest_api(transport: Transport, url: str = "https://pagerduty.example") -> RestApi:
    return RestApi(transport, url, REST_KEY, "bridge@example.com", "P1")


def at(reply: Reply[Any]) -> datetime | None:
    assert isinstance(reply, Done)
    return reply.at


@pytest.mark.parametrize("name", CALLS)
def test_every_answer_by_rest_has_pagerdutys_time(name: str) -> None:
    status, answer, ask = CALLS[name]
    assert FIRST == at(ask(rest_api(Answering((status, answer)))))
    assert None is at(ask(rest_api(Answering((status, answer), dated=False))))


@pytest.mark.parametrize("code", [1001, 1005])
def test_where_a_change_was_refused_the_time_is_that_of_the_read_that_followed(code: int) -> None:
    reply = rest_api(Answering((400, error(code)), (200, SHOWN))).set_status(ID, Status.RESOLVED)
    assert SECOND == at(reply)


@pytest.mark.parametrize("action", ["trigger", "acknowledge", "resolve"])
def test_every_answer_to_an_event_has_pagerdutys_time(action: str) -> None:
    for dated in (True, False):
        api = EventsApi(Answering((202, {"status": "success"}), dated=dated), "https://events.example", ROUTING_KEY)
        reply = getattr(api, action)(DRAFT if action == "trigger" else KEY)
        assert (FIRST if dated else None) == at(reply)


def test_an_answer_over_the_wire_has_the_time_of_who_gave_it(transport: Transport, pagerduty: FarSide) -> None:
    pagerduty.will_answer(200, SHOWN)
    answer = at(rest_api(transport, pagerduty.url).get(ID))
    assert answer is not None
    assert (0, True) == (answer.microsecond, abs(datetime.now(UTC) - answer) < timedelta(seconds=30))
