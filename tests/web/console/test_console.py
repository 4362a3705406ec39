"""What the pages say, and what their buttons do."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.domain.model.events import AlertEventType
from app.domain.model.types import Alert, AlertId, Status, Urgency
from app.domain.rules.rulebook import ConsoleRules
from app.ports import BudgetLeft, StoreUnavailable
from app.ports.jobs import ConnectionTestWanted, EraseWanted, Job, JobResult, JobState, JobWanted, RepairWanted
from app.services.operator.operator import MESSAGES
from app.store.jobs import StoredJobs
from app.store.stored_rules import RulesInStore
from app.web.access import Role
from app.web.console.links import PAGE
from tests.services.sync.test_commands import frozen, healed, refusing, with_a_dead_acknowledge
from tests.web.console.pages import ConsoleRig, PageRead
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


def test_a_note_reaches_the_incident_in_the_name_of_whoever_wrote_it(full: ConsoleRig) -> None:
    page = full.post("/alert", alert="alert-1041", action="note", note="The dose was corrected.")
    assert MESSAGES["noted"] in page.text
    (note,) = full.rig.pagerduty.notes_on["Q1"]
    assert note.content.startswith("[TruthVouch] note by Ada: The dose was corrected.")
    assert MESSAGES["invalid"] in full.post("/alert", alert="alert-1041", action="note", note=" ").text
    assert MESSAGES["no_incident"] in full.post("/alert", alert="alert-1044", action="note", note="x").text
    assert "Write it to the incident" not in full.get("/alert?alert=alert-1044").text


def test_an_escalation_at_once_is_asked_for_once_however_often_the_button_is_pressed(full: ConsoleRig) -> None:
    page = full.get("/alert?alert=alert-1041")
    (key, *_) = [given["value"] for given in page.all("input") if given.get("name") == "key"]
    assert "Level 1 of 2 comes now" in page.text
    full.post("/alert", alert="alert-1041", action="escalate", key=key)
    pressed = full.post("/alert", alert="alert-1041", action="escalate", key=key)
    assert MESSAGES["hurried"] in pressed.text
    assert 1 == pressed.text.count("is asked for now. (Ada)")
    assert MESSAGES["in_hand"] in full.post("/alert", alert="alert-1042", action="escalate").text
    assert "Escalate now" not in full.get("/alert?alert=alert-1042").text, "somebody has it in hand"


def test_two_who_look_at_the_same_level_ask_for_one_and_the_second_is_told_who_did(full: ConsoleRig) -> None:
    page = full.get("/alert?alert=alert-1041")
    (moves,) = [given["value"] for given in page.all("input") if given.get("name") == "moves"]
    full.post("/alert", alert="alert-1041", action="escalate", moves=moves)
    second = full.post("/alert", alert="alert-1041", action="escalate", moves=moves)
    assert "Already asked for by Ada; nothing more is asked for." in second.text
    assert 1 == second.text.count("is asked for now. (Ada)")


# ------------------------------------------------------------------------------------- silence what looks like this


def test_a_silence_shows_what_it_would_have_kept_quiet_before_anybody_makes_it(full: ConsoleRig) -> None:
    page = full.get("/silence?alert=alert-1041")
    assert 'kind == "hallucination" and model == "support-assistant-2" and category == "Medicine"' in page.text
    assert "1 of the 6 alerts of the last 7 days; 1 of them has an incident" in page.text
    wider = full.get("/silence?alert=alert-1041&for=8h&same=kind")
    assert "3 of the 6 alerts of the last 7 days; 2 of them have an incident" in wider.text
    assert "Tick at least one" in full.get("/silence?alert=alert-1041&for=8h").text


def test_a_silence_of_what_looks_like_this_is_kept_once_in_the_store(full: ConsoleRig) -> None:
    page = full.get("/silence?alert=alert-1041&for=8h&same=kind&same=model")
    form = {given["name"]: given["value"] for given in page.all("input") if given.get("type") == "hidden"}
    asked = {"alert": "alert-1041", "same": ["kind", "model"], "until": form["until"]}
    assert "Say why" in full.post("/silence", **asked, reason=" ").text
    for _ in range(2):
        assert MESSAGES["silenced"] in full.post("/silence", **asked, reason="A test of the new model").text
    rules = RulesInStore()
    with full.rig.database.read() as tx:
        (silence,) = rules.silences(tx)
    assert ("Ada", "A test of the new model") == (silence.owner, silence.reason)
    assert 'kind == "hallucination" and model == "support-assistant-2"' == silence.match
    assert timedelta(hours=8) - timedelta(seconds=1) <= silence.until - full.now() <= timedelta(hours=8)


@pytest.mark.parametrize("form", [{"until": "never", "same": "kind"}, {"until": "2027-01-01", "same": "message"}, {}])
def test_a_silence_of_everything_or_without_an_end_is_refused(full: ConsoleRig, form: dict[str, str]) -> None:
    assert 400 == full.post("/silence", alert="alert-1041", reason="x", **form).status
    assert 404 == full.get("/silence?alert=nobody").status
    late = full.post("/silence", alert="alert-1041", reason="x", same="kind", until="2020-01-01")
    assert "It would be over already." in late.text


# ------------------------------------------------------------------------------------------------------- erase


def hidden(page: PageRead, *names: str) -> dict[str, str]:
    """What the form of a page sends along."""
    given = {one["name"]: one["value"] for one in page.all("input") if one.get("type") == "hidden"}
    return {name: given[name] for name in names}


def test_one_alert_is_erased_after_it_was_asked_once_more(full: ConsoleRig) -> None:
    page = full.get("/erase?alert=alert-1041")
    assert "message (44 characters)" in page.text
    assert "the rule that decided, the verdict, and that it was erased" in page.text
    asked = full.post("/erase", alert="alert-1041")
    assert "What goes and what stays" in asked.text
    assert "daily dose" in full.get("/alert?alert=alert-1041").text, "nothing goes unconfirmed"
    form = hidden(asked, "alert", "key", "confirmed")
    assert MESSAGES["erasing"] in full.post("/erase", **form).text, "the rig erases no raw bodies"
    page = full.get("/alert?alert=alert-1041")
    assert "daily dose" not in page.text
    assert "Erase…" not in page.text
    assert "texts and people were erased (asked). (Ada)" in page.text


def job_of(full: ConsoleRig, number: int = 1) -> Job | None:
    with full.rig.database.read() as tx:
        return StoredJobs().get(tx, number)


def test_several_that_are_ticked_are_erased_by_one_job(full: ConsoleRig) -> None:
    assert 6 == len([one for one in full.get("/links").all("input") if one.get("type") == "checkbox"])
    asked = full.post("/erase", alert=["alert-1041", "alert-1042", "nobody", "alert-1041"])
    form = hidden(asked, "key", "confirmed") | {"alert": ["alert-1041", "alert-1042"]}
    full.post("/erase", **form)
    page = full.post("/erase", **form)
    assert "Erasing · job 1" in page.text
    assert "2 alerts" in page.text
    job = job_of(full)
    assert job is not None
    assert EraseWanted(("alert-1041", "alert-1042")) == job.wanted
    assert None is job_of(full, 2), "pressed twice it is one job"
    with full.rig.database.begin() as tx:
        StoredJobs().claim(tx, "r1", full.now())
        shown = {"alerts": 2, "outcomes": {"erased": 1, "stored": 1}, "not_erased": {"alert-1042": "stored"}}
        result = JobResult("x.json", "application/json", json.dumps(shown).encode())
        StoredJobs().finish(tx, 1, "r1", JobState.DONE, full.now(), result=result)
    page = full.get("/job?job=1")
    assert "erased: 1 stored: 1" in page.text
    assert "alert-1042: stored" in page.text


def test_what_a_filter_finds_is_erased_by_a_job_and_nothing_that_comes_later(full: ConsoleRig) -> None:
    asked = full.get("/erase?severity=critical")
    assert "3 alerts, by the search" in asked.text
    form = hidden(asked, "key", "confirmed", "severity", "upto")
    created(full, Alert(AlertId("alert-1047"), "critical"))
    full.operator.beat()
    assert "what a search found" in full.post("/erase", **form).text
    job = job_of(full)
    assert job is not None
    assert isinstance(job.wanted, EraseWanted)
    assert job.wanted.chosen is not None
    found = full.operator.overview.search(replace(job.wanted.chosen, limit=9))
    assert ["alert-1046", "alert-1042", "alert-1041"] == [one.alert_id for one in found]


def test_words_of_a_search_are_kept_in_no_job(full: ConsoleRig) -> None:
    form = hidden(full.get("/erase?q=ruling"), "key", "confirmed", "q", "upto")
    full.post("/erase", **form)
    job = job_of(full)
    assert job is not None
    assert EraseWanted(("alert-1043",)) == job.wanted


@pytest.mark.parametrize(
    "form", [{"confirmed": "yes"}, {"severity": "high", "upto": "9"}, {"confirmed": "yes", "upto": "9"}]
)
def test_nobody_erases_everything_by_saying_nothing(full: ConsoleRig, form: dict[str, str]) -> None:
    assert 400 == full.post("/erase", **form).status
    assert (404, 404) == (full.get("/erase").status, full.get("/erase?alert=nobody").status)
    assert None is job_of(full)


# ------------------------------------------------------------------------------------------ mend, and what is left


@pytest.mark.parametrize(("action", "wanted"), [("repair", RepairWanted()), ("test", ConnectionTestWanted())])
def test_the_worker_mends_and_tests_and_the_set_up_shows_what_it_found(
    full: ConsoleRig, action: str, wanted: JobWanted
) -> None:
    page = full.post("/setup", action=action, **hidden(full.get("/setup"), "key"))
    assert "job 1" in page.text
    job = job_of(full)
    assert job is not None
    assert wanted == job.wanted
    with full.rig.database.begin() as tx:
        StoredJobs().claim(tx, "r1", full.now())
        wrong = {"check": "subscription", "state": "wrong", "code": "x", "message": "It is off.", "remedy": "Say `on`."}
        fine = {"check": "pagerduty_key", "state": "fine", "code": "ok", "message": "It is taken.", "remedy": ""}
        shown = {"well": False, "checks": [wrong, fine], "mended": ["disabled"]}
        result = JobResult("x.json", "application/json", json.dumps(shown).encode())
        StoredJobs().finish(tx, 1, "r1", JobState.DONE, full.now(), result=result)
    page = full.get("/job?job=1")
    assert "subscription: It is off. What to do: Say on ." in page.text
    assert "pagerduty key: It is taken." in page.text
    assert "mended disabled. Both sides are read" in page.text
    assert 400 == full.post("/setup", action="explode").status


def test_the_overview_says_which_calls_are_left(full: ConsoleRig) -> None:
    full.budgets = (
        BudgetLeft("pagerduty-rest", 940), BudgetLeft("pagerduty-events:0a1b2c3d4e5f", 0),
        BudgetLeft("pagerduty-rest", None, 30.0, "creates"), BudgetLeft("truthvouch-reads", 1),
    )  # fmt: skip
    page = full.get()
    assert "PagerDuty, REST 940 calls at once" in page.text
    assert "PagerDuty, events (key 0a1b2c) ● none at the moment" in page.text.replace("▲", "●")
    assert "PagerDuty, REST · creates" in page.text
    assert "asked to rest for 30 s" in page.text
    assert "TruthVouch, reads this hour 1 call at once" in page.text


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


def test_a_silence_says_what_it_leaves_alone(full: ConsoleRig) -> None:
    book = full.rules.rulebook
    assert "would page with high urgency" not in full.get("/silences").text
    quiet = replace(book.silences[0], up_to=Urgency.LOW)
    full.rules.rulebook = replace(book, silences=(quiet,))
    assert "not what would page with high urgency" in full.get("/silences").text


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
        quoted.replace("/alert?", "/silence?"),
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
