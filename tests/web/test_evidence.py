"""Whoever has the link of an incident sees what it is about and presses three buttons; nobody else does, and not for
ever."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from gunicorn import glogging  # type: ignore[import-untyped]
from itsdangerous import URLSafeSerializer
from structlog.testing import capture_logs

from app.domain.model.events import AlertEventType, CommandType, IncidentEventType, Way
from app.domain.model.types import FALSE_ALERT, AlertId, LinkId, Status, Urgency
from app.domain.rules.rulebook import ConsoleRules, EvidenceShows, Redaction, Silence
from app.ports import StoreUnavailable
from app.ports.rules import MAX_SILENCES
from app.services.access.evidence import (
    BUTTON_LASTS,
    CLOCKS_APART,
    LASTS_AFTER,
    LONGEST,
    MOST_REQUESTS,
    WINDOW,
    EvidenceAction,
    EvidenceTokens,
)
from app.web.auth import EVIDENCE_HEADERS
from app.web.server_log import ServerLog
from tests.web.console_client import HTTPS, TOKEN, Browser
from tests.web.evidence_rig import ALERT, KEY, EvidenceRig

ACKNOWLEDGE = EvidenceAction.ACKNOWLEDGE
SOMEBODY = "somebody with the link of #1"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[EvidenceRig]:
    rig = EvidenceRig(tmp_path)
    yield rig
    rig.close()


# ------------------------------------------------------------------------------------------------------------- the page


def test_it_shows_what_was_sent_to_pagerduty_and_what_happened_and_no_prompt(rig: EvidenceRig):
    page = rig.get(rig.opened())
    assert 200 == page.status_code
    for text in ("Incident #1", "The dose is wrong", "Take four a day.", "Medicine", "TruthVouch: alert created."):
        assert text in page.text
    for text in ("How many may I take?", "dana@example.com", "Dana Smith", "<script", "style="):
        assert text not in page.text


def test_it_shows_prompt_and_answer_where_the_file_says_everything_and_people_as_redaction_says(tmp_path: Path):
    rig = EvidenceRig(tmp_path, EvidenceShows.EVERYTHING)
    page = rig.get(rig.opened()).text
    assert "How many may I take?" in page
    assert "[e-mail]" in page
    assert "dana@example.com" not in page
    rig.set(ConsoleRules(True, EvidenceShows.EVERYTHING), redaction=Redaction(send_people=True))
    assert "Dana Smith" in rig.get(rig.opened()).text
    rig.close()


@pytest.mark.parametrize("sees_evidence", [True, False])
def test_a_login_with_the_right_to_it_sees_prompt_and_answer(rig: EvidenceRig, sees_evidence: bool):
    token, browser = rig.opened(), Browser(rig.app)
    browser.log_in(rig.bridge.tokens.add("ci", rig.bridge.tokens.admin.role, sees_evidence) or "")
    answer = browser.get(f"/e/{token}")
    assert sees_evidence == ("How many may I take?" in answer.text)
    assert answer.headers.get("Set-Cookie") is None


def test_labels_are_shown_as_redaction_sends_them(rig: EvidenceRig):
    page = rig.get(rig.opened(replace(ALERT, model="bot-dana@example.com", category="Dana Smith"))).text
    assert "Silence for two hours" in page
    assert "bot-dana@example.com" not in page
    assert "Dana Smith" not in page


def test_the_story_holds_no_person_of_truthvouch(rig: EvidenceRig):
    token = rig.opened()
    rig.rig.alert(AlertEventType.ACKNOWLEDGED, author="Dana Smith")
    rig.rig.incident(IncidentEventType.ANNOTATED, author="Grace Hopper", note="I ask Dana Smith.")
    page = rig.get(token).text
    assert "Dana" not in page
    assert "alert acknowledged." in page
    assert "Grace Hopper" in page


def test_of_an_erased_alert_no_text_is_left(rig: EvidenceRig):
    token = rig.opened()
    rig.rig.command(CommandType.ERASE, "a1")
    page = rig.get(token).text
    assert "text erased" in page
    assert "The dose is wrong" not in page


def test_a_look_changes_nothing(rig: EvidenceRig):
    token = rig.opened()
    before, stored = rig.rig.link(), rig.operator.stored()
    for method in ("GET", "HEAD"):
        for query in ("", "?action=acknowledge&button=x", "?done=judged"):
            assert 200 == rig.get(token + query, method).status_code
    assert [] == rig.rig.run()
    assert (before, stored, []) == (rig.rig.link(), rig.operator.stored(), rig.audited())
    assert {405} == {rig.get(token, method).status_code for method in ("PUT", "PATCH", "DELETE", "OPTIONS")}


def test_it_says_how_it_may_be_kept_and_sets_no_cookie(rig: EvidenceRig):
    token = rig.opened()
    pages = (rig.get(token), rig.get("x"), rig.get(token, "DELETE"), rig.post(token, "acknowledge", "x"))
    for answer in pages:
        assert EVIDENCE_HEADERS == {name: answer.headers.get(name) for name in EVIDENCE_HEADERS}
        assert answer.headers.get("Set-Cookie") is None
    assert ("no-referrer", "no-store") == tuple(EVIDENCE_HEADERS[name] for name in ("Referrer-Policy", "Cache-Control"))
    assert "noindex" in EVIDENCE_HEADERS["X-Robots-Tag"]
    assert "script-src" not in EVIDENCE_HEADERS["Content-Security-Policy"]
    style = pages[0].text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    assert style.startswith("/e/static/")
    assert 200 == rig.client.get(style).status_code


def test_no_line_of_the_log_holds_the_address(rig: EvidenceRig):
    token = rig.opened()
    with capture_logs() as lines:
        rig.get(token)
        rig.press(token, "acknowledge")
        rig.get(token[:-1])
    assert "/e/…" in {line.get("path") for line in lines}
    assert [] == [line for line in lines if token[:-1] in str(line)]


@pytest.mark.parametrize("address", ["/e/secret?done=x", "//E//secret", "http://bridge.example.com/e/secret"])
def test_nor_does_a_line_of_gunicorn(monkeypatch: pytest.MonkeyPatch, address: str):
    written: list[str] = []
    monkeypatch.setattr(glogging.Logger, "exception", lambda _self, message, *given: written.append(message % given))
    ServerLog.__new__(ServerLog).exception("Error handling request %s %s", "GET", address)
    assert written[0].startswith("Error handling request GET ")
    assert "secret" not in written[0]


# ---------------------------------------------------------------------------------------------------------- the buttons


def test_acknowledge(rig: EvidenceRig):
    token = rig.opened()
    assert "Both sides are being brought there." in rig.press(token, "acknowledge")
    assert Status.ACKNOWLEDGED is rig.rig.pagerduty.incidents["Q1"].status
    assert [(SOMEBODY, "link", "acknowledge", "a1", "carried")] == rig.audited()
    assert "acknowledge" not in rig.buttons(token)


@pytest.mark.parametrize("resolve", ["", "yes"])
def test_false_alert_records_the_verdict_and_resolves_only_if_ticked(rig: EvidenceRig, resolve: str):
    token = rig.opened()
    rig.press(token, "false_alert", resolve=resolve)
    link = rig.rig.link()
    assert (FALSE_ALERT, Status.RESOLVED if resolve else Status.OPEN) == (link.verdict, link.status)
    assert [SOMEBODY] * (1 + bool(resolve)) == [actor for actor, *_ in rig.audited()]
    notes = [note.content for note in rig.rig.pagerduty.notes_on.get("Q1", [])]
    assert bool(resolve) == any(f"resolved by {SOMEBODY}" in note for note in notes)


def test_silence_is_of_what_looks_like_it_for_two_hours_and_a_note_says_so(rig: EvidenceRig):
    token = rig.opened()
    assert "silences what matches" in rig.press(token, "silence")
    (silence,) = stored_silences(rig)
    assert 'kind == "hallucination" and model == "assistant-2" and category == "Medicine"' == silence.match
    assert (rig.clock() + timedelta(hours=2), SOMEBODY, None) == (silence.until, silence.owner, silence.up_to)
    (note,) = rig.rig.pagerduty.notes_on["Q1"]
    assert note.content.startswith(f"[TruthVouch] silenced by {SOMEBODY}: alerts that are alike")
    assert "What looks like it is silenced until" in rig.get(token).text
    assert [(SOMEBODY, "link", "silence_alike", "a1", "silenced")] == rig.audited()


def test_no_link_makes_a_silence_longer_nor_begins_it_anew(rig: EvidenceRig):
    token, other = rig.opened(), rig.opened(replace(ALERT, alert_id=AlertId("a2")))
    rig.press(token, "silence")
    (silence,) = stored_silences(rig)
    rig.clock.move(3_600)
    assert "silences what matches" in rig.press(token, "silence")
    assert "nothing was changed" in rig.press(other, "silence")
    assert (silence,) == stored_silences(rig)
    rig.clock.move(3_601)
    assert "silenced by link before" in rig.press(token, "silence")
    assert (silence,) == stored_silences(rig)
    assert 1 == len(rig.rig.pagerduty.notes_on["Q1"])


def test_a_merge_lets_no_link_begin_its_silence_again(rig: EvidenceRig):
    token = rig.opened()
    rig.opened(replace(ALERT, alert_id=AlertId("a2"), kind="pii"))
    rig.press(token, "silence")
    rig.rig.incident(IncidentEventType.MERGED, "Q1", merged_into="Q2")
    rig.rig.run()
    assert "Q2" == rig.rig.link().incident_id
    rig.clock.move(7_201)
    assert "silenced by link before" in rig.press(token, "silence")
    assert [SOMEBODY] == [silence.owner for silence in stored_silences(rig)]


def test_a_silence_of_a_quiet_incident_leaves_loud_ones_alone(rig: EvidenceRig):
    token = rig.opened(replace(ALERT, severity="high"))
    assert "What would page with high urgency still does." in rig.get(token).text
    rig.press(token, "silence")
    (silence,) = stored_silences(rig)
    assert Urgency.LOW is silence.up_to
    rig.rig.rulebook.rulebook = replace(rig.rig.rulebook.rulebook, silences=(silence,))
    rig.opened(replace(ALERT, alert_id=AlertId("quiet"), severity="high"))
    rig.opened(replace(ALERT, alert_id=AlertId("loud"), severity="critical"))
    assert not rig.rig.link("quiet").wants_incident
    assert rig.rig.link("loud").wants_incident


def test_an_alert_without_a_kind_cannot_be_silenced_by_link(rig: EvidenceRig):
    token = rig.opened(replace(ALERT, kind=None))
    assert "silence" not in rig.buttons(token)
    button = rig.tokens.make_button(token, EvidenceAction.SILENCE)
    assert rig.post(token, "silence", button).headers["Location"].endswith("?done=invalid")
    assert () == stored_silences(rig)


def test_labels_too_long_for_a_trigger_cannot_be_silenced_by_link(rig: EvidenceRig):
    token = rig.opened(replace(ALERT, category="Ж" * 700))
    assert "silence" not in rig.buttons(token)
    button = rig.tokens.make_button(token, EvidenceAction.SILENCE)
    assert rig.post(token, "silence", button).headers["Location"].endswith("?done=invalid")


def test_a_store_full_of_silences_takes_none_by_link(rig: EvidenceRig):
    token = rig.opened()
    with rig.rig.database.begin() as tx:
        for number in range(MAX_SILENCES):
            rig.rig.stored_rules.put_silence(tx, Silence(f"s{number}", "false", "dana", "drill", rig.clock() + LONGEST))
    assert "There are too many of its kind" in rig.press(token, "silence")
    assert [] == rig.audited()


def stored_silences(rig: EvidenceRig):
    with rig.rig.database.read() as tx:
        return rig.rig.stored_rules.silences(tx)


def nothing_was_done(rig: EvidenceRig) -> bool:
    rig.rig.run()
    return ([], Status.OPEN, None) == (rig.operator.stored(), rig.rig.link().status, rig.rig.link().verdict)


def test_a_button_needs_its_own_word_of_this_very_link(rig: EvidenceRig):
    token, other = rig.opened(), rig.opened(replace(ALERT, alert_id=AlertId("a2")))
    words, foreign = rig.buttons(token), rig.buttons(other)
    rig.clock.move(1)
    second = rig.tokens.make(rig.rig.link().link_id, rig.rig.link().incident_key)
    guessed = EvidenceTokens(lambda: ("a guess",), rig.clock).make_button(token, ACKNOWLEDGE)
    for word in ("", "x", token, words["false_alert"], foreign["acknowledge"], guessed, words["acknowledge"][:-1]):
        answer = rig.post(token, "acknowledge", word)
        assert 403 == answer.status_code
        assert "Nothing was done" in answer.text
    assert 403 == rig.post(second, "acknowledge", words["acknowledge"]).status_code
    assert 400 == rig.post(token, "thaw", words["acknowledge"]).status_code
    assert nothing_was_done(rig)


def test_a_button_works_for_ten_minutes(rig: EvidenceRig):
    token = rig.opened()
    word = rig.buttons(token)["acknowledge"]
    rig.clock.move(BUTTON_LASTS.total_seconds() - 1)
    rig.operator.beat()
    assert 303 == rig.post(token, "acknowledge", word).status_code
    rig.clock.move(1)
    assert 403 == rig.post(token, "acknowledge", word).status_code


def test_a_button_that_is_sent_again_is_the_same_command(rig: EvidenceRig):
    token = rig.opened()
    word = rig.buttons(token)["acknowledge"]
    assert 303 == rig.post(token, "acknowledge", word).status_code
    rig.rig.run()
    rig.rig.incident(IncidentEventType.UNACKNOWLEDGED)
    rig.rig.run()
    rig.clock.move(60)
    assert Status.OPEN is rig.rig.link().status
    assert 303 == rig.post(token, "acknowledge", word).status_code
    rig.rig.run()
    assert Status.OPEN is rig.rig.link().status
    assert 1 == len(rig.operator.stored())


def test_the_cookie_of_a_login_presses_no_button(rig: EvidenceRig):
    token, browser = rig.opened(), Browser(rig.app)
    browser.log_in()
    answer = browser.open("POST", f"/e/{token}", {"Referer": f"{HTTPS}/e/{token}"}, data={"action": "acknowledge"})
    assert 403 == answer.status_code
    assert "How many may I take?" not in answer.text
    assert nothing_was_done(rig)


# ------------------------------------------------------------------------------------------------- no link, and no more


def test_only_a_link_of_ours_opens_anything(rig: EvidenceRig):
    token, link = rig.opened(), rig.rig.link()
    content = [link.link_id, link.incident_key[-16:], int(rig.clock().timestamp())]
    forged = [
        EvidenceTokens(lambda: ("a guess",), rig.clock).make(link.link_id, link.incident_key),
        rig.tokens.make(link.link_id, "truthvouch-of-another-store"),  # type: ignore[arg-type]
        rig.tokens.make(LinkId(77), link.incident_key),
        str(URLSafeSerializer(KEY, salt="cookie-session").dumps(content)),
        rig.tokens.make_button(token, ACKNOWLEDGE),
        token.rpartition(".")[0], token[:-1], token + "A", "x", "%00", "…", "x" * 5_000, f"{token}%2f..", TOKEN,
        str(link.link_id),
    ]  # fmt: skip
    for one in forged:
        for answer in (rig.get(one), rig.post(one, "acknowledge", rig.tokens.make_button(one, ACKNOWLEDGE))):
            assert 404 == answer.status_code, one
            assert "dose" not in answer.text
    assert nothing_was_done(rig)


def test_a_new_key_in_front_keeps_links_and_one_that_is_taken_away_ends_them(rig: EvidenceRig):
    old = rig.opened()
    keys = [("new", KEY), ("new",)]
    readers = [EvidenceTokens(partial(tuple, given), rig.clock) for given in keys]
    assert [True, False] == [reader.read(old) is not None for reader in readers]
    assert readers[1].read(readers[0].make(LinkId(1), rig.rig.link().incident_key))


def test_it_ends_a_day_after_its_incident_is_over(rig: EvidenceRig):
    token = rig.opened()
    rig.clock.move(LASTS_AFTER.total_seconds() * 2)
    rig.rig.incident(IncidentEventType.RESOLVED)
    rig.rig.run()
    rig.clock.move(LASTS_AFTER.total_seconds() - 1)
    assert 200 == rig.get(token).status_code
    rig.clock.move(1)
    assert 410 == rig.get(token).status_code


def test_it_ends_after_two_weeks_however_long_its_incident_lasts(rig: EvidenceRig):
    token = rig.opened()
    rig.clock.move(LONGEST.total_seconds() - 1)
    assert 200 == rig.get(token).status_code
    word = rig.buttons(token)["acknowledge"]
    rig.clock.move(1)
    assert {410} == {rig.get(token).status_code, rig.post(token, "acknowledge", word).status_code}
    assert nothing_was_done(rig)


@pytest.mark.parametrize("wanted", ["a1", "Q1", "#1", ""])
def test_it_is_revoked_by_alert_by_incident_or_with_all(rig: EvidenceRig, wanted: str):
    token, other = rig.opened(), rig.opened(replace(ALERT, alert_id=AlertId("a2")))
    word = rig.buttons(token)["acknowledge"]
    rig.clock.move(1)
    if wanted:
        assert ["a1"] == list(rig.revoke(wanted, "root", Way.CLI))
    else:
        rig.revoke.all("root", Way.CLI)
    assert [("root", "cli", "revoke_evidence_links", "a1" if wanted else "", "done")] == rig.audited()
    assert {410} == {rig.get(token).status_code, rig.post(token, "acknowledge", word).status_code}
    assert (200 if wanted else 410) == rig.get(other).status_code
    assert nothing_was_done(rig)
    rig.clock.move(CLOCKS_APART.total_seconds())
    assert 410 == rig.get(token_of(rig)).status_code
    rig.clock.move(1)
    assert 200 == rig.get(token_of(rig)).status_code


def token_of(rig: EvidenceRig, ahead: timedelta = timedelta(0)) -> str:
    """A link of the first alert, made now by a machine whose clock is that far ahead."""
    tokens, link = EvidenceTokens(lambda: (KEY,), lambda: rig.clock() + ahead), rig.rig.link()
    return tokens.make(link.link_id, link.incident_key)


def test_it_is_revoked_though_the_clock_of_whoever_made_it_is_ahead(rig: EvidenceRig):
    rig.opened()
    token = token_of(rig, ahead=timedelta(seconds=30))
    rig.revoke("a1", "root", Way.CLI)
    assert 410 == rig.get(token).status_code


def test_nobody_knows_what_is_to_be_revoked(rig: EvidenceRig):
    rig.opened()
    assert [] == list(rig.revoke("a9", "root", Way.CLI))
    assert [] == rig.audited()


def test_switched_off_no_link_opens_anything(rig: EvidenceRig):
    token = rig.opened()
    rig.set(ConsoleRules())
    assert 404 == rig.get(token).status_code


def test_one_link_is_asked_for_no_oftener_than_a_person_would(rig: EvidenceRig):
    token, other = rig.opened(), rig.opened(replace(ALERT, alert_id=AlertId("a2")))
    for _ in range(MOST_REQUESTS):
        assert 200 == rig.get(token, "HEAD").status_code
    answer = rig.get(token)
    assert (429, str(int(WINDOW.total_seconds()))) == (answer.status_code, answer.headers["Retry-After"])
    assert 200 == rig.get(other).status_code
    rig.clock.move(WINDOW.total_seconds())
    assert 200 == rig.get(token).status_code


def test_over_plain_http_no_login_counts(rig: EvidenceRig):
    token, browser = rig.opened(), Browser(rig.app)
    browser.log_in()
    cookie = "; ".join(f"truthvouch={value}" for value in browser.cookies.values())
    answer = rig.client.get(f"/e/{token}", base_url="http://bridge.example.com", headers={"Cookie": cookie})
    assert 200 == answer.status_code
    assert "How many may I take?" not in answer.text


def test_without_the_store_it_says_so(rig: EvidenceRig, monkeypatch: pytest.MonkeyPatch):
    token = rig.opened()

    def gone(*_: object) -> None:
        raise StoreUnavailable("the disk is on fire")

    monkeypatch.setattr(type(rig.bridge.evidence.records), "link_of", gone)
    for answer in (rig.get(token), rig.post(token, "acknowledge", "x")):
        assert 503 == answer.status_code
        assert "fire" not in answer.text
        assert EVIDENCE_HEADERS["Cache-Control"] == answer.headers["Cache-Control"]


def test_on_postgresql_too(tmp_path: Path, postgres_url: str):
    rig = EvidenceRig(tmp_path, url=postgres_url)
    token = rig.opened(replace(ALERT, severity="high"))
    rig.rig.command(CommandType.SILENCE_ALIKE, "a1")
    (silence,) = stored_silences(rig)
    assert Urgency.LOW is silence.up_to
    assert 200 == rig.get(token).status_code
    rig.revoke("a1", "root", Way.CLI)
    rig.revoke("a1", "root", Way.CLI)
    assert 410 == rig.get(token).status_code
    rig.close()
