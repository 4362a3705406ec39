"""Jobs, drafts and their backtests, silences, and the log of what people did, as pages."""

import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from app.domain.model.events import CommandType
from app.ports import SHADOW_DIFFERS, Page, TimelineEntry
from app.ports.console import AuditFilter, Setting, WorkerConfiguration
from app.ports.jobs import JobState
from app.services.operator.operator import MESSAGES, NOBODY
from app.store.database import connection
from app.store.schema import jobs
from app.store.worker_configurations import StoredConfigurations
from app.web.access import Role
from app.web.console import audit as audit_page
from app.web.console.drafts import PASTED
from tests.web.console.pages import ConsoleRig, PageRead
from tests.web.console.story import filled
from tests.web.console.work import CALMER, at_work, run_job

KEY = "a" * 32


@pytest.fixture
def full(console: ConsoleRig) -> ConsoleRig:
    filled(console)
    at_work(console)
    return console


def audited(console: ConsoleRig) -> list[tuple[str, str, str]]:
    """Action, subject and outcome of what was done by a button, the oldest first."""
    found = console.work.audit.find(AuditFilter(actor="Ada"))
    return [(one.action, one.subject, one.outcome) for one in reversed(found)]


# ------------------------------------------------------------------------------------------------ drafts, backtests


def test_a_backtest_of_a_draft_shows_pages_gained_lost_and_moved(full: ConsoleRig) -> None:
    page = full.get("/job?job=1")
    said = page.text.replace("▲ ", "").replace("● ", "").replace("○ ", "")
    assert "4 pages with the rules in force, 3 with the draft (-1)." in said
    for group in ("gained 1 page", "lost 2 pages", "moved 1 page", "1 by policy", "Known noise → the severity map 1"):
        assert group in said
    assert "Cost 2 lost pages that somebody needed (acknowledged 2)" in said
    assert "/console/links?q=alert-1044" in [given["href"] for given in page.all("a")]


def test_a_backtest_is_started_once_however_often_the_button_is_pressed(full: ConsoleRig) -> None:
    form = {"draft": "calmer", "since": "7d", "key": KEY}
    first, second = full.post("/backtest", **form), full.post("/backtest", **form)
    assert "Backtest · job 3" in first.text
    assert "Backtest · job 3" in second.text
    assert [("start_job", "queued")] == [(action, outcome) for action, _, outcome in audited(full)]


def test_two_forms_of_one_page_are_two_commands(full: ConsoleRig) -> None:
    assert "Report · job 3" in full.post("/jobs", kind="report", format="csv", key=KEY).text
    assert "Replay of dead letters · job 4" in full.post("/jobs", kind="replay", key=KEY).text
    assert "Backtest · job 5" in full.post("/backtest", draft="calmer", since="7d", key=KEY).text
    assert "Backtest · job 6" in full.post("/backtest", draft="", since="7d", key=KEY).text
    for text in (CALMER, CALMER.replace("sure", "certain")):
        assert MESSAGES["saved"] in full.post("/drafts", draft="night", text=text, action="save", key=KEY).text
        stored = full.work.stored.draft("night")
        assert stored is not None
        assert text == stored.text


def test_a_backtest_that_is_asked_for_again_a_moment_later_is_the_same_job(full: ConsoleRig) -> None:
    for _ in range(2):
        assert "Backtest · job 3" in full.post("/backtest", draft="calmer", since="7d", key=KEY).text
        full.rig.clock.move(2)


def test_a_pasted_draft_is_tried_and_never_shown_again(full: ConsoleRig) -> None:
    with full.rig.database.begin() as tx:
        full.work.jobs.jobs.ask_to_cancel(tx, 2, full.now())  # the report that waits
    page = full.post("/backtest", draft=PASTED, text=CALMER, since="30d")
    assert "a pasted draft" in page.text
    assert "Only what is sure" not in page.html
    run_job(full)
    assert "with the draft (-1)" in full.get("/job?job=3").text


def test_a_job_of_a_newer_version_is_shown_as_what_it_is(full: ConsoleRig) -> None:
    with full.rig.database.begin() as tx:
        connection(tx).execute(sa.update(jobs).where(jobs.c.id == 2).values(kind="audit_export"))
    assert "Audit export" in full.get("/jobs").text
    assert "Audit export · job 2" in full.get("/job?job=2").text


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"draft": PASTED, "text": "rules: 7"}, "rules"),
        ({"draft": PASTED, "text": "  "}, "Nothing is pasted."),
        ({"draft": "gone"}, "The store has no draft 'gone'."),
    ],
)
def test_what_cannot_be_tried_is_said_before_any_job(full: ConsoleRig, form: dict[str, str], sentence: str) -> None:
    page = full.post("/backtest", since="7d", **form)
    assert "The draft is refused" in page.text
    assert sentence in page.text
    assert 2 == len(full.work.jobs.listed(Page(50)))


def test_alerts_whose_texts_are_erased_are_not_decidable_and_counted(full: ConsoleRig) -> None:
    full.rig.command(CommandType.ERASE, "alert-1043")
    reads_text = "rules: [{name: words, trigger: '\"ruling\" in message', action: {type: suppress}}]"
    with full.rig.database.begin() as tx:
        full.work.jobs.jobs.ask_to_cancel(tx, 2, full.now())
    full.post("/backtest", draft=PASTED, text=reads_text, since="7d")
    run_job(full)
    assert "not decidable 1 alert left out" in full.get("/job?job=3").text.replace("▲ ", "")


def test_a_draft_is_kept_changed_asked_beside_the_rules_and_removed(console: ConsoleRig) -> None:
    assert MESSAGES["saved"] in console.post("/drafts", draft="night", text=CALMER, action="save").text
    assert "Only what is sure" in console.get("/drafts?draft=night").html
    assert MESSAGES["shadowed"] in console.post("/drafts", draft="night", action="shadow").text
    assert "asked" in console.get("/drafts").text
    assert MESSAGES["ended"] in console.post("/drafts", draft="", action="shadow").text
    assert MESSAGES["deleted"] in console.post("/drafts", draft="night", action="delete").text
    assert "No drafts." in console.get("/drafts").text
    done = [("save_draft", "night", "saved"), ("shadow_draft", "night", "shadowed"), ("shadow_draft", "", "ended")]
    assert [*done, ("delete_draft", "night", "deleted")] == audited(console)


def test_a_broken_draft_is_refused_with_its_lines_and_stays_in_the_form(console: ConsoleRig) -> None:
    page = console.post("/drafts", draft="night", text="rules:\n  - name: x\n", action="save")
    assert "rules[0].trigger, line 2" in page.text
    assert "- name: x" in page.html
    assert "No drafts." in page.text


def test_whoever_may_only_read_sees_no_text_of_a_draft(full: ConsoleRig) -> None:
    full.role = Role.READ_ONLY
    page = full.get("/drafts?draft=calmer")
    assert "calmer" in page.text
    assert "Only what is sure" not in page.html


def test_what_a_draft_beside_the_rules_said_is_shown(full: ConsoleRig) -> None:
    assert "No alert was decided otherwise since" in full.get("/shadow").text
    live, draft = {"rule": "Known noise", "urgency": "none"}, {"rule": "severity_map", "urgency": "low"}
    facts = {"change": "gained", "moved": [], "live": live, "draft": draft | {"rulebook": "d1"}}
    entry = TimelineEntry(full.now(), SHADOW_DIFFERS, None, "alert-1044", facts=facts)
    with full.rig.database.begin() as tx:
        full.rig.links.write_timeline(tx, [entry])
    full.rig.clock.move(1)
    page = full.get("/shadow?since=24h")
    assert "1 alert decided otherwise since" in page.text
    assert "gained 1 page" in page.text.replace("▲ ", "")
    assert "Known noise → the severity map" in page.text
    assert "/console/links?q=alert-1044" in [given["href"] for given in page.all("a")]


# ------------------------------------------------------------------------------------------------ jobs


def test_a_job_shows_how_far_it_is_and_is_ended_by_its_button(full: ConsoleRig) -> None:
    with full.rig.database.begin() as tx:
        full.work.jobs.jobs.claim(tx, "a-run", full.now())
        full.work.jobs.jobs.beat(tx, 2, "a-run", 30, 120, full.now())
    page = full.get("/job?job=2")
    assert [{"max": "120", "value": "30", "aria-label": "Progress of job 2"}] == page.all("progress")
    assert "30 of 120" in page.text
    assert "1" == next(given["data-refresh"] for _, given in page.elements if "data-refresh" in given)
    assert MESSAGES["cancel_asked"] in full.post("/job", job="2").text
    assert "is being ended" in full.get("/job?job=2").text
    job = full.work.jobs.job(2)
    assert job is not None
    assert job.state is JobState.RUNNING


def test_a_job_that_is_over_is_fetched_no_more(full: ConsoleRig) -> None:
    assert not [given for _, given in full.get("/job?job=1").elements if "data-refresh" in given]


def test_the_result_of_a_job_is_a_file(full: ConsoleRig) -> None:
    page = full.get("/job/result?job=1")
    assert 'attachment; filename="truthvouch-backtest-1.json"' == page.headers["Content-Disposition"]
    assert '"pages"' in page.html


def test_why_a_job_failed_is_said(full: ConsoleRig) -> None:
    with full.rig.database.begin() as tx:
        full.work.jobs.jobs.claim(tx, "a-run", full.now())
        full.work.jobs.jobs.finish(tx, 2, "a-run", JobState.FAILED, full.now(), "There is no such period.")
    for path in ("/jobs", "/job?job=2"):
        assert "There is no such period." in full.get(path).text


def test_a_job_without_a_worker_waits_under_its_key(console: ConsoleRig) -> None:
    console.operator.works = False
    console.operator.beat(ago=60)
    page = console.post("/jobs", kind="replay", key=KEY)
    assert NOBODY in page.text
    assert "The job is stored and waits for the worker" in page.text
    console.operator.works = True
    console.rig.intake.take()
    assert "Replay of dead letters · job 1" in console.post("/jobs", kind="replay", key=KEY).text


@pytest.mark.parametrize("form", [{}, {"kind": "erase"}, {"kind": "report", "format": "exe"}])
def test_a_job_that_there_is_not_is_refused(console: ConsoleRig, form: dict[str, str]) -> None:
    assert 400 == console.post("/jobs", **form).status


# ------------------------------------------------------------------------------------------------ silences

MATCH = {"match": 'category == "Paraphrase"', "for": "2h", "owner": "Ada", "reason": "known noise", "name": "noise"}


def names(page: PageRead) -> list[str]:
    return re.findall(r'<tr><th scope="row">(.*?)</th>', page.html)


def test_a_silence_is_made_after_a_look_at_what_it_would_have_silenced_and_ended(full: ConsoleRig) -> None:
    page = full.post("/silences", action="preview", **MATCH)
    assert "1 of the 6 alerts of the last 7 days." in page.text
    assert ["Deploy", "Load test"] == names(page), "looking makes none"
    assert MESSAGES["silenced"] in full.post("/silences", action="add", **MATCH).text
    assert ["Deploy", "noise", "Load test"] == names(full.get("/silences"))
    assert MESSAGES["ended"] in full.post("/silences", action="end", name="noise").text
    assert [("silence", "noise", "silenced"), ("end_silence", "noise", "ended")] == audited(full)


def test_a_silence_whose_button_is_pressed_twice_is_one(full: ConsoleRig) -> None:
    page = full.post("/silences", action="preview", **(MATCH | {"name": ""}))
    form = next(one for one in re.findall("<form.*?</form>", page.html, re.DOTALL) if 'value="add"' in one)
    given = {one["name"]: one["value"] for one in PageRead(200, form, {}).all("input")}
    until = full.now() + timedelta(hours=2)
    for _ in range(2):
        full.rig.clock.move(60)
        full.operator.beat()
        assert MESSAGES["silenced"] in full.post("/silences", action="add", **given).text
    (made,) = (one for one in full.work.stored.silences() if one.name != "Deploy")
    assert until == made.until


def test_those_of_the_file_have_no_button(full: ConsoleRig) -> None:
    page = full.get("/silences")
    in_file = page.html[page.html.index("From the file") :]
    assert "Load test" in in_file
    assert "<button" not in in_file.partition("<footer")[0]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"match": "severity =="}, "The trigger"),
        ({"reason": "r" * 1001}, "the reason at most 1000"),
        ({"name": "n" * 201}, "Name and owner have 1 to 200"),
    ],
)
def test_a_silence_that_cannot_be_is_said_so_and_stays_in_the_form(
    full: ConsoleRig, changed: dict[str, str], sentence: str
) -> None:
    page = full.post("/silences", action="add", **(MATCH | changed))
    assert sentence in page.text
    assert next(iter(changed.values())) in page.html
    assert ["Deploy", "Load test"] == names(page)


def test_what_silences_everything_is_asked_twice(full: ConsoleRig) -> None:
    everything = MATCH | {"match": "true"}
    page = full.post("/silences", action="add", **everything)
    assert "nobody would be paged at all" in page.text
    assert ["Deploy", "Load test"] == names(page)
    assert MESSAGES["silenced"] in full.post("/silences", action="add", all="yes", **everything).text


def test_a_misspelt_word_is_named(full: ConsoleRig) -> None:
    page = full.post("/silences", action="preview", **(MATCH | {"match": 'categroy == "Paraphrase"'}))
    assert "did you mean category" in page.text


def test_an_address_may_fill_the_form(full: ConsoleRig) -> None:
    page = full.get("/silences?match=kind+%3D%3D+%22pii%22&reason=drill&for=1d")
    assert "kind == &#34;pii&#34;</textarea>" in page.html
    assert {"name": "owner", "value": "Ada"}.items() <= next(
        given for given in page.all("input") if given.get("name") == "owner"
    ).items()


# ------------------------------------------------------------------------------------------------ audit


def test_what_people_did_is_found_by_person_and_by_what_it_was_about(full: ConsoleRig) -> None:
    full.post("/alert", alert="alert-1041", action="acknowledge")
    assert [("acknowledge", "alert-1041", "carried")] == audited(full)
    about = full.get("/audit?about=alert-1041").text
    assert "Ada by console" in about
    assert "console:Grace" not in about
    assert "Nothing like that." in full.get("/audit?by=console:Grac").text
    assert "calmer" in full.get("/audit?since=24h").text


def test_a_job_in_the_log_leads_to_its_page(full: ConsoleRig) -> None:
    for action in ("repair", "test"):
        full.post("/setup", action=action, key=KEY)
    full.post("/job", job="2")
    listed = [given["href"] for given in full.get("/audit").all("a") if "/job?" in given.get("href", "")]
    assert 5 == len(listed)
    for address in listed:
        assert 200 == full.get(address.removeprefix("/console")).status, address


@pytest.mark.postgres
def test_a_nul_breaks_no_page_on_postgresql(tmp_path: Path, migrated_postgres_url: str) -> None:
    """PostgreSQL takes it in no text: what is asked of the store is without it."""
    console = ConsoleRig(tmp_path, url=migrated_postgres_url)
    asked = ("audit?by=%00", "audit?about=a%00b", "job?key=%00", "drafts?draft=a%00b", "links?q=a%00b&severity=%00")
    for path in (*asked, "reports?service=P%00", "rules?alert=%00", "silence?alert=%00", "erase?alert=%00"):
        assert console.get(f"/{path}").status in (200, 404), path
    for action in ("save", "shadow", "delete"):
        assert 200 == console.post("/drafts", draft="a\0b", text="rules: []", action=action).status, action
    assert "The store has no draft" in console.post("/backtest", draft="a\0b", since="7d").text
    assert 200 == console.post("/erase", severity="\0high", upto="9", confirmed="yes").status
    console.operator.inbox.close()
    console.rig.database.engine.dispose()
    console.rig._inbox.dispose()


def test_the_log_is_read_page_by_page(full: ConsoleRig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_page, "PAGE", 2)
    seen, path = [], "/audit"
    while path:
        page = full.get(path)
        seen += re.findall(r'data-name="What"><span>(.*?)<', page.html)
        older = [given["href"] for given in page.all("a") if given.get("rel") == "next"]
        path = older[0].removeprefix("/console") if older else ""
    assert ["start job", "start job", "silence", "shadow draft", "save draft"] == seen[:5]
    assert len(seen) == len(set(enumerate(seen)))


# ------------------------------------------------------------------------------------------------ configuration


def test_what_each_worker_runs_with_stands_side_by_side(console: ConsoleRig) -> None:
    assert "No worker has said what it runs with" in console.get("/configuration").text
    console.rig.clock.move(2)
    same = console.runs_with()
    other = replace(same, rules="another", settings=(Setting("TRUTHVOUCH_API_KEY", ""),), faults=("A key is missing.",))
    since = console.now() - timedelta(minutes=2)
    with console.rig.database.begin() as tx:
        for name, runs_with in (("worker-1", same), ("worker-2", other)):
            one = WorkerConfiguration(name, "a-host", since, console.now(), runs_with)
            StoredConfigurations().publish(tx, one, since)
    page = console.get("/configuration")
    assert "Workers decide by different rules" in page.text
    assert "another ▲ not as here" in page.text
    assert "A key is missing." in page.text
    assert "TRUTHVOUCH_API_KEY ▲ differs" in page.text
    assert "Workers' rules" in console.get("/").text.replace("’", "'")
