"""Alerts and their incidents: the search, and one alert's whole story with its buttons."""

from datetime import datetime, timedelta
from http import HTTPStatus

from flask import Blueprint, Response, abort, redirect, request

from app.domain.model.events import CommandType, Way
from app.domain.model.text import one_line, shortened
from app.domain.model.types import FALSE_ALERT
from app.ports.console import LinkFilter
from app.services.operator.console import MAX_LINES, AlertPage, ConsoleParts
from app.services.operator.operator import Operate
from app.ui import standing, story
from app.web.access import Access, actor, needs
from app.web.console.frame import PREFIX, ROUTE, Frame, address, did, number_of, text_of, zone
from app.web.console.overview import shown

PAGE = 50
SPANS = {"1h": "the last hour", "24h": "the last 24 hours", "7d": "the last 7 days", "30d": "the last 30 days"}
LENGTHS = {"1h": timedelta(hours=1), "24h": timedelta(days=1), "7d": timedelta(days=7), "30d": timedelta(days=30)}
SEVERITIES = tuple((name, name) for name in ("critical", "high", "medium", "low"))
MAX_TITLE_CHARS = 300
NEWEST_LINES = 120
"""Of a long story, as many as are shown at once."""
ACTIONS = {
    "acknowledge": CommandType.ACKNOWLEDGE,
    "resolve": CommandType.RESOLVE,
    "false_alert": CommandType.FALSE_ALERT,
    "thaw": CommandType.THAW,
}
"""What a button of an alert's page asks for."""
REVOKE = "revoke_evidence"


def yes_or_no(name: str, yes: str = "yes", no: str = "no") -> bool | None:
    """A choice of three: yes, no, either."""
    return {yes: True, no: False}.get(text_of(name))


def filter_of_request(now: datetime) -> LinkFilter:
    """What is looked for."""
    since = LENGTHS.get(text_of("since"))
    return LinkFilter(
        text=text_of("q"),
        is_open=yes_or_no("state", "open", "closed"),
        paged=yes_or_no("paged"),
        frozen=yes_or_no("frozen"),
        severity=text_of("severity"),
        since=now - since if since else None,
        before=number_of("before"),
        limit=PAGE,
    )


def install(blueprint: Blueprint, frame: Frame, parts: ConsoleParts, operate: Operate) -> None:
    """The routes of these pages."""

    @blueprint.get(f"{PREFIX}/links", **ROUTE)
    @needs(Access.READ)
    def links() -> Response:
        """The search."""
        wanted = filter_of_request(frame.clock())
        found = parts.reads.find(wanted)
        chosen = {name: text_of(name) for name in ("q", "state", "paged", "frozen", "severity", "since")}
        older = address("links", **chosen, before=found[-1].number) if len(found) == PAGE else ""
        return frame.page(
            "links.html", "links", "Alerts and incidents", links=shown(found), chosen=chosen, older=older,
            newest=address("links", **chosen) if wanted.before else "", spans=SPANS, severities=SEVERITIES,
            filtered=any(chosen.values()),
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
        note = request.form.get("note", "").strip() if action is CommandType.RESOLVE else ""
        done = did(operate, action, alert_id, note)
        if action is CommandType.FALSE_ALERT and request.form.get("resolve") == "yes":
            done = did(operate, CommandType.RESOLVE, alert_id, "#false-alert")
        response = redirect(address("alert", alert=alert_id, done=done), HTTPStatus.SEE_OTHER)
        assert isinstance(response, Response)
        return response


def _revoke(parts: ConsoleParts, alert_id: str) -> Response:
    """At once: no worker has to do it."""
    if parts.revoke_evidence is None or not parts.revoke_evidence(alert_id, actor().name, Way.CONSOLE):
        abort(HTTPStatus.NOT_FOUND)
    response = redirect(address("alert", alert=alert_id, done="revoked"), HTTPStatus.SEE_OTHER)
    assert isinstance(response, Response)
    return response


def _known(parts: ConsoleParts, alert_id: str) -> AlertPage:
    found = parts.reads.alert(alert_id) if alert_id else None
    if found is None:
        abort(HTTPStatus.NOT_FOUND)
    return found


def _alert_page(frame: Frame, parts: ConsoleParts, found: AlertPage) -> Response:
    link, now, here = found.link, frame.clock(), zone()
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
        },
    )  # fmt: skip


def title_of(found: AlertPage) -> str:
    """What the alert is called: its kind and severity, and its id. Its words are shown on the page alone."""
    alert = found.link.alert
    named = " ".join(filter(None, (alert.severity, alert.kind))) or "alert"
    return f"{named[:1].upper()}{named[1:]} · {alert.alert_id}"
