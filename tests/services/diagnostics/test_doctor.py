"""The doctor: no look hides another, every code has its case, and what is not fine says what to do."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.domain.model.outcome import Done, Held, Refused, Reply, Retry
from app.domain.model.pagerduty_account import ServiceFacts
from app.domain.model.subscription import Fault, Verdict
from app.domain.model.types import Via
from app.ports import DeadLetter
from app.services.diagnostics import partners
from app.services.diagnostics.doctor import (
    Finding,
    Place,
    State,
    ago,
    configuration,
    data_exposed,
    examine,
    fine,
    health_findings,
    is_well,
    place,
    secrets,
    self_page,
    self_test,
    versions,
)
from app.services.diagnostics.health import Check, Report
from app.services.diagnostics.health import State as HealthState

NOW = datetime(2026, 5, 4, 9, tzinfo=UTC)
API_KEY = Place("PAGERDUTY_API_KEY")
ADDRESS = "https://api.example.com"


def codes(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    found = list(findings)
    assert all(finding.remedy for finding in found if finding.state is not State.FINE)
    return [(finding.code, finding.state.value) for finding in found]


def test_a_look_that_breaks_hides_no_other() -> None:
    def breaks() -> Iterable[Finding]:
        yield fine("second", "half of it")
        raise OSError("the network is gone")

    found = examine({"first": lambda: [fine("first", "well")], "second": breaks, "third": lambda: [fine("third", "w")]})
    assert ["first", "second", "third"] == [finding.check for finding in found]
    assert [("ok", "fine"), ("not_checked", "unknown"), ("ok", "fine")] == codes(found)
    assert "the network is gone" in found[1].message
    assert not is_well(found)


@pytest.mark.parametrize(("state", "well"), [("fine", True), ("warning", True), ("wrong", False), ("unknown", False)])
def test_warnings_are_allowed(state: str, well: bool) -> None:
    assert well is is_well([fine("a", "b"), Finding("c", State(state), "d", "e", "f")])


def test_configuration() -> None:
    assert [("ok", "fine")] == codes(configuration((), (), ""))
    found = codes(configuration(("A: x",), ("B: y",), "bridge.yaml is broken"))
    assert [("config_broken", "wrong"), ("setting_missing", "wrong"), ("works_in_part", "warning")] == found


def test_everything_readyz_looks_at_has_its_code() -> None:
    names = (
        "store",
        "worker",
        "oldest_waiting",
        "dead_letters",
        "frozen_links",
        "worker_rules",
        "paused_targets",
        "truthvouch",
        "pagerduty",
    )
    report = Report({name: Check(HealthState.DEGRADED, "words") for name in (*names, "configuration", "something_new")})
    expected = [
        "store_not_writable",
        "worker_not_alive",
        "delivery_waits_long",
        "dead_letters",
        "links_frozen",
        "rules_differ",
    ]
    expected += ["target_paused", "truthvouch_never_seen", "pagerduty_never_seen", "something_new"]
    assert [(code, "warning") for code in expected] == codes(health_findings(report))
    assert [("worker_not_alive", "wrong")] == codes(health_findings(Report({"worker": Check(HealthState.RED, "gone")})))
    assert [("ok", "fine")] == codes(health_findings(Report({"worker": Check(HealthState.OK, "well")})))


def test_what_keeps_or_kept_a_page_from_going_out_is_wrong() -> None:
    refused = Check(HealthState.DEGRADED, "words", {}, "deliveries_refused", "Put it first.", blocks_pages=True)
    found = list(health_findings(Report({"truthvouch": refused})))
    assert [("deliveries_refused", "wrong")] == codes(found)
    assert "Put it first." == found[0].remedy
    assert not is_well(found)
    beside = Check(HealthState.OK, "words", {}, "deliveries_refused", "Nothing.")
    assert [("deliveries_refused", "warning")] == codes(health_findings(Report({"truthvouch": beside})))


def test_a_refused_page_is_wrong_and_told_in_the_partners_own_words() -> None:
    pages = Check(HealthState.DEGRADED, "1 page.", {}, "pages_refused", "Mend it.", blocks_pages=True)
    dead_letter = DeadLetter(7, "effect", "invalid_input", NOW, detail="Service not found\nsecond line")
    found = list(health_findings(Report({"dead_letters": pages}), dead_letter))
    assert [("pages_refused", "wrong")] == codes(found)
    assert (
        "1 page. The newest is number 7 of 2026-05-04 09:00:00Z (invalid_input, 'Service not found')."
        == found[0].message
    )
    others = Check(HealthState.DEGRADED, "words", {"count": 1})
    assert [("dead_letters", "warning")] == codes(health_findings(Report({"dead_letters": others}), dead_letter))


def test_what_the_doctor_looks_at_by_itself_is_not_told_twice() -> None:
    off = Check(HealthState.DEGRADED, "PagerDuty switched it off.", {"codes": ["subscription_temporarily_disabled"]})
    assert [] == codes(health_findings(Report({"webhook_subscription": off, "configuration": off})))


def test_a_store_that_others_can_read_is_reported_with_what_ends_it() -> None:
    assert [] == codes(data_exposed(()))
    found = list(data_exposed((Path("/srv/my data/bridge.db"), Path("/srv/my data/inbox.db"))))
    assert [("data_exposed", "warning")] == codes(found)
    assert "bridge.db and inbox.db in /srv/my data" in found[0].message
    assert "`chmod 700 '/srv/my data'`" in found[0].remedy


def test_a_store_of_another_version_is_wrong() -> None:
    found = codes(versions({"bridge": ("0002", "0002"), "inbox": ("0001", "0002")}))
    assert [("ok", "fine"), ("migration_missing", "wrong")] == found


@pytest.mark.parametrize(
    ("configured", "old_used", "seen", "code"),
    [
        (0, None, None, "ok"),
        (1, timedelta(minutes=3), timedelta(0), "ok"),
        (2, None, None, "ok"),
        (2, None, timedelta(0), "old_secret_unused"),
        (2, timedelta(minutes=3), timedelta(minutes=3), "old_secret_in_use"),
        (2, timedelta(minutes=3), timedelta(0), "old_secret_in_use"),
        (2, timedelta(days=3), timedelta(days=3), "old_secret_in_use"),
        (2, timedelta(days=3), timedelta(minutes=1), "old_secret_unused"),
    ],
)
def test_an_old_secret_is_removable_when_the_new_one_has_taken_over(
    configured: int, old_used: timedelta | None, seen: timedelta | None, code: str
) -> None:
    old_used_at = None if old_used is None else NOW - old_used
    seen_at = None if seen is None else NOW - seen
    (found,) = secrets("pagerduty", configured, old_used_at, seen_at, NOW)
    assert ("pagerduty_secrets", code) == (found.check, found.code)
    assert found.remedy or code == "ok"


def test_when_an_old_secret_was_used_is_described() -> None:
    (found,) = secrets("truthvouch", 2, NOW - timedelta(minutes=3), NOW, NOW)
    assert "last used 3 minutes ago" in found.message
    assert ["0 seconds", "1 second", "59 seconds", "1 minute", "2 hours", "1 day", "31 days"] == [
        ago(timedelta(seconds=seconds)) for seconds in (-5, 1, 59, 60, 7_300, 86_400, 31 * 86_400)
    ]


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Done(None), ("ok", "fine")),
        (Held("unauthorized"), ("key_refused", "wrong")),
        (Held("unsendable"), ("unsendable", "wrong")),
        (Held("redirected"), ("redirected", "wrong")),
        (Held("forbidden"), ("key_limited", "warning")),
        (Refused("not_found", 404), ("call_refused", "wrong")),
        (Retry("connect_failed"), ("not_reachable", "unknown")),
    ],
)
def test_a_partners_answer_to_our_key(reply: Reply[object], code: tuple[str, str]) -> None:
    assert [code] == codes(partners.key("PagerDuty", API_KEY, lambda: reply, ADDRESS)())


@pytest.mark.parametrize(
    "reply", [Retry("connect_failed"), Held("redirected"), Held("unsendable"), Refused("not_found", 404, detail="No")]
)
def test_where_a_partner_was_asked_is_reported_when_it_may_be_the_wrong_place(reply: Reply[object]) -> None:
    (found,) = partners.key("PagerDuty", API_KEY, lambda: reply, ADDRESS)()
    assert ADDRESS in found.message
    assert "PAGERDUTY_API_URL" in found.remedy
    assert ("'No'" in found.message) is isinstance(reply, Refused)


def test_a_key_of_the_file_is_reported_to_stand_there_and_changed_there() -> None:
    in_file = {"pagerduty.api_key", "truthvouch.api_key"}
    ours = place("pagerduty.api_key", "PAGERDUTY_API_KEY", in_file)
    (taken,) = partners.key("PagerDuty", ours, lambda: Done(None), ADDRESS)()
    (refused,) = partners.key("PagerDuty", ours, lambda: Held("unauthorized"), ADDRESS)()
    assert "PagerDuty takes the key in pagerduty.api_key of bridge.yaml." == taken.message
    assert "PAGERDUTY_API_KEY" not in refused.message + refused.remedy
    assert "`truthvouch config pagerduty --api-key -`" in refused.remedy
    theirs = place("truthvouch.api_key", "TRUTHVOUCH_API_KEY", in_file)
    (refused,) = partners.key("TruthVouch", theirs, lambda: Held("unauthorized"), ADDRESS)()
    assert "Put a valid one into truthvouch.api_key of bridge.yaml and restart." == refused.remedy
    (refused,) = partners.key(
        "PagerDuty", place("pagerduty.api_key", "PAGERDUTY_API_KEY", ()), lambda: Held("x"), ADDRESS
    )()
    assert "Put a valid one into PAGERDUTY_API_KEY and restart." == refused.remedy


def test_old_secrets_are_removed_where_they_stand() -> None:
    (found,) = secrets("pagerduty", 2, None, NOW, NOW, "pagerduty.webhook_secrets of bridge.yaml")
    assert "pagerduty.webhook_secrets of bridge.yaml" in found.remedy
    assert "PAGERDUTY_WEBHOOK_SECRETS" not in found.remedy


def test_without_a_key_nobody_is_asked() -> None:
    assert [("key_not_set", "warning")] == codes(partners.key("PagerDuty", API_KEY, None, ADDRESS)())
    assert [("key_not_set", "warning")] == codes(partners.subscription(None, lambda: None)())
    assert [("service_not_known", "warning")] == codes(partners.services(["P1"], Via.REST, None)())


@pytest.mark.parametrize(
    ("facts", "via", "expected"),
    [
        (ServiceFacts("P1", status="active"), Via.REST, [("ok", "fine")]),
        (ServiceFacts("P1", status="critical"), Via.REST, [("ok", "fine")]),
        (ServiceFacts("P1", status="disabled"), Via.REST, [("service_disabled", "wrong")]),
        (ServiceFacts("P1", status="maintenance"), Via.REST, [("service_in_maintenance", "warning")]),
        (ServiceFacts("P1", auto_resolve_timeout=14_400), Via.REST, [("service_auto_resolves", "warning")]),
        (ServiceFacts("P1", acknowledgement_timeout=1800), Via.REST, [("service_unacknowledges", "warning")]),
        (ServiceFacts("P1", urgency="low"), Via.EVENTS, [("service_urgency_low", "warning")]),
        (ServiceFacts("P1", urgency="low"), Via.REST, [("ok", "fine")]),
    ],
)
def test_what_surprises_about_a_service(facts: ServiceFacts, via: Via, expected: list[tuple[str, str]]) -> None:
    assert expected == codes(partners.services(["P1"], via, lambda _: Done(facts))())


def test_each_service_is_looked_at_by_itself() -> None:
    answers: dict[str, Reply[ServiceFacts]] = {
        "P1": Refused("not_found", 404),
        "P2": Retry("read_timeout"),
        "P3": Done(ServiceFacts("P3", status="active")),
    }
    found = codes(partners.services(list(answers), Via.REST, answers.__getitem__)())
    assert [("service_missing", "wrong"), ("service_not_read", "unknown"), ("ok", "fine")] == found


def test_an_integration_key_that_was_not_copied_whole_is_reported_before_the_first_page() -> None:
    keys = {"PAGERDUTY_INTEGRATION_KEY": 5, "PAGERDUTY_INTEGRATION_KEY_P2": 32}
    found = list(partners.integration_keys(keys, Via.EVENTS))
    assert [("integration_key_odd", "wrong")] == codes(found)
    assert [("integration_key_odd", "warning")] == codes(partners.integration_keys(keys, Via.REST))
    assert "PAGERDUTY_INTEGRATION_KEY has 5 characters" in found[0].message
    assert [("ok", "fine")] == codes(partners.integration_keys({"PAGERDUTY_INTEGRATION_KEY": 32}, Via.EVENTS))
    assert [] == codes(partners.integration_keys({}, Via.EVENTS))


def test_subscription_faults_keep_their_codes() -> None:
    faults = (
        Fault("subscription_missing", "words", "todo"),
        Fault("subscription_duplicate", "words", "todo", warning=True),
        Fault("subscriptions_not_read", "words", "todo"),
    )
    found = codes(partners.subscription(lambda: Verdict(NOW, faults), lambda: None)())
    assert ["wrong", "warning", "unknown"] == [state for _, state in found]
    assert [fault.code for fault in faults] == [code for code, _ in found]
    assert [("ok", "fine")] == codes(partners.subscription(lambda: Verdict(NOW), lambda: None)())


MENDED = "When the worker last looked, 2026-05-04 09:00:00Z, it found nothing wrong and mended m."


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (None, ""),
        (Verdict(NOW), ""),
        (Verdict(NOW, mended=("m",)), MENDED),
        (Verdict(NOW, (Fault("subscription_inactive", "w", "t"),)), "it found subscription_inactive."),
    ],
)
def test_what_the_worker_last_saw_is_reported_in_the_same_line(seen: Verdict | None, said: str) -> None:
    (found,) = partners.subscription(lambda: Verdict(NOW), lambda: seen)()
    assert found.message.startswith("PagerDuty's webhooks are sent here")
    assert said in found.message
    assert bool(said) is ("last looked" in found.message)


def test_a_bridge_that_cannot_page_about_itself_is_a_warning_and_one_that_can_is_none() -> None:
    assert [("self_page_off", "warning")] == codes(self_page(False, False))
    assert [("self_page_off", "warning"), ("ok", "fine")] == codes(self_page(False, True))
    assert [("ok", "fine"), ("ok", "fine")] == codes(self_page(True, True))


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ((Done(None), Done(None)), [("self_page_unseen", "warning")]),
        ((Refused("bad_request", 400), Done(None)), [("self_page_not_taken", "wrong")]),
        ((Held("unauthorized"), Retry("connect_failed")), [("self_page_not_taken", "wrong")] * 2),
    ],
)
def test_what_became_of_the_test_of_its_own_page_is_told(replies: tuple[Reply[None], ...], expected: object) -> None:
    assert expected == codes(self_test(replies))
