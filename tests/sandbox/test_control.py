"""The control API: state, calls, holding and flushing, faults, limits, settings."""

import hmac

import pytest

from tests.sandbox.conftest import PAGERDUTY_SECRET, START, TRUTHVOUCH_SECRET, Delivery, Rig, code_of
from tests.sandbox.fake_bridge import FakeBridge


def test_every_answer_says_that_it_is_a_simulation(rig: Rig) -> None:
    for path in ("/", "/sandbox/state", "/incidents", "/api/v1/alerts", "/nonsense", "/sandbox/nonsense"):
        assert "simulation" == rig.client.get(path).headers["X-Sandbox"]


def test_the_page_says_so_too_and_needs_nothing_from_elsewhere(rig: Rig) -> None:
    page = rig.client.get("/")

    assert "SIMULATION" in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert not [word for word in ("<script src", '<link rel="stylesheet', "@import", "https://") if word in page.text]


def test_the_state_shows_both_sides_newest_first(rig: Rig) -> None:
    rig.alert()
    second = rig.alert()["id"]
    ident = rig.incident()["id"]
    rig.order(f"/pagerduty/incidents/{ident}/note", {"note": "looking"})

    state = rig.order("/state?limit=1", method="GET")
    assert [second] == [a["id"] for a in state["alerts"]]
    assert ["looking"] == [n["content"] for n in state["incidents"][0]["notes"]]
    assert 2 == state["counts"]["alerts"]


def test_calls_of_the_bridge_are_remembered_and_others_are_not(rig: Rig) -> None:
    ident = rig.alert()["id"]
    rig.clock.now += 1
    rig.tv("PATCH", f"/alerts/{ident}?x=", {"status": "acknowledged"})
    rig.incident()

    found = rig.order(f"/calls?partner=truthvouch&method=patch&since={START + 0.5}", method="GET")["calls"]
    assert [(START + 1, f"/api/v1/alerts/{ident}", {"x": [""]}, {"status": "acknowledged"}, 200)] == [
        (c["at"], c["path"], c["query"], c["body"], c["status"]) for c in found
    ]
    assert ["truthvouch", "pagerduty"] == [c["partner"] for c in rig.order("/calls", method="GET")["calls"]]
    assert "oncall@example.com" == rig.order("/calls?path=/incidents", method="GET")["calls"][0]["from"]


@pytest.mark.parametrize(("order", "expected"), [("same", "112233"), ("reverse", "332211")])
def test_held_webhooks_go_out_in_the_order_asked_for(rig: Rig, order: str, expected: str) -> None:
    rig.order("/webhooks", {"mode": "hold"})
    for number in "123":
        rig.alert(alert_id=number)
    assert (3, 0) == (rig.order("/webhooks", method="GET")["held"], len(rig.webhooks_sent()))

    assert 6 == rig.order("/webhooks/flush", {"order": order, "copies": 2})["flushed"]
    assert expected == "".join(b["data"]["alertId"] for b in rig.webhooks_sent())


def test_a_shuffle_is_repeated_by_its_seed(rig: Rig) -> None:
    def shuffled() -> list[str]:
        other = Rig()
        other.order("/webhooks", {"mode": "hold", "partner": "truthvouch"})
        for number in range(20):
            other.alert(alert_id=str(number))
        other.order("/webhooks/flush", {"order": "shuffled", "seed": 7})
        return [b["data"]["alertId"] for b in other.webhooks_sent()]

    assert shuffled() == shuffled()
    assert [str(n) for n in range(20)] != shuffled()


def test_one_partner_can_be_silenced_alone(rig: Rig) -> None:
    rig.order("/webhooks", {"mode": "drop", "partner": "truthvouch"})
    rig.alert()
    rig.incident()

    assert ["incident.triggered"] == rig.events()
    assert 1 == rig.order("/webhooks", method="GET")["partners"]["truthvouch"]["dropped"]


def test_a_fault_strikes_what_it_matches_as_often_as_ordered(rig: Rig) -> None:
    rig.order(
        "/faults",
        {
            "partner": "pagerduty",
            "method": "post",
            "path_regex": "^/incidents$",
            "kind": "status",
            "status": 429,
            "headers": {"Retry-After": "3"},
            "times": 1,
        },
    )

    struck = rig.rest("POST", "/incidents", {})
    assert (429, "3") == (struck.status_code, struck.headers["Retry-After"])
    assert 200 == rig.rest("GET", "/incidents").status_code
    assert rig.incident()
    assert (1, 0) == tuple(rig.order("/faults", method="GET")["faults"][0][k] for k in ("hits", "times"))


def test_a_reset_before_does_nothing_and_a_reset_after_does_it(rig: Rig) -> None:
    ident = rig.incident()["id"]
    rig.order("/faults", {"kind": "reset_before", "times": 1})
    with pytest.raises(OSError, match="reset_before"):
        rig.put(ident, status="acknowledged")
    assert "triggered" == rig.order(f"/pagerduty/incidents/{ident}", method="GET")["incident"]["status"]

    rig.order("/faults", {"kind": "reset_after", "times": 1})
    with pytest.raises(OSError, match="reset_after"):
        rig.put(ident, status="acknowledged")
    assert "acknowledged" == rig.order(f"/pagerduty/incidents/{ident}", method="GET")["incident"]["status"]
    assert [None, None] == [c["status"] for c in rig.order("/calls?method=PUT", method="GET")["calls"]]


def test_faults_can_be_taken_away(rig: Rig) -> None:
    first = rig.order("/faults", {"kind": "status", "partner": "truthvouch"})["fault"]["id"]
    rig.order("/faults", {"kind": "status", "partner": "pagerduty"})
    rig.order(f"/faults/{first}", method="DELETE")
    assert (200, 503) == (rig.tv("GET", "/alerts").status_code, rig.rest("GET", "/incidents").status_code)

    rig.order("/faults", method="DELETE")
    assert 200 == rig.rest("GET", "/incidents").status_code


@pytest.mark.parametrize("signature", ["s1", "s2", "s3"])
def test_with_a_wrong_secret_no_signature_fits_until_the_fault_is_over(rig: Rig, signature: str) -> None:
    rig.order("/settings", {"signature": signature})
    rig.alert()
    rig.webhooks_sent()
    rig.order("/faults", {"kind": "wrong_secret", "partner": "truthvouch"})
    rig.bridge.answers = [401]
    rig.alert(alert_id="refused")
    rig.incident()
    rig.webhooks_sent()
    assert [True, False, True] == [_is_signed(one) for one in rig.bridge.deliveries]
    assert 200 == rig.tv("GET", "/alerts").status_code, "it is about webhooks"
    assert 1 == rig.order("/faults", method="GET")["faults"][0]["hits"]

    rig.order("/faults", method="DELETE")
    assert "refused" in str(rig.webhooks_sent(1)[-1]), "the refused one is sent again"
    assert _is_signed(rig.bridge.deliveries[-1])


def _is_signed(sent: Delivery) -> bool:
    """Whether the digest is that of the partner's own secret."""
    given = next(value for name, value in sent.headers.items() if name.endswith("Signature"))
    secret = PAGERDUTY_SECRET if "pagerduty" in sent.url else TRUTHVOUCH_SECRET
    stamp = given[2:].partition(",")[0].encode() + b"." if given.startswith("t=") else b""
    return given.endswith(hmac.new(secret.encode(), stamp + sent.body, "sha256").hexdigest())


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/faults", {"kind": "explode"}),
        ("/faults", {"kind": "status", "path_regex": "("}),
        ("/faults", {"kind": "status", "where": "x"}),
        ("/webhooks", {"mode": "lose"}),
        ("/webhooks/flush", {"order": "sideways"}),
        ("/bridge", {"url": "bridge"}),
        ("/bridge", {"url": "http://bridge.test", "token": "two\r\nlines"}),
        ("/settings", {"signature": "s9"}),
        ("/settings", {"colour": "red"}),
        ("/truthvouch/alerts", {"envelope": "round"}),
        ("/truthvouch/alerts", []),
        ("/truthvouch/alerts", {"at": "yesterday"}),
    ],
)
def test_an_order_that_makes_no_sense_is_400_with_words(rig: Rig, path: str, body: object) -> None:
    answer = rig.client.post("/sandbox" + path, json=body)

    assert (400, str) == (answer.status_code, type(answer.json["error"]))


def test_orders_from_other_web_sites_are_refused(rig: Rig) -> None:
    assert 403 == rig.client.post("/sandbox/reset", headers={"Origin": "https://evil.example"}).status_code
    assert 200 == rig.client.post("/sandbox/reset", headers={"Origin": "http://localhost"}).status_code


def test_an_impossible_click_is_409_and_a_click_on_nothing_404(rig: Rig) -> None:
    ident = rig.incident()["id"]

    assert 409 == rig.client.post(f"/sandbox/pagerduty/incidents/{ident}/unacknowledge", json={}).status_code
    assert 409 == rig.client.post(f"/sandbox/pagerduty/incidents/{ident}/reopen", json={}).status_code
    assert 404 == rig.client.post("/sandbox/pagerduty/incidents/QNONE/resolve", json={}).status_code
    assert 404 == rig.client.post("/sandbox/truthvouch/alerts/none/resolve", json={}).status_code
    assert 409 == rig.client.post("/sandbox/truthvouch/alerts", json={"alert_id": rig.alert()["id"]}).status_code


def test_the_bridge_can_move_house(rig: Rig) -> None:
    rig.order("/bridge", {"url": "http://elsewhere.test/"})
    rig.alert()
    rig.incident()
    rig.webhooks_sent()

    assert {"http://elsewhere.test/truthvouch/alerts", "http://elsewhere.test/pagerduty/webhook"} == {
        d.url for d in rig.bridge.deliveries
    }


def test_the_bridge_is_asked_why_an_alert_has_no_incident(rig: Rig) -> None:
    with FakeBridge("") as bridge:
        bridge.says["/api/v1/links/a%2F1"] = (200, {"decided": "No incident.", "deliveries": {}, "alert": "kept back"})
        bridge.says |= {"/api/v1/links/a2": (404, {}), "/api/v1/links/a3": (599, {}), "/api/v1/links/a4": (200, 7)}
        rig.order("/bridge", {"url": bridge.url, "token": "a-token"})

        told = rig.order("/bridge/alerts/a/1", method="GET")
        assert {"fault": None, "decided": "No incident.", "deliveries": {}} == told
        assert "Bearer a-token" == bridge.received[0][1]["Authorization"]
        faults = [rig.order(f"/bridge/alerts/a{number}", method="GET")["fault"] for number in (2, 3, 4)]
    assert ["The bridge knows no such alert.", "The bridge answers 599.", "The bridge does not answer."] == faults
    assert "The bridge does not answer." == rig.order("/bridge/alerts/a5", method="GET")["fault"]


def test_a_token_follows_no_redirect(rig: Rig) -> None:
    with FakeBridge("") as elsewhere, FakeBridge("") as bridge:
        bridge.moved["/api/v1/links/a1"] = f"{elsewhere.url}/api/v1/links/a1"
        rig.order("/bridge", {"url": bridge.url, "token": "a-token"})
        assert "The bridge answers 302." == rig.order("/bridge/alerts/a1", method="GET")["fault"]
        assert [] == elsewhere.received


def test_a_token_is_shown_to_nobody_and_goes_nowhere_else(rig: Rig) -> None:
    assert 409 == rig.client.get("/sandbox/bridge/alerts/a1").status_code
    given = rig.order("/bridge", {"url": "http://bridge.test", "token": "a-token"})
    assert {"bridge_url": "http://bridge.test", "asks_bridge": True} == given
    assert "a-token" not in "".join(rig.client.get(f"/sandbox/{path}").text for path in ("state", "health", "settings"))

    rig.order("/bridge", {"url": "http://elsewhere.test"})
    assert not rig.order("/state", method="GET")["asks_bridge"]
    assert 409 == rig.client.get("/sandbox/bridge/alerts/a1").status_code


def test_a_reset_leaves_nothing_behind(rig: Rig) -> None:
    rig.order("/webhooks", {"mode": "hold"})
    rig.alert()
    rig.incident()
    rig.enqueue("trigger", "d", wait=0.0)
    rig.order("/faults", {"kind": "status"})
    rig.order("/reset")
    rig.pass_time(60)

    state = rig.order("/state", method="GET")
    assert {"alerts": 0, "incidents": 0, "calls": 0} == state["counts"]
    assert (0, 0, []) == (state["webhooks"]["queued"], state["webhooks"]["held"], state["faults"])
    assert 1 == rig.incident()["incident_number"]


def test_an_incident_can_be_opened_by_hand(rig: Rig) -> None:
    made = rig.order("/pagerduty/incidents", {"title": "Umbrella"})["incident"]

    assert ("Umbrella", "incident.triggered") == (made["title"], rig.events()[0])


# ---------------------------------------------------------------- limits


def test_without_a_limit_the_headers_claim_the_documented_one(rig: Rig) -> None:
    headers = rig.rest("GET", "/users/me").headers

    assert ("960", "959") == (headers["ratelimit-limit"], headers["ratelimit-remaining"])


def test_a_limit_counts_down_refuses_and_comes_back(rig: Rig) -> None:
    rig.order("/settings", {"limits": {"pagerduty_rest": {"calls": 2, "seconds": 10}}})
    assert ["1", "0"] == [rig.rest("GET", "/users/me").headers["ratelimit-remaining"] for _ in range(2)]

    refused = rig.rest("GET", "/users/me")
    assert (429, 2020) == code_of(refused)
    assert 10 <= int(refused.headers["ratelimit-reset"]) <= 11
    rig.clock.now += 10
    assert 200 == rig.rest("GET", "/users/me").status_code


def test_the_other_two_apis_have_limits_of_their_own(rig: Rig) -> None:
    limits = {"pagerduty_events": {"calls": 1, "seconds": 5}, "truthvouch": {"calls": 1, "seconds": 5}}
    rig.order("/settings", {"limits": limits})
    rig.tv("GET", "/alerts")
    rig.enqueue("trigger", "d")

    events, alerts = rig.enqueue("trigger", "d"), rig.tv("GET", "/alerts")
    assert (429, 429) == (events.status_code, alerts.status_code)
    assert ("ratelimit-reset" in events.headers, "Retry-After" in alerts.headers) == (False, True)
