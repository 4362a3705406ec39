"""How operators log in to the console and out: with a token, or with a link of ``truthvouch console-link``."""

import re
from http import HTTPStatus
from urllib.parse import unquote

from flask import Blueprint, Response, make_response, redirect, request, session
from flask_wtf.csrf import generate_csrf

from app.domain.model.events import Way
from app.ports import StoreUnavailable
from app.services.access.sessions import Sessions
from app.services.access.tokens import TokenOutcome, TokenResult, Tokens
from app.web import auth, bearer
from app.web.access import Access, needs
from app.web.console import guard

HOME = f"{auth.CONSOLE}/"
MAX_NEXT_CHARS = 2000
_OURS = re.compile(r"/console(?:[/?][!-\[\]-~]*)?", re.ASCII)
"""Visible ASCII without the backslash, which browsers read as a slash."""
_NOT_BACK_TO = re.compile(r"/console/(?:login|logout|link)(?:[/?].*)?", re.ASCII)

WRONG = "This is neither the admin token nor a named token in use."
TOO_MANY = (
    "Wrong tokens came from your address. Wait {seconds} s; or log in at once by a link of `truthvouch console-link`, "
    "which always works."
)
LINK_GONE = "This link was used already, or is too old. Print a new one with `truthvouch console-link`."


def next_page(given: str) -> str:
    """Where to go after the login: a page of the console, whatever the query says."""
    if len(given) > MAX_NEXT_CHARS or not _OURS.fullmatch(given) or _NOT_BACK_TO.fullmatch(given):
        return HOME
    steps = unquote(given.partition("?")[0]).replace("\\", "/").split("/")
    return HOME if {".", ".."} & set(steps) else given


def blueprint(tokens: Tokens, sessions: Sessions) -> Blueprint:
    """``/console/login``, ``/console/logout`` and ``/console/link/…``."""
    blueprint = Blueprint("login", __name__)
    blueprint.register_error_handler(StoreUnavailable, _store_unavailable)

    @blueprint.get("/console/login")
    @needs(Access.OPEN)
    def show() -> Response:
        """The form, or on to the page for whoever is logged in."""
        if refused := _unfit():
            return refused
        back = next_page(request.args.get("next", ""))
        return _go_to(back) if guard.logged_in(sessions) else _form(back)

    @blueprint.post("/console/login")
    @needs(Access.OPEN)
    def log_in() -> Response:
        """By a token."""
        back = next_page(request.form.get("next", ""))
        result = tokens.check(
            request.form.get("token", "").strip(), bearer.source_of(request.remote_addr or ""), Way.CONSOLE
        )
        if result.identity is None:
            return _not_accepted(result, back)
        return _enter(sessions.start(result.identity), back)

    @blueprint.post("/console/logout")
    @needs(Access.READ)
    def log_out() -> Response:
        """End the session."""
        sessions.end(session[guard.SESSION_ID])
        session.clear()
        return _go_to("/console/login")

    @blueprint.get("/console/link/<link>")
    @needs(Access.OPEN)
    def show_link(link: str) -> Response:
        """A button. It spends nothing: mail programs and chats look at links before people do."""
        return _unfit() or guard.render("link.html")

    @blueprint.post("/console/link/<link>")
    @needs(Access.OPEN)
    def spend_link(link: str) -> Response:
        """Log in by it, once."""
        session_id = sessions.spend_link(link)
        if session_id is None:
            return guard.refuse(LINK_GONE, "link_gone", HTTPStatus.FORBIDDEN)
        return _enter(session_id, HOME)

    return blueprint


def _unfit() -> Response | None:
    """What a page without a login says where nobody could log in."""
    if not auth.is_private(request):
        return guard.refuse(guard.PLAIN_HTTP, "plain_http", HTTPStatus.FORBIDDEN)
    return guard.unavailable() if guard.has_no_keys() else None


def _form(back: str, message: str = "", status: HTTPStatus = HTTPStatus.OK) -> Response:
    return guard.render("login.html", status, back=back, message=message)


def _not_accepted(result: TokenResult, back: str) -> Response:
    bearer.note_refused(result.outcome)
    match result.outcome:
        case TokenOutcome.TOO_MANY:
            message = TOO_MANY.format(seconds=result.wait_seconds)
            response = _form(back, message, HTTPStatus.TOO_MANY_REQUESTS)
            response.headers["Retry-After"] = str(result.wait_seconds)
            return response
        case TokenOutcome.NO_TOKEN:
            return _form(back, bearer.NO_TOKEN, HTTPStatus.FORBIDDEN)
        case _:
            return _form(back, WRONG, HTTPStatus.FORBIDDEN)


def _enter(session_id: str, back: str) -> Response:
    """Nothing of what was there before the login stays: neither the id nor the form token. The next one is made here,
    not by the first page: of two pages that load at once, each would make its own, and one of them be refused."""
    session.clear()
    session[guard.SESSION_ID] = session_id
    generate_csrf()
    return _go_to(back)


def _go_to(path: str) -> Response:
    return make_response(redirect(path, HTTPStatus.SEE_OTHER))


def _store_unavailable(_fault: StoreUnavailable) -> Response:
    return guard.unavailable()
