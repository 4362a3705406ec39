"""What the pages say, and what their buttons do."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.domain.model.events import AlertEventType
from app.domain.model.types import Alert, AlertId, Status
from app.domain.rules.rulebook import ConsoleRules
from app.ports import StoreUnavailable
from app.services.operator.operator import MESSAGES
from app.web.access import Role
from app.web.console.links import PAGE
from tests.services.sync.test_commands import frozen, healed, refusing, with_a_dead_acknowledge
from tests.web.console.pages import ConsoleRig
from tests.web.console.story import created, filled

HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}\u202e\x00"


@pytest.fixture
def full(console: ConsoleRig) -> ConsoleRig:
    filled(console)
    return console


# ------------------------------------------------------------------------------------------------------- overview


def test_a_healthy_bridge_says_so_first(console: ConsoleRig) -> None:
    console.rig.alert(AlertEventType.CREATED)
    console.rig.run()
    console.rig.incident(AlertEventType.ACKNOWLEDGED)  # type: ignore[arg-type]
    page = console.get()
    assert "The bridge is healthy: alerts are accepted and delivered." in page.text
    assert "Last word from PagerDuty" in page.text


def test_a_bridge_that_does_not_work_says_what_is_missing(console: ConsoleRig) -> None:
    console.missing = ("TRUTHVOUCH_API_KEY: alerts cannot be updated",)
    assert "The bridge does not do its work." in console.get().text
    assert "TRUTHVOUCH_API_KEY: alerts cannot be updated" in console.get("/setup").text


def test_the_overview_says_why_each_open_alert_was_paged_or_not(full: ConsoleRig) -> None:
    page = full.get()
    assert "Paged with high urgency, by “Critical hallucinations”." in page.text
    assert "Not paged, by “Known noise”." in page.text
    assert "Not paged, by the severity map." in page.text
    assert "6 alerts, 4 of them paged" in page.text


def test_what_nobody_has_in_hand_comes_first(full: ConsoleRig) -> None:
    page = full.get()
    assert page.text.index("alert-1041") < page.text.index("alert-1045")
    assert page.text.index("alert-1041") < page.text.index("alert-1042"), "somebody has that one in hand"


def test_a_store_that_is_gone_is_said_and_not_broken(console: ConsoleRig, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone() -> None:
        raise StoreUnavailable("the disk is on fire")

    monkeypatch.setattr(console.rig.database, "read", gone)
    page = console.get("/links")
    assert 503 == page.status
    assert "The store does not answer" in page.text


def test_both_sides_are_read_when_somebody_asks(console: ConsoleRig) -> None:
    page = console.post("/reconcile")
    assert MESSAGES["asked"] in page.text
    assert 1 == console.rig.reconciliations


# ----------------------------------------------------------------------------------------------------- set-up


def test_the_set_up_shows_both_addresses_and_what_came_last(full: ConsoleRig) -> None:
    page = full.get("/setup")
    values = [given.get("value") for given in page.all("input")]
    assert "https://bridge.example.com/truthvouch/alerts" in values
    assert "https://bridge.example.com/pagerduty/webhook" in values
    assert "signature mismatch, 0 s ago" in page.text
    assert "secret 1 of 2" in page.text
    assert "None of the secrets in TRUTHVOUCH_WEBHOOK_SECRETS" in page.text
    assert "Every delivery proved to be PagerDuty's." in page.text


def test_without_a_public_address_the_set_up_says_so(tmp_path: Path) -> None:
    console = ConsoleRig(tmp_path, public_url=None)
    assert "BRIDGE_PUBLIC_URL is not set" in console.get("/setup").text
    console.operator.inbox.close()


# ------------------------------------------------------------------------------------------------------ search


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("q=ruling", {"alert-1043"}),
        ("q=alert-1042", {"alert-1042"}),
        ("q=%232", {"alert-1042"}),
        ("state=closed", {"alert-1043"}),
        ("paged=no", {"alert-1044", "alert-1045"}),
        ("severity=high", {"alert-1043"}),
        ("frozen=yes", set()),
        ("q=%00%f0&severity=%27--", set()),
        ("before=abc&since=forever&state=maybe", {f"alert-{number}" for number in range(1041, 1047)}),
    ],
)
def test_alerts_are_found(full: ConsoleRig, query: str, found: set[str]) -> None:
    page = full.get(f"/links?{query}")
    linked = {one["href"].partition("alert=")[2] for one in page.all("a") if "/alert?" in one.get("href", "")}
    assert found == linked


def test_a_long_list_goes_on(console: ConsoleRig) -> None:
    for number in range(PAGE + 3):
        console.rig.alert(AlertEventType.CREATED, alert_id=f"a{number:03}", severity="low")
    page = console.get("/links?severity=low")
    (older,) = [one["href"] for one in page.all("a") if one.get("rel") == "next"]
    rest = console.get(older.removeprefix("/console"))
    assert ["a002", "a001", "a000"] == [word for word in rest.text.split() if word[0] == "a" and word[1:].isdecimal()]
    assert not [one for one in rest.all("a") if one.get("rel") == "next"]


# ------------------------------------------------------------------------------------------------- one alert


def test_an_alert_says_why_it_was_paged_and_what_comes_next(full: ConsoleRig) -> None:
    page = full.get("/alert?alert=alert-1041")
    assert "An incident of high urgency on service PMAIN, policy PPOLICY" in page.text
    assert "Rules version 3f2a91c07d1e." in page.text
    assert "level 1 of 2 has been due since" in page.text
    assert "The bridge opened the incident at PagerDuty." in page.text


def test_a_story_names_who_did_what(full: ConsoleRig) -> None:
    page = full.get("/alert?alert=alert-1042")
    assert "PagerDuty: incident acknowledged by Grace Hopper." in page.text
    assert "The bridge acknowledged the alert at TruthVouch." in page.text


def test_somebody_acknowledges_and_both_sides_are(full: ConsoleRig) -> None:
    page = full.post("/alert", alert="alert-1041", action="acknowledge")
    assert MESSAGES["carried"] in page.text
    assert Status.ACKNOWLEDGED is full.rig.link("alert-1041").agreed
    assert "Acknowledged at the bridge: both sides are to be acknowledged. (Ada)" in page.text


def test_somebody_resolves_with_a_note(full: ConsoleRig) -> None:
    full.post("/alert", alert="alert-1041", action="resolve", note="The dose was corrected.")
    assert Status.RESOLVED is full.rig.link("alert-1041").agreed
    assert "The dose was corrected." in str(full.rig.truthvouch.calls[-1])


@pytest.mark.parametrize(("ticked", "status"), [("", Status.OPEN), ("yes", Status.RESOLVED)])
def test_a_false_alert_is_recorded_and_resolved_only_if_ticked(full: ConsoleRig, ticked: str, status: Status) -> None:
    full.post("/alert", alert="alert-1041", action="false_alert", resolve=ticked)
    link = full.rig.link("alert-1041")
    assert ("false_alert", status) == (link.verdict, link.status)
    assert "false alert" in full.get("/alert?alert=alert-1041").text


def test_the_evidence_links_of_an_alert_are_ended_by_a_button(full: ConsoleRig) -> None:
    assert "revoke_evidence" not in full.get("/alert?alert=alert-1041").html
    full.rules.rulebook = replace(full.rules.rulebook, console=ConsoleRules(evidence_links=True))
    assert "End it now" in full.get("/alert?alert=alert-1041").text
    page = full.post("/alert", alert="alert-1041", action="revoke_evidence")
    assert "Its evidence links work no more." in page.text
    assert ["alert-1041"] == full.revoked
    assert 404 == full.post("/alert", alert="nobody", action="revoke_evidence").status


def test_a_frozen_alert_can_be_thawed(console: ConsoleRig) -> None:
    frozen(console.rig)
    console.operator.beat()
    assert "Frozen since" in console.get("/alert?alert=a1").text
    assert MESSAGES["thawed"] in console.post("/alert", alert="a1", action="thaw").text
    assert console.rig.link().frozen_at is None


@pytest.mark.parametrize("form", [{}, {"alert": "a1"}, {"alert": "a1", "action": "explode"}, {"action": "resolve"}])
def test_a_form_that_is_none_of_ours_is_refused(full: ConsoleRig, form: dict[str, str]) -> None:
    assert 400 == full.post("/alert", **form).status
    assert 400 == full.post("/dead-letters", **form).status


def test_without_a_worker_a_button_says_that_nobody_does_it_yet(full: ConsoleRig) -> None:
    full.operator.beat(ago=3600)
    assert "no worker is running" in full.post("/alert", alert="alert-1041", action="acknowledge").text


def test_only_words_of_ours_are_said_about_a_button(full: ConsoleRig) -> None:
    page = full.get("/?done=Your+account+is+locked,+call+555-0100")
    assert "locked" not in page.text


# ---------------------------------------------------------------------------------------------- dead letters


def test_a_dead_letter_shows_the_partners_words_and_is_replayed(console: ConsoleRig) -> None:
    number = with_a_dead_acknowledge(console.rig)
    console.operator.beat()
    page = console.get("/dead-letters")
    assert "SetIncident acknowledged" in page.text
    assert "Invalid Input Provided" in page.text
    assert MESSAGES["replayed"] in console.post("/dead-letters", only=f"{number}:replay").text
    assert Status.ACKNOWLEDGED is console.rig.link().agreed
    assert "No dead letters" in console.get("/dead-letters").text
    closed = console.get("/dead-letters?closed=yes").text
    assert "replayed" in closed
    assert "by Ada" in closed


def test_many_are_discarded_at_once(console: ConsoleRig) -> None:
    numbers = [with_a_dead_acknowledge(console.rig, alert_id) for alert_id in ("a1", "a2", "a3")]
    console.operator.beat()
    page = console.post("/dead-letters", action="discard", id=numbers[:2])
    assert MESSAGES["discarded"] in page.text
    assert 1 == page.text.count("Invalid Input Provided")


def test_an_alert_shows_its_dead_letters_with_their_buttons(console: ConsoleRig) -> None:
    number = with_a_dead_acknowledge(console.rig)
    with_a_dead_acknowledge(console.rig, "a2")
    console.operator.beat()
    page = console.get("/alert?alert=a1")
    assert 1 == page.html.count('value="replay"')
    assert "PagerDuty: stopped at a dead letter (bad_request)." in page.text
    back = console.post("/dead-letters", action="replay", id=number, alert="a1")
    assert "What happened" in back.text
    assert "PagerDuty: stopped at a dead letter" not in back.text


# ----------------------------------------------------------------------------------- rules, silences, reports


def test_a_pasted_alert_is_explained_and_nothing_is_stored(full: ConsoleRig) -> None:
    before = full.operator.stored()
    page = full.post("/rules", alert='{"id": "x", "severity": "critical", "confidence": 0.1}')
    assert "An incident of high urgency on service PMAIN" in page.text
    assert "That is no JSON." in full.post("/rules", alert="{").text
    assert before == full.operator.stored()


def test_a_broken_file_of_rules_is_said(console: ConsoleRig) -> None:
    console.rules.fault = "bridge.yaml: rules[0].trigger: unknown field"
    for path in ("/rules", "/configuration"):
        assert "rules[0].trigger: unknown field" in console.get(path).text


def test_silences_say_how_they_stand(full: ConsoleRig) -> None:
    page = full.get("/silences").text
    assert "Load test" in page
    assert "in force" in page


def test_escalations_say_what_comes_next(full: ConsoleRig) -> None:
    page = full.get("/escalations").text
    assert "Q1" in page
    assert "level 1 of 2" in page


def test_a_report_is_compared_with_the_period_before_and_comes_as_a_file(full: ConsoleRig) -> None:
    page = full.get("/reports?period=monthly")
    assert "False alerts" in page.text
    for form, kind in (("csv", "text/csv"), ("html", "text/html")):
        answer = full.client.get(f"/console/reports/file?period=monthly&format={form}")
        assert (200, True) == (answer.status_code, answer.content_type.startswith(kind))
        assert 'attachment; filename="truthvouch-report-2' in answer.headers["Content-Disposition"]
        assert "ruling that does not exist" in answer.data.decode("utf-8-sig")
    assert 400 == full.get("/reports/file?period=monthly&format=exe").status
    assert 400 == full.get("/reports/file?period=nonsense&format=csv").status


# --------------------------------------------------------------------------------------------------- hostile


def test_hostile_text_is_text_on_every_page(console: ConsoleRig) -> None:
    rig = console.rig
    console.name = HOSTILE
    hostile = Alert(AlertId(HOSTILE.replace("\x00", "")), "critical", HOSTILE, HOSTILE, HOSTILE, model=HOSTILE)
    created(console, hostile)
    refusing(rig, "set_status")
    event = rig.alert(AlertEventType.ACKNOWLEDGED, alert_id=hostile.alert_id, author=HOSTILE)
    rig.run()
    healed(rig, "set_status")
    console.operator.beat()
    assert event.author == HOSTILE
    quoted = "/alert?alert=" + "".join(f"%{byte:02x}" for byte in hostile.alert_id.encode())
    for path in (
        "/",
        "/links",
        quoted,
        "/dead-letters",
        "/escalations?every=yes",
        "/reports",
        f"/links?q={quoted[13:]}",
    ):
        page = console.get(path)
        assert 200 == page.status, path
        assert [] == page.unbalanced + page.open, path
        assert not [given for given in page.all("script") if "src" not in given]
        assert [] == page.all("img")
        assert "49" not in page.text.replace("2049", "") or "{{7*7}}" in page.text
        assert "\x00" not in page.html


def test_a_link_to_pagerduty_that_is_no_web_address_is_no_link(full: ConsoleRig) -> None:
    with full.rig.database.begin() as tx:
        link = full.rig.links.by_alert(tx, AlertId("alert-1041"))
        assert link is not None
        full.rig.links.save(tx, replace(link, incident_url="javascript:alert(1)"))
    assert "javascript:" not in full.get("/alert?alert=alert-1041").html


def test_an_alert_that_nobody_knows_is_not_found(console: ConsoleRig) -> None:
    for path in ("/alert", "/alert?alert=", "/alert?alert=%00", "/alert?alert=../../etc/passwd", "/nowhere"):
        assert 404 == console.get(path).status


def test_whoever_may_only_read_still_reads(full: ConsoleRig) -> None:
    full.role = Role.READ_ONLY
    assert 200 == full.get("/alert?alert=alert-1041").status


def test_the_newest_day_leaves_older_alerts_out(console: ConsoleRig) -> None:
    console.rig.alert(AlertEventType.CREATED, alert_id="old")
    console.rig.clock.move(timedelta(hours=25).total_seconds())
    console.rig.alert(AlertEventType.CREATED, alert_id="new")
    assert "1 alert, 1 of them paged" in console.get().text
