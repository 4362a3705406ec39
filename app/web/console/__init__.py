"""``/console``: what operators see of the bridge, and the buttons that mend it. docs/console.md.

LAW: a page reads the store; a button is a command in the inbox, which the worker does, and then leads back to the page
it is on. Nothing here calls a partner. Every page works without its script. No page holds a script or a style of its
own: both are files under ``/console/static``, and the Content-Security-Policy allows no other.
"""

from http import HTTPStatus

from flask import Blueprint, Response, abort, current_app, g, request
from werkzeug.exceptions import HTTPException

from app.ports import StoreUnavailable
from app.services.operator.console import ConsoleParts
from app.services.operator.operator import Operate
from app.services.operator.overview import Overview
from app.ui import pages
from app.web.access import Access, Actor, Role, needs
from app.web.bridge import HealthReport, later
from app.web.console import (
    audit,
    dead_letters,
    drafts,
    erase,
    jobs,
    links,
    overview,
    reports,
    rules,
    silence,
    silences,
)  # fmt: skip
from app.web.console.frame import PREFIX, ROUTE, Frame, see_other

KEPT_FOR_EVER = "public, max-age=31536000, immutable"


def blueprint(parts: ConsoleParts, operate: Operate, look: Overview, report: HealthReport) -> Blueprint:
    """All pages, the files that they load, and ``/``, which leads there. Asks none of ``parts`` before a page does."""
    blueprint = Blueprint("console", __name__)
    frame, work = Frame(report, lambda: parts.reads.clock()), later(lambda: parts.work)
    blueprint.before_request(_only_who_is_let_in)
    blueprint.register_error_handler(StoreUnavailable, frame.store_unavailable)
    blueprint.register_error_handler(HTTPException, frame.refused)
    overview.install(blueprint, frame, parts, operate)
    links.install(blueprint, frame, parts, operate)
    dead_letters.install(blueprint, frame, operate, look)
    rules.install(blueprint, frame, parts, look)
    reports.install(blueprint, frame, parts)
    erase.install(blueprint, frame, parts, operate, look)
    silence.install(blueprint, frame, parts, operate)
    drafts.install(blueprint, frame, work, operate)
    silences.install(blueprint, frame, work, operate)
    jobs.install(blueprint, frame, work, operate)
    audit.install(blueprint, frame, work)

    @blueprint.get("/", **ROUTE)
    @needs(Access.OPEN)
    def root() -> Response:
        """A browser that is sent to the bridge finds the console."""
        return see_other(f"{PREFIX}/")

    @blueprint.get(PREFIX, **ROUTE)
    @needs(Access.OPEN)
    def without_slash() -> Response:
        """The same without the slash."""
        return see_other(f"{PREFIX}/")

    @blueprint.get(f"{PREFIX}/static/<name>", **ROUTE)
    @needs(Access.OPEN)
    def static(name: str) -> Response:
        """Style, script and icon, under names that change with their content."""
        found = pages.assets().get(name)
        if found is None:
            abort(HTTPStatus.NOT_FOUND)
        response = Response(found.content, content_type=found.content_type)
        response.headers["Cache-Control"] = KEPT_FOR_EVER
        return response

    @blueprint.get(f"{PREFIX}/<path:_rest>", **ROUTE)
    @needs(Access.READ)
    def elsewhere(_rest: str) -> Response:
        """An address that is no page."""
        abort(HTTPStatus.NOT_FOUND)

    return blueprint


def _only_who_is_let_in() -> None:
    """Nobody sees a page, or presses a button, whom no login let in for it: whatever stands before this blueprint."""
    view = current_app.view_functions.get(request.endpoint or "")
    asked, caller = getattr(view, "__access__", Access.ADMIN), g.get("actor")
    if asked is Access.OPEN:
        return
    if not isinstance(caller, Actor):
        abort(HTTPStatus.UNAUTHORIZED)
    if asked is Access.ADMIN and caller.role is not Role.ADMIN:
        abort(HTTPStatus.FORBIDDEN)


_only_who_is_let_in.__authenticates__ = True  # type: ignore[attr-defined]
