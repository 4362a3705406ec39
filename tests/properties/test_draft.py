"""Laws of what leaves for PagerDuty: it fits, it is always JSON, and it keeps people in."""

import json
from dataclasses import replace
from datetime import UTC, datetime

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.domain.model.incident import IncidentDraft
from app.domain.model.types import Alert, AlertId
from app.domain.rules.decide import decide
from app.domain.rules.rulebook import Redaction, Rulebook
from app.domain.sync.incident_draft import MAX_EVENT_BYTES, MAX_TITLE_CHARS, body_text, draft
from tests.properties.strategies import alerts, hostile, rulebooks

NOW = datetime(2026, 5, 4, 9, 0, tzinfo=UTC)
MEGABYTE = 1_000_000
ALERT_ID = AlertId("A-1")
huge = st.builds(lambda text, times: text * (times // max(len(text), 1)), hostile, st.integers(0, MEGABYTE))


def drafted(alert: Alert, rulebook: Rulebook) -> IncidentDraft:
    return draft(alert, decide(rulebook, alert, NOW), rulebook)


def events_request(incident: IncidentDraft) -> dict[str, object]:
    """The largest request the Events API could be sent for a draft."""
    return {
        "routing_key": "R" * 32,
        "event_action": "trigger",
        "dedup_key": incident.incident_key,
        "client": "TruthVouch",
        "client_url": incident.dashboard_url,
        "links": [{"href": incident.dashboard_url, "text": "TruthVouch"}],
        "payload": {
            "summary": incident.title,
            "source": incident.source,
            "severity": incident.severity,
            "class": incident.category,
            "custom_details": dict(incident.details),
        },
    }


def everything_said(incident: IncidentDraft) -> str:
    return json.dumps([events_request(incident), body_text(incident)], ensure_ascii=False)


@given(alerts(), rulebooks)
def test_every_alert_makes_a_draft_that_fits_and_is_json(alert: Alert, rulebook: Rulebook):
    incident = drafted(alert, rulebook)
    assert 1 <= len(incident.title) <= MAX_TITLE_CHARS
    assert incident.title == " ".join(incident.title.split())
    assert len(json.dumps(events_request(incident))) <= MAX_EVENT_BYTES
    assert json.loads(everything_said(incident).encode("utf-8"))


@settings(max_examples=25)  # megabytes each
@given(alerts(), huge, huge, huge)
def test_a_request_stays_below_the_limit_however_much_was_told(alert: Alert, claim: str, message: str, query: str):
    answer = replace(alert, claim=claim, message=message, query=query, category=message, model=claim)
    incident = drafted(answer, Rulebook(redaction=Redaction(send_query=True)))
    assert len(json.dumps(events_request(incident))) <= MAX_EVENT_BYTES
    assert len(json.dumps(body_text(incident))) <= MAX_EVENT_BYTES


@given(alerts(), rulebooks)
def test_what_identifies_the_alert_comes_first(alert: Alert, rulebook: Rulebook):
    names = [name for name in drafted(alert, rulebook).details if name in ("alert_id", "dashboard_link")]
    assert names == list(drafted(alert, rulebook).details)[: len(names)]


@given(alerts(), rulebooks)
def test_a_link_is_a_web_address(alert: Alert, rulebook: Rulebook):
    link = drafted(alert, rulebook).dashboard_url
    assert link is None or link.startswith(("https://", "http://"))


@given(alerts(texts=st.text("xyz ", max_size=10)), st.text("abcd", min_size=8), st.text("efgh", min_size=8))
def test_by_default_no_prompt_and_no_answer_leaves_even_where_the_message_repeats_it(
    alert: Alert, query: str, response: str
):
    answer = replace(
        alert, alert_id=ALERT_ID, query=query, response=response, message=f"Asked {query}, it said {response}."
    )
    said = everything_said(drafted(answer, Rulebook()))
    assert query not in said
    assert response not in said


user_ids = st.from_regex(r"usr_[a-z0-9]{4,12}", fullmatch=True)
addresses = st.one_of(
    st.emails(), st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str).filter(lambda address: address != "::")
)
around = st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=15)


@st.composite
def texts_naming(draw: st.DrawFn, persons: list[str]) -> str:
    """Free text with persons somewhere in it."""
    parts = [draw(around)]
    for person in draw(st.lists(st.sampled_from(persons), max_size=3)):
        opening, closing = draw(st.sampled_from([(" ", " "), ("(", ")"), ("<", ">"), ('"', '"'), (" ", ", ")]))
        parts += [opening, person, closing, draw(around)]
    return "".join(parts)


@given(st.data(), addresses, addresses, user_ids)
def test_by_default_no_e_mail_address_ip_address_or_user_id_leaves(data: st.DataObject, one: str, two: str, user: str):
    persons = [one, two, user]
    alert = replace(
        data.draw(alerts(texts=texts_naming(persons))),
        alert_id=ALERT_ID,
        confidence=None,
        detection_confidence=None,
        trust_score=None,
        people={"user_id": user, "resolved_by": one},
    )
    rulebook = Rulebook()
    assume(not any(person in everything_said(drafted(Alert(alert.alert_id), rulebook)) for person in persons))
    said = everything_said(drafted(alert, rulebook))
    assert [] == [person for person in persons if person in said]
