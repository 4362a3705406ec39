"""Alerts and their incidents: the search, and one alert's whole story with its buttons."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from http import HTTPStatus

from flask import Blueprint, Response, abort, request

from app.domain.model.events import CommandOutcome, CommandType, Way
from app.domain.model.text import one_line, shortened
from app.domain.model.types import FALSE_ALERT, Status, Urgency
from app.domain.sync.asked import has_own_incident
from app.ports.console import LinkFilter
from app.services.escalation.target import hurrying
from app.services.operator.console import MAX_LINES, AlertPage, ConsoleParts
from app.services.operator.operator import Operate, already_asked
from app.ui import standing, story
from app.web.access import Access, actor, needs
from app.web.console.frame import (
    PREFIX,
    ROUTE,
    Frame,
    Said,
    address,
    did,
    key_of_form,
    number_in,
    number_of,
    said,
    see_other,
    text_of,
    zone,
)
from app.web.console.overview import shown

PAGE = 50
SPANS = {"1h": "the last hour", "24h": "the last 24 hours", "7d": "the last 7 days", "30d": "the last 30 days"}
LENGTHS = {"1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
FILTERS = ("q", "state", "paged", "frozen", "severity", "since")
SEVERITIES = tuple((name, name) for name in ("critical", "high", "medium", "low"))
MAX_TITLE_CHARS = 300
NEWEST_LINES = 120
"""Of a long story, as many as are shown at once."""
ACTIONS = {
    "acknowledge": CommandType.ACKNOWLEDGE,
    "resolve": CommandType.RESOLVE,
    "false_alert": CommandType.FALSE_ALERT,
    "thaw": CommandType.THAW,
    "note": CommandType.NOTE,
    "escalate": CommandType.ESCALATE,
}
"""What a button of an alert's page asks for."""
REVOKE = "revoke_evidence"
WITH_A_NOTE = (CommandType.RESOLVE, CommandType.NOTE)


def filter_of(chosen: Mapping[str, str], now: datetime) -> LinkFilter:
    """What is looked for, by the ``FILTERS`` of a page."""
    since, either = LENGTHS.get(chosen["since"]), {"yes": True, "no": False}
    return LinkFilter(
        text=chosen["q"],
        is_open={"open": True, "closed": False}.get(chosen["state"]),
        paged=either.get(chosen["paged"]),
        frozen=either.get(chosen["frozen"]),
        severity=chosen["severity"],
        since=now - since if since else None,
        limit=PAGE,
    )


def install(blueprint: Blueprint, frame: Frame, parts: ConsoleParts, operate: Operate) -> None:
    """The routes of these pages."""

    @blueprint.get(f"{PREFIX}/links", **ROUTE)
    @needs(Access.READ)
    def links() -> Response:
        """The search."""
        chosen = {name: text_of(name) for name in FILTERS}
        wanted = replace(filter_of(chosen, frame.clock()), before=number_of("before"))
        found = parts.reads.find(wanted)
        older = address("links", **chosen, before=found[-1].number) if len(found) == PAGE else ""
        return frame.page(
            "links.html", "links", "Alerts and incidents", links=shown(found), chosen=chosen, older=older,
            newest=address("links", **chosen) if wanted.before else "", spans=SPANS, severities=SEVERITIES,
            filtered=any(chosen.values()), erase=address("erase", **chosen),
        )  # fmt: skip

    @blueprint.get(f"{PREFIX}/alert", **ROUTE)
    @needs(Access.READ)
    def link() -> Response:
        """One alert."""
        return _alert_page(frame, parts, _known(parts, request.args.get("alert", "")))

    @blueprint.post(f"{PREFIX}/alert", **ROUTE)
    @needs(Access.ADMIN)
    def act() -> Response:
        """A button of an alert's page."""
        if request.form.get("action") == REVOKE:
            return _revoke(parts, request.form.get("alert", ""))
        alert_id, action = request.form.get("alert", ""), ACTIONS.get(request.form.get("action", ""))
        if action is None or not alert_id:
            abort(HTTPStatus.BAD_REQUEST)
        if action is CommandType.ESCALATE:
            done = _escalate(operate, _known(parts, alert_id))
        else:
            note = request.form.get("note", "").strip() if action in WITH_A_NOTE else ""
            done = did(operate, action, alert_id, note)
        if action is CommandType.FALSE_ALERT and request.form.get("resolve") == "yes":
            done = did(operate, CommandType.RESOLVE, alert_id, "#false-alert")
        return see_other(address("alert", alert=alert_id, done=done))


def _escalate(operate: Operate, found: AlertPage) -> str:
    """The next level now, once however often the button is pressed."""
    if found.link.incident_id is None:
        return CommandOutcome.NO_INCIDENT
    key, saw = key_of_form(), number_in(request.form.get("moves", ""))
    detail = hurrying(request.form.get("raise") == "yes", saw, key)
    return did(operate, CommandType.ESCALATE, found.link.incident_id, detail, key)


def _revoke(parts: ConsoleParts, alert_id: str) -> Response:
    """At once: no worker has to do it."""
    if parts.revoke_evidence is None or not parts.revoke_evidence(alert_id, actor().name, Way.CONSOLE):
        abort(HTTPStatus.NOT_FOUND)
    return see_other(address("alert", alert=alert_id, done="revoked"))


def _known(parts: ConsoleParts, alert_id: str) -> AlertPage:
    found = parts.reads.alert(alert_id) if alert_id else None
    if found is None:
        abort(HTTPStatus.NOT_FOUND)
    return found


def _alert_page(frame: Frame, parts: ConsoleParts, found: AlertPage) -> Response:
    link, now, here, has_api_key = found.link, frame.clock(), zone(), parts.reads.has_api_key()
    called = shortened(one_line(link.alert.message or ""), MAX_TITLE_CHARS)
    shows_all = text_of("all") == "yes"
    moments = story.moments(found.lines, here)
    left_out = 0 if shows_all else max(0, len(moments) - NEWEST_LINES)
    return frame.page(
        "alert.html", "links", title_of(found), found=found, about=standing.given_up, link=link, alert=link.alert,
        called=called,
        paged_because=found.decided, is_false=link.verdict == FALSE_ALERT,
        upcoming=standing.upcoming(link, found.next, found.waits, found.escalation, now, here),
        moments=moments[left_out:], left_out=left_out, is_cut=len(found.lines) >= MAX_LINES, most=MAX_LINES,
        all_address=address("alert", alert=link.alert.alert_id, all="yes"),
        can={
            "acknowledge": link.status.rank == 0,
            "resolve": link.status.rank < 2,
            "false_alert": link.verdict != FALSE_ALERT,
            "thaw": link.frozen_at is not None,
            "revoke": parts.rules.current().console.evidence_links and link.wants_incident,
            "note": has_own_incident(link) and has_api_key,
            "escalate": link.incident_id is not None and link.status is Status.OPEN and has_api_key,
        },
        is_low=link.decision is not None and link.decision.urgency is Urgency.LOW,
        next_level=standing.next_level(found.escalation, now, here),
        moves=found.escalation.moves if found.escalation else 0, said=_said(found),
    )  # fmt: skip


def _said(found: AlertPage) -> Said | None:
    """What became of a button; of a level that was asked for before, also by whom."""
    became = said()
    if became is not None and found.escalation and request.args.get("done") == CommandOutcome.ALREADY_ASKED:
        return replace(became, text=already_asked(found.escalation))
    return became


def title_of(found: AlertPage) -> str:
    """What the alert is called: its kind and severity, and its id. Its words are shown on the page alone."""
    alert = found.link.alert
    named = " ".join(filter(None, (alert.severity, alert.kind))) or "alert"
    return f"{named[:1].upper()}{named[1:]} · {alert.alert_id}"
