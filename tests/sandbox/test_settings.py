"""Settings: each partner's clock, what TruthVouch keeps and sends, webhook retries, alerts of reopened incidents."""

import re
from typing import Any

import pytest

from app.sandbox.kit.support import iso
from tests.sandbox.conftest import START, Rig

HOUR = 3600.0
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[.\d]*Z")
DEFAULTS = {
    "events_delay_seconds": 0.05,
    "signature": "s1",
    "envelope": "nested",
    "truthvouch_refuses_reopen": True,
    "truthvouch_reports_api_changes": True,
    "truthvouch_keeps_acknowledges": True,
    "truthvouch_list_order": "newest_first",
    "pagerduty_alerts_reopen_with_incident": True,
    "webhook_retry_seconds": {name: [0.2, 0.5, 1.0, 2.0, 5.0, 10.0] for name in ("pagerduty", "truthvouch")},
    "clocks": {name: {"offset_seconds": 0.0, "drift_seconds_per_hour": 0.0} for name in ("pagerduty", "truthvouch")},
    "limits": {
        "pagerduty_rest": {"calls": 0, "seconds": 60.0},
        "pagerduty_events": {"calls": 0, "seconds": 60.0},
        "truthvouch": {"calls": 0, "seconds": 60.0},
    },
}


def change(rig: Rig, **requested: Any) -> Any:
    return rig.order("/settings", requested)


def set_clock(rig: Rig, partner: str, **requested: float) -> Any:
    return change(rig, clocks={partner: requested})["clocks"][partner]


def test_without_an_order_everything_is_as_documented(rig: Rig) -> None:
    assert DEFAULTS == rig.order("/settings", method="GET")


def test_settings_survive_a_reset(rig: Rig) -> None:
    requested = {
        "truthvouch_reports_api_changes": False,
        "truthvouch_keeps_acknowledges": False,
        "truthvouch_list_order": "oldest_first",
        "pagerduty_alerts_reopen_with_incident": False,
        "webhook_retry_seconds": {"pagerduty": [1.0], "truthvouch": [2.0, 3.0]},
        "clocks": {
            "pagerduty": {"offset_seconds": 1.5, "drift_seconds_per_hour": 0.0},
            "truthvouch": {"offset_seconds": -2.0, "drift_seconds_per_hour": -3.0},
        },
    }
    assert DEFAULTS | requested == change(rig, **requested)

    rig.order("/reset")
    assert DEFAULTS | requested == rig.order("/settings", method="GET")


@pytest.mark.parametrize(
    "requested",
    [
        {"truthvouch_reports_api_changes": "off"},
        {"truthvouch_keeps_acknowledges": None},
        {"truthvouch_list_order": "shuffled"},
        {"pagerduty_alerts_reopen_with_incident": 0},
        {"webhook_retry_seconds": [1]},
        {"webhook_retry_seconds": {"opsgenie": [1]}},
        {"webhook_retry_seconds": {"pagerduty": []}},
        {"webhook_retry_seconds": {"pagerduty": 5}},
        {"webhook_retry_seconds": {"pagerduty": [1, 0]}},
        {"webhook_retry_seconds": {"pagerduty": [1, "2"]}},
        {"limits": {"truthvouch": {"calls": 1}}},
        {"limits": {"truthvouch": 5}},
        {"clocks": 600},
        {"clocks": {"sandbox": {"offset_seconds": 1}}},
        {"clocks": {"pagerduty": 600}},
        {"clocks": {"pagerduty": {"offset": 1}}},
        {"clocks": {"pagerduty": {"offset_seconds": "1"}}},
        {"clocks": {"pagerduty": {"offset_seconds": True}}},
        {"clocks": {"pagerduty": {"offset_seconds": 1e300}}},
        {"clocks": {"pagerduty": {"drift_seconds_per_hour": float("nan")}}},
    ],
)
def test_a_value_that_makes_no_sense_is_400_and_changes_nothing(rig: Rig, requested: dict[str, object]) -> None:
    answer = rig.client.post("/sandbox/settings", json={"signature": "s2", **requested})

    assert (400, str) == (answer.status_code, type(answer.json["error"]))
    assert DEFAULTS == rig.order("/settings", method="GET")


# ---------------------------------------------------------------- clocks


def times_in(*texts: str) -> set[str]:
    return {time for text in texts for time in TIME.findall(text)}


def pagerduty_scenario(rig: Rig) -> list[str]:
    """What PagerDuty answers and shows of an incident with everything on it."""
    rig.enqueue("trigger", "d", wait=0.0)
    rig.enqueue("acknowledge", "d", wait=0.0)
    rig.world.pagerduty.events.delay_seconds = 0.0
    rig.pass_time(0.0)
    [made] = rig.incidents(incident_key="d")
    ident, path = made["id"], f"/incidents/{made['id']}"
    said = [rig.rest("POST", f"{path}/notes", {"note": {"content": "n"}}), rig.put(ident, status="resolved")]
    said += [rig.put(ident, status="acknowledged"), rig.rest("POST", f"{path}/status_updates", {"message": "m"})]
    for action in ("escalate", "note", "unacknowledge", "acknowledge", "resolve", "reopen"):
        said.append(rig.client.post(f"/sandbox/pagerduty{path}/{action}", json={"note": "n"}))
    rig.rest("POST", "/webhook_subscriptions/PSBXWH1/ping")
    said += [rig.rest("GET", path + end) for end in ("", "/notes", "/alerts", "/log_entries")]
    return [answer.text for answer in said]


def truthvouch_scenario(rig: Rig) -> list[str]:
    """What TruthVouch answers and shows of an alert."""
    ident = rig.alert()["id"]
    said = [rig.tv("PATCH", f"/alerts/{ident}", {"status": status}) for status in ("acknowledged", "resolved")]
    said.append(rig.client.post(f"/sandbox/truthvouch/alerts/{ident}/reopen", json={}))
    said += [rig.tv("GET", "/alerts"), rig.tv("GET", f"/alerts/{ident}")]
    return [answer.text for answer in said]


@pytest.mark.parametrize(
    ("partner", "scenario"), [("pagerduty", pagerduty_scenario), ("truthvouch", truthvouch_scenario)]
)
@pytest.mark.parametrize("offset", [600.0, -600.0])
def test_whatever_a_partner_writes_has_the_time_of_its_own_clock(
    rig: Rig, partner: str, scenario: Any, offset: float
) -> None:
    rig.world.pagerduty.events.delay_seconds = 0.0
    rig.clock.now = START + 0.25
    set_clock(rig, partner, offset_seconds=offset)
    texts = scenario(rig)
    rig.webhooks_sent()
    texts += [delivery.body.decode() for delivery in rig.bridge.deliveries]

    now = rig.clock.now + offset
    assert {iso(now), iso(now, milliseconds=True)} == times_in(*texts)


def test_one_partners_clock_is_not_the_others(rig: Rig) -> None:
    set_clock(rig, "pagerduty", offset_seconds=-90)
    rig.alert(signature="s2")
    rig.incident()

    assert [iso(START, True), iso(START - 90, True)] == [
        body.get("timestamp") or body["event"]["occurred_at"] for body in rig.webhooks_sent()
    ]
    assert START == rig.order("/state", method="GET")["now"]


def test_a_signature_with_a_time_has_that_of_truthvouchs_clock(rig: Rig) -> None:
    set_clock(rig, "truthvouch", offset_seconds=30)
    rig.alert(signature="s2")
    rig.webhooks_sent()

    assert rig.bridge.deliveries[0].headers["X-TruthVouch-Signature"].startswith(f"t={START + 30:.0f},")


def test_every_answer_of_a_partner_is_dated_by_its_clock_in_whole_seconds(rig: Rig) -> None:
    rig.clock.now += 0.75
    set_clock(rig, "pagerduty", offset_seconds=60)
    set_clock(rig, "truthvouch", offset_seconds=-60)
    subscription = rig.world.pagerduty.hooks.create("http://x.test", [], {"type": "account_reference"})
    rig.order("/faults", {"path_regex": "struck", "kind": "status"})

    answers = [rig.rest("GET", path) for path in ("/users/me", "/incidents/QNONE", "/none", "/struck")]
    answers += [rig.rest("GET", "/users/me", Authorization=""), rig.enqueue("trigger", "d"), rig.enqueue("bad", "d")]
    answers += [rig.rest("DELETE", f"/webhook_subscriptions/{subscription.subscription_id}")]
    assert [200, 404, 404, 503, 401, 202, 400, 204] == [answer.status_code for answer in answers]
    assert [["Fri, 15 Jan 2027 08:01:00 GMT"]] * 8 == [answer.headers.getlist("Date") for answer in answers]

    answers = [rig.tv("GET", path) for path in ("/alerts", "/alerts/none", "/struck")]
    assert [["Fri, 15 Jan 2027 07:59:00 GMT"]] * 3 == [answer.headers.getlist("Date") for answer in answers]


def test_the_date_of_a_fault_can_be_ordered(rig: Rig) -> None:
    rig.order("/faults", {"kind": "status", "headers": {"date": "yesterday"}})

    assert ["yesterday"] == rig.rest("GET", "/users/me").headers.getlist("Date")


def test_a_new_offset_holds_for_what_is_written_from_now_on(rig: Rig) -> None:
    set_clock(rig, "pagerduty", offset_seconds=600)
    ident = rig.incident()["id"]
    set_clock(rig, "pagerduty", offset_seconds=-600)

    acknowledged = rig.put(ident, status="acknowledged").json["incident"]
    assert iso(START + 600) == acknowledged["created_at"]
    assert iso(START - 600) == acknowledged["last_status_change_at"]


@pytest.mark.parametrize("drift", [36.0, -36.0])
def test_a_clock_gains_or_loses_every_hour_from_where_it_stands(rig: Rig, drift: float) -> None:
    set_clock(rig, "truthvouch", offset_seconds=60)
    set_clock(rig, "truthvouch", drift_seconds_per_hour=drift)
    rig.clock.now += 2 * HOUR
    assert {iso(START + 2 * HOUR + 60 + 2 * drift)} == times_in(rig.alert()["createdAt"])

    change(rig, signature="s2")
    stopped = set_clock(rig, "truthvouch", drift_seconds_per_hour=0)
    rig.clock.now += HOUR
    assert {"offset_seconds": 60 + 2 * drift, "drift_seconds_per_hour": 0.0} == stopped
    assert {iso(START + 3 * HOUR + 60 + 2 * drift)} == times_in(rig.alert()["createdAt"])


def test_an_instant_given_by_the_order_is_written_as_it_is(rig: Rig) -> None:
    set_clock(rig, "truthvouch", offset_seconds=600)

    assert iso(START - 60) == rig.alert(at=START - 60)["createdAt"]


@pytest.mark.parametrize("offset", [1e6, -1e6])
@pytest.mark.parametrize("partner", ["pagerduty", "truthvouch"])
def test_retries_and_limits_run_on_real_time(rig: Rig, partner: str, offset: float) -> None:
    limit = {"calls": 2, "seconds": 10}
    change(rig, limits={"pagerduty_rest": limit, "pagerduty_events": limit, "truthvouch": limit})

    def statuses() -> list[int]:
        answers = rig.rest("GET", "/users/me"), rig.enqueue("resolve", "d", wait=0.0), rig.tv("GET", "/alerts")
        return [answer.status_code for answer in answers]

    set_clock(rig, partner, offset_seconds=offset)
    rig.bridge.answers = [503, 503]
    rig.order("/pagerduty/incidents")
    rig.alert()
    rig.webhooks_sent()
    assert [200, 202, 200] == statuses()
    set_clock(rig, partner, offset_seconds=-offset)
    assert [[200, 202, 200], [429, 429, 429]] == [statuses(), statuses()]

    rig.pass_time(0.2)
    assert 4 == len(rig.bridge.deliveries)
    rig.pass_time(10)
    assert ([200, 202, 200], 4) == (statuses(), len(rig.bridge.deliveries))


def test_rest_has_whole_seconds_and_a_webhook_milliseconds(rig: Rig) -> None:
    rig.clock.now += 0.789
    made = rig.incident()

    assert ("2027-01-15T08:00:00Z",) * 2 == (made["created_at"], made["last_status_change_at"])
    assert "2027-01-15T08:00:00.789Z" == rig.webhooks_sent()[0]["event"]["occurred_at"]


def test_an_acknowledge_that_reopens_sends_two_events_of_the_same_time(rig: Rig) -> None:
    ident = rig.incident()["id"]
    rig.put(ident, status="resolved")
    rig.clock.now += 5.125
    rig.put(ident, status="acknowledged")

    assert [
        ("incident.reopened", "2027-01-15T08:00:05.125Z"),
        ("incident.acknowledged", "2027-01-15T08:00:05.125Z"),
    ] == [(body["event"]["event_type"], body["event"]["occurred_at"]) for body in rig.webhooks_sent()[-2:]]


def test_a_persons_long_note_is_cut_in_the_webhook_and_whole_in_rest(rig: Rig) -> None:
    ident = rig.incident()["id"]
    rig.order(f"/pagerduty/incidents/{ident}/note", {"note": "x" * 2001, "by": "Dana Example"})

    event = rig.webhooks_sent()[-1]["event"]
    assert ("Dana Example", True, "x" * 2000) == (
        event["agent"]["summary"], event["data"]["trimmed"], event["data"]["content"],
    )  # fmt: skip
    assert ["x" * 2001] == [n["content"] for n in rig.rest("GET", f"/incidents/{ident}/notes").json["notes"]]


# ---------------------------------------------------------------- TruthVouch


def test_truthvouch_can_send_nothing_about_changes_of_the_api(rig: Rig) -> None:
    change(rig, truthvouch_reports_api_changes=False)
    ident = rig.alert()["id"]

    assert 200 == rig.tv("PATCH", f"/alerts/{ident}", {"status": "resolved"}).status_code
    rig.order(f"/truthvouch/alerts/{ident}/reopen")
    assert ["alert.created", "alert.reopened"] == rig.events()
    assert ["created", "resolved", "reopened"] == [
        line["event_type"] for line in rig.order(f"/truthvouch/alerts/{ident}", method="GET")["alert"]["history"]
    ]


@pytest.mark.parametrize("status", ["acknowledged", "investigating"])
def test_truthvouch_can_forget_acknowledges(rig: Rig, status: str) -> None:
    change(rig, truthvouch_keeps_acknowledges=False)
    ident = rig.alert()["id"]
    before = rig.tv("GET", f"/alerts/{ident}").json

    answer = rig.tv("PATCH", f"/alerts/{ident}", {"status": status})
    assert (200, before) == (answer.status_code, answer.json)
    assert before == rig.tv("GET", f"/alerts/{ident}").json
    assert ["alert.created"] == rig.events()

    rig.order(f"/truthvouch/alerts/{ident}/acknowledge")
    assert "resolved" == rig.tv("PATCH", f"/alerts/{ident}", {"status": "resolved"}).json["data"]["status"]
    assert 409 == rig.tv("PATCH", f"/alerts/{ident}", {"status": status}).status_code
    assert ["alert.created", "alert.acknowledged", "alert.resolved"] == rig.events()


def test_truthvouch_can_list_the_oldest_first(rig: Rig) -> None:
    change(rig, truthvouch_list_order="oldest_first")
    idents = [rig.alert(at=START + at)["id"] for at in (2, 1, 1)]

    assert idents[1:] + idents[:1] == [
        alert["id"] for number in (1, 2, 3) for alert in rig.tv("GET", f"/alerts?pageSize=1&page={number}").json["data"]
    ]


# ---------------------------------------------------------------- retries of webhooks


def test_each_partner_has_its_own_retry_schedule_whose_last_step_repeats(rig: Rig) -> None:
    change(rig, webhook_retry_seconds={"truthvouch": [60, 300, 1800]})
    change(rig, webhook_retry_seconds={"pagerduty": [0.1]})
    rig.bridge.answers = [503] * 100
    rig.alert()
    rig.webhooks_sent()
    attempts = []
    for seconds in (59, 1, 299, 1, 1799, 1, 1799, 1):
        rig.pass_time(seconds)
        attempts.append(len(rig.bridge.deliveries))
    assert [1, 2, 2, 3, 3, 4, 4, 5] == attempts

    rig.incident()
    for wait in (0.0, 0.1, 0.1):
        rig.pass_time(wait)
    assert 8 == len(rig.bridge.deliveries)


# ---------------------------------------------------------------- alerts of reopened incidents


def reopen(rig: Rig, how: str) -> str:
    """An incident opened by event, resolved by event and reopened; its id."""
    rig.enqueue("trigger", "d")
    rig.enqueue("resolve", "d")
    ident: str = rig.incidents()[0]["id"]
    if how == "person":
        rig.order(f"/pagerduty/incidents/{ident}/reopen")
    else:
        rig.put(ident, status=how)
    return ident


def alert_status(rig: Rig, ident: str) -> Any:
    return rig.rest("GET", f"/incidents/{ident}/alerts").json["alerts"][0]["status"]


@pytest.mark.parametrize("how", ["person", "triggered", "acknowledged"])
def test_the_alert_of_a_reopened_incident_can_stay_resolved(rig: Rig, how: str) -> None:
    change(rig, pagerduty_alerts_reopen_with_incident=False)
    ident = reopen(rig, how)
    before = rig.events()

    assert "resolved" == alert_status(rig, ident)
    assert [202, 202] == [rig.enqueue(action, "d").status_code for action in ("acknowledge", "resolve")]
    assert (before, ["acknowledged" if how == "acknowledged" else "triggered"]) == (
        rig.events(), [i["status"] for i in rig.incidents()],
    )  # fmt: skip

    rig.enqueue("trigger", "d")
    first, second = rig.incidents()
    assert (ident, "incident.triggered") == (first["id"], rig.events()[-1])
    rig.enqueue("resolve", "d")
    assert "resolved" == rig.rest("GET", f"/incidents/{second['id']}").json["incident"]["status"]
    assert first["status"] == rig.rest("GET", f"/incidents/{ident}").json["incident"]["status"]


@pytest.mark.parametrize("how", ["person", "triggered", "acknowledged"])
def test_by_default_the_alert_opens_again_with_its_incident(rig: Rig, how: str) -> None:
    ident = reopen(rig, how)

    assert "triggered" == alert_status(rig, ident)
    rig.enqueue("resolve", "d")
    assert ["resolved"] == [i["status"] for i in rig.incidents()]
