"""What keeps PagerDuty's words from arriving: each case has its code, and nothing else does."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.model.subscription import (
    DESCRIPTION,
    Fault,
    Mend,
    Scope,
    Subscription,
    Verdict,
    Wanted,
    from_text,
    is_ours,
    judge,
    scope_for,
    shown,
)

EVENTS = ("incident.triggered", "incident.resolved")
WANTED = Wanted("https://bridge.example.com", EVENTS, ("P1",))
GOOD = Subscription("S1", "https://bridge.example.com/pagerduty/webhook", EVENTS)


def codes(*subscriptions: Subscription, wanted: Wanted = WANTED) -> list[str]:
    return [fault.code for fault in judge(subscriptions, wanted)]


@pytest.mark.parametrize(
    "url",
    [
        "https://bridge.example.com/pagerduty/webhook",
        "HTTPS://Bridge.Example.com:443/pagerduty/webhook/",
        "https://name:password@bridge.example.com/pagerduty/webhook",
    ],
)
def test_a_subscription_that_sends_everything_here_is_fine(url: str) -> None:
    assert [] == codes(replace(GOOD, url=url))


@pytest.mark.parametrize("path", ["", "/", "/pagerduty/webhook", "/pagerduty/webhook/", "/behind/a/proxy"])
def test_the_webhooks_path_is_appended_once(path: str) -> None:
    prefix = path if path.startswith("/behind") else ""
    expected = f"https://bridge.example.com{prefix}/pagerduty/webhook"
    assert expected == replace(WANTED, public_url=f"https://bridge.example.com{path}").url


@pytest.mark.parametrize(
    ("subscriptions", "expected"),
    [
        ([], ["subscription_missing"]),
        ([Subscription("S2", "https://chat.example.com/hook", EVENTS)], ["subscription_missing"]),
        ([replace(GOOD, url="https://old.example.com/pagerduty/webhook")], ["subscription_wrong_url"]),
        ([replace(GOOD, url="https://x.example.com/y", description=DESCRIPTION)], ["subscription_wrong_url"]),
        ([replace(GOOD, url="http://bridge.example.com/pagerduty/webhook")], ["subscription_wrong_url"]),
        ([replace(GOOD, events=EVENTS[:1])], ["subscription_events_missing"]),
        ([replace(GOOD, temporarily_disabled=True)], ["subscription_temporarily_disabled"]),
        ([replace(GOOD, active=False)], ["subscription_inactive"]),
        ([replace(GOOD, scope=Scope("service", "P2"))], ["subscription_wrong_filter"]),
        ([replace(GOOD, scope=Scope("service", "P1"))], []),
        ([replace(GOOD, scope=Scope("team", "T1"))], []),
        ([GOOD, replace(GOOD, subscription_id="S2")], ["subscription_duplicate"]),
        ([GOOD, replace(GOOD, subscription_id="S2", active=False)], []),
        ([GOOD, replace(GOOD, subscription_id="S2", temporarily_disabled=True)], ["subscription_temporarily_disabled"]),
        ([GOOD, replace(GOOD, subscription_id="S2", url="https://staging.example.com/pagerduty/webhook")], []),
    ],
)
def test_each_fault_has_its_code(subscriptions: list[Subscription], expected: list[str]) -> None:
    assert expected == codes(*subscriptions)


def test_subscriptions_of_two_services_are_no_duplicates() -> None:
    two = replace(WANTED, service_ids=("P1", "P2"))
    first = replace(GOOD, scope=Scope("service", "P1"))
    assert ["subscription_wrong_filter"] == codes(first, wanted=two)
    assert [] == codes(first, replace(first, subscription_id="S2", scope=Scope("service", "P2")), wanted=two)


def test_two_may_share_the_work() -> None:
    assert [] == [
        code
        for code in codes(replace(GOOD, events=EVENTS[:1]), replace(GOOD, subscription_id="S2", events=EVENTS[1:]))
        if code == "subscription_events_missing"
    ]


def test_only_what_pagerduty_did_itself_is_mended_without_a_person() -> None:
    (disabled,) = judge([replace(GOOD, temporarily_disabled=True)], WANTED)
    (inactive,) = judge([replace(GOOD, active=False)], WANTED)
    assert (Mend.ENABLE, Mend.UPDATE) == (disabled.mend, inactive.mend)
    assert not disabled.warning


def test_without_a_public_address_the_path_tells_and_nothing_is_called_missing() -> None:
    nowhere = replace(WANTED, public_url=None)
    assert ["public_url_not_set"] == codes(wanted=nowhere)
    found = judge([replace(GOOD, url="https://any.example.com/pagerduty/webhook", temporarily_disabled=True)], nowhere)
    assert ["subscription_temporarily_disabled", "public_url_not_set"] == [fault.code for fault in found]
    assert Mend.ENABLE is found[0].mend


def test_without_a_public_address_nobody_elses_subscription_is_touched() -> None:
    elsewhere = replace(GOOD, subscription_id="S2", url="https://b.example.com/pagerduty/webhook")
    found = judge([GOOD, replace(elsewhere, temporarily_disabled=True)], replace(WANTED, public_url=None))
    assert {None} == {fault.mend for fault in found}


def test_the_narrowest_scope_is_asked_for() -> None:
    assert Scope("service", "P1") == scope_for(WANTED)
    assert Scope() == scope_for(replace(WANTED, service_ids=("P1", "P2"))) == scope_for(replace(WANTED, service_ids=()))


def test_an_address_is_shown_without_its_password() -> None:
    assert "https://bridge.example.com:8443/x" == shown("https://name:secret@bridge.example.com:8443/x/")
    (fault,) = judge([replace(GOOD, url="https://name:secret@old.example.com/pagerduty/webhook")], WANTED)
    assert "secret" not in fault.message + fault.remedy


def test_what_two_of_one_reach_both_lack_is_missed() -> None:
    """Each stands in for the other, and neither sends it."""
    both = [replace(GOOD, subscription_id=f"S{n}", events=EVENTS[:1]) for n in range(2)]
    faults = judge(both, WANTED)
    assert {"S0", "S1"} == {one.subscription_id for one in faults if one.code == "subscription_events_missing"}


@pytest.mark.parametrize("off", [replace(GOOD, active=False), replace(GOOD, temporarily_disabled=True)])
def test_what_only_one_that_is_switched_off_would_send_is_missed(off: Subscription) -> None:
    """The one that is on stands in for the other, and does not send it."""
    on = replace(GOOD, subscription_id="S0", events=())
    faults = judge([on, replace(off, subscription_id="S1")], WANTED)
    assert ["S0"] == [one.subscription_id for one in faults if one.code == "subscription_events_missing"]


def test_a_verdict_survives_the_store() -> None:
    faults = (*judge([replace(GOOD, active=False)], WANTED), Fault("x", "words", "todo"))
    verdict = Verdict(datetime(2026, 5, 4, tzinfo=UTC), faults, ("y",))
    assert verdict == from_text(verdict.as_text())
    assert [None] * 4 == [from_text(text) for text in (None, "", "[]", '{"at": 1, "faults": [{}]}')]


def test_a_verdict_is_stored_under_the_names_it_had_at_first() -> None:
    fault = '{"code": "x", "words": "It is off.", "todo": "Switch it on.", "subscription_id": "P1", "mend": "enable", '
    text = '{"at": "2026-05-04T00:00:00+00:00", "faults": [' + fault + '"warning": false}], "mended": ["y"]}'
    known = Fault("x", "It is off.", "Switch it on.", "P1", Mend.ENABLE)
    verdict = Verdict(datetime(2026, 5, 4, tzinfo=UTC), (known,), ("y",))
    assert (verdict, text) == (from_text(text), verdict.as_text())


_scopes = st.builds(Scope, st.sampled_from(["account", "service", "team"]), st.sampled_from([None, "P1", "P2"]))
_urls = st.one_of(st.text(max_size=30), st.sampled_from([GOOD.url, "https://b.example.com/pagerduty/webhook", "://"]))
_subscriptions = st.lists(
    st.builds(
        Subscription,
        st.sampled_from(["S1", "S2", "S3"]),
        _urls,
        st.lists(st.sampled_from(EVENTS), unique=True).map(tuple),
        _scopes,
        st.booleans(),
        st.booleans(),
    ),
    max_size=4,
)


@given(_subscriptions, st.sampled_from([None, "https://bridge.example.com"]))
def test_every_list_has_a_verdict_and_every_fault_says_what_to_do(found: list[Subscription], url: str | None) -> None:
    wanted = replace(WANTED, public_url=url)
    faults = judge(found, wanted)
    assert all(fault.message and fault.remedy for fault in faults)
    serious = [fault for fault in faults if not fault.warning]
    received = {event for one in found if is_ours(one, wanted) and one.active for event in one.events}
    switched_off = all(one.temporarily_disabled for one in found if is_ours(one, wanted))
    if url and (switched_off or not received >= set(EVENTS)):
        assert serious
