"""``/e/<token>``: the evidence of one incident, for whoever has its link. docs/access.md.

LAW: nobody logs in here and no cookie is set. A GET changes nothing; a POST carries the signed word of its button. The
address is a secret: it leaves in no log line of ours and in no Referer. The page has no script.
"""

from http import HTTPStatus

from flask import Blueprint, Response, abort, redirect, request

from app import metrics
from app.ports import StoreUnavailable
from app.services.access.evidence import EvidenceAction
from app.services.operator.evidence import FoundEvidence, LinkState, PressOutcome
from app.ui import pages, story
from app.ui.shapes import clock
from app.web.access import Access, needs
from app.web.bridge import WebBridge
from app.web.console import guard
from app.web.console.frame import ROUTE, Said, said_of

ADDRESS = "/e/<token>"
KEPT_FOR_EVER = "public, max-age=31536000, immutable"
NEWEST_LINES = 100
REFUSED = {
    LinkState.UNKNOWN: (HTTPStatus.NOT_FOUND, "This is no evidence link",
        "The bridge made no such link, or its operator has switched evidence links off. Copy the whole address."),
    LinkState.GONE: (HTTPStatus.GONE, "This link works no more",
        "It ends a day after its incident is over and two weeks after it was made, or when an operator revokes it."),
    LinkState.TOO_OFTEN: (HTTPStatus.TOO_MANY_REQUESTS, "Too many requests",
        "This link was used too often within a minute. Wait a moment and load the page again."),
}  # fmt: skip
NO_STORE = "The store cannot be read or written at the moment. Nothing is lost: try again later."
STALE = Said("Nothing was done: the page was open for more than ten minutes. Press the button again.", "bad")


def blueprint(bridge: WebBridge) -> Blueprint:
    """The page, its buttons, and the style that it loads."""
    blueprint = Blueprint("evidence", __name__)
    blueprint.register_error_handler(StoreUnavailable, _store_unavailable)

    @blueprint.get(ADDRESS, **ROUTE)
    @needs(Access.LINK)
    def show(token: str) -> Response:
        """What the incident is about."""
        found = bridge.evidence.find(token)
        if found.link is None:
            return _refused(found)
        return _page(bridge, token, found, said_of(request.args.get("done", "")))

    @blueprint.post(ADDRESS, **ROUTE)
    @needs(Access.LINK)
    def press(token: str) -> Response:
        """One of the buttons."""
        found = bridge.evidence.find(token)
        if found.link is None:
            return _refused(found)
        given = request.form
        if given.get("action") not in list(EvidenceAction):
            abort(HTTPStatus.BAD_REQUEST)
        action, resolve = EvidenceAction(given["action"]), given.get("resolve") == "yes"
        done = bridge.evidence.press(bridge.operate, token, found.link, action, given.get("button", ""), resolve)
        if done == PressOutcome.STALE_BUTTON:
            metrics.meter().operator_refused(done)
            return _page(bridge, token, found, STALE, HTTPStatus.FORBIDDEN)
        response = redirect(f"/e/{token}?done={done}", HTTPStatus.SEE_OTHER)
        assert isinstance(response, Response)
        return response

    @blueprint.get("/e/static/<name>", **ROUTE)
    @needs(Access.OPEN)
    def static(name: str) -> Response:
        """Style and icon: a proxy may keep everything of the console for itself."""
        found = pages.assets().get(name)
        if found is None:
            abort(HTTPStatus.NOT_FOUND)
        response = Response(found.content, content_type=found.content_type)
        response.headers["Cache-Control"] = KEPT_FOR_EVER
        return response

    return blueprint


def _page(
    bridge: WebBridge, token: str, found: FoundEvidence, said: Said | None, status: int = HTTPStatus.OK
) -> Response:
    assert found.link is not None
    page = bridge.evidence.page(token, found.link, _sees_evidence(bridge))
    moments = story.moments(page.lines)
    html = pages.render(
        "evidence.html", page=page, link=page.link, alert=page.link.alert, called=page.title, said=said, at=clock,
        now=bridge.evidence.clock(), moments=moments[-NEWEST_LINES:], left_out=max(0, len(moments) - NEWEST_LINES),
        details=[(name.replace("_", " ").capitalize(), text) for name, text in page.details.items()],
    )  # fmt: skip
    return Response(html, status, content_type="text/html; charset=utf-8")


def _sees_evidence(bridge: WebBridge) -> bool:
    """Whether somebody looks who is logged in to the console and may see prompts. A form never has such rights."""
    identity = guard.logged_in(bridge.sessions)
    return identity is not None and identity.sees_evidence


def _refused(found: FoundEvidence) -> Response:
    metrics.meter().operator_refused(found.state)
    status, title, text = REFUSED[found.state]
    response = _message(title, text, status)
    if found.wait_seconds:
        response.headers["Retry-After"] = str(found.wait_seconds)
    return response


def _message(title: str, text: str, status: int) -> Response:
    html = pages.render("evidence_message.html", title=title, text=text)
    return Response(html, status, content_type="text/html; charset=utf-8")


def _store_unavailable(_fault: StoreUnavailable) -> Response:
    return _message("Not available", NO_STORE, HTTPStatus.SERVICE_UNAVAILABLE)
