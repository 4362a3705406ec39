"""Who may come to the console: the session behind a signed cookie, and forms that only our own pages send.

The cookie holds a random id and the form token. Everything about the login is a row in the store, which each request
looks up: what ends the row ends the login.
"""

from functools import cache
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from flask import Flask, Response, g, make_response, redirect, request, session, url_for
from flask.sessions import NullSession
from flask_wtf.csrf import CSRFError, CSRFProtect, generate_csrf
from jinja2 import Environment

from app.ports import StoreUnavailable
from app.ports.access import Identity, Role
from app.services.access.sessions import LONGEST, WAY_IN, Sessions
from app.ui import pages
from app.web import auth, bearer
from app.web.access import Access

SESSION_ID = "id"
PLAIN_HTTP = (
    "This page was asked for over plain HTTP, where everybody on the way can read the login. Use https://, or "
    "http://127.0.0.1 on the bridge's own machine. If a proxy in front of the bridge ends TLS, name it in "
    "BRIDGE_TRUSTED_PROXIES and let it send X-Forwarded-Proto."
)
NO_STORE = "The store cannot be read or written at the moment, so nobody can be let in. Try again later."
MAY_LOOK = "Your login may look and not act: its role is read-only."
FOREIGN_FORM = (
    "This form did not come from a page of this login, or is older than it. Nothing was done: go back, load the page "
    "again and repeat it."
)


def install(app: Flask, sessions: Sessions) -> auth.Guard:
    """Set up the form tokens; the answer looks at each request of the console, for ``auth``."""
    app.config.update(
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_PATH="/",
        PERMANENT_SESSION_LIFETIME=LONGEST,
        WTF_CSRF_CHECK_DEFAULT=False,  # we ask for the check, after we know who calls
        WTF_CSRF_TIME_LIMIT=None,  # as long as the session
    )
    csrf = CSRFProtect(app)

    def guard(access: Access) -> Response | None:
        if not auth.is_private(request):
            return refuse(PLAIN_HTTP, "plain_http", HTTPStatus.FORBIDDEN)
        if has_no_keys():
            return unavailable()
        try:
            refused = None if access is Access.OPEN else _identify(sessions, access)
        except StoreUnavailable:
            return unavailable()
        return refused or _check_form(csrf)

    return guard


def _identify(sessions: Sessions, access: Access) -> Response | None:
    identity = logged_in(sessions)
    if identity is None:
        return _to_login()
    if access is Access.ADMIN and identity.role is not Role.ADMIN:
        return refuse(MAY_LOOK, "read_only", HTTPStatus.FORBIDDEN)
    g.actor = identity.actor(WAY_IN)
    return None


def logged_in(sessions: Sessions) -> Identity | None:
    """Whose session the cookie of this request names; None without one that lasts. Raises ``StoreUnavailable``."""
    session_id = session.get(SESSION_ID)
    return sessions.find(session_id) if isinstance(session_id, str) else None


def _to_login() -> Response:
    session.pop(SESSION_ID, None)
    back: dict[str, Any] = {}
    if request.method in ("GET", "HEAD"):
        query = request.query_string.decode("latin-1")
        back["next"] = quote(request.path, safe="/:@!$&'()*+,;=") + (f"?{query}" if query else "")
    return make_response(redirect(url_for("login.show", **back), HTTPStatus.SEE_OTHER))


def _check_form(csrf: CSRFProtect) -> Response | None:
    try:
        csrf.protect()
    except CSRFError:
        return refuse(FOREIGN_FORM, "foreign_form", HTTPStatus.BAD_REQUEST)
    return None


def has_no_keys() -> bool:
    """Whether the store would have to say how cookies are signed, and is gone."""
    return isinstance(session._get_current_object(), NullSession)  # type: ignore[attr-defined]


def unavailable() -> Response:
    """A page that says that the store is gone."""
    return page("Not available", NO_STORE, HTTPStatus.SERVICE_UNAVAILABLE)


def refuse(text: str, reason: str, status: HTTPStatus) -> Response:
    """A page that says why somebody is not let in; counted and logged."""
    bearer.note_refused(reason)
    return page("Not allowed", text, status)


def page(title: str, text: str, status: HTTPStatus = HTTPStatus.OK) -> Response:
    """A page that says one thing."""
    return render("refused.html", status, title=title, text=text)


def render(template: str, status: HTTPStatus = HTTPStatus.OK, **values: Any) -> Response:
    """A page that nobody has to be logged in for."""
    html = _templates().get_template(f"console/{template}").render(csrf_token=generate_csrf, **values)
    return make_response(html, status)


@cache
def _templates() -> Environment:
    return pages.environment()
