"""A browser in small: keeps cookies, takes the form token from the page and says where it came from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Flask, session
from flask.testing import FlaskClient
from flask_wtf.csrf import generate_csrf
from werkzeug.test import TestResponse

from app.ports.access import Role
from app.web.access import Access, actor, needs
from tests.conftest import FakeClock
from tests.web_fakes import FakeBridge

HTTPS = "https://bridge.example.com"
LOOPBACK = "http://127.0.0.1:8080"
TOKEN = "a token only operators have"
_FORM_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


@dataclass
class Browser:
    """One person's browser at the console of this application."""

    app: Flask
    origin: str = HTTPS
    address: str = "203.0.113.7"
    client: FlaskClient = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.client = self.app.test_client()

    def get(self, path: str, **more: Any) -> TestResponse:
        return self.open("GET", path, **more)

    def open(self, method: str, path: str, headers: Mapping[str, str] | None = None, **more: Any) -> TestResponse:
        base = {"REMOTE_ADDR": self.address}
        return self.client.open(
            path, method=method, base_url=self.origin, headers=headers or {}, environ_base=base, **more
        )

    def form_token(self, page: str = "/console/login") -> str:
        """As it stands on that page."""
        found = _FORM_TOKEN.search(self.get(page).text)
        return found[1] if found else ""

    def post(self, path: str, page: str = "/console/login", **fields: str) -> TestResponse:
        """Send a form of ``page``."""
        given = {"csrf_token": self.form_token(page), **fields}
        return self.open("POST", path, {"Referer": f"{self.origin}{page}"}, data=given)

    def log_in(self, token: str = TOKEN, **fields: str) -> TestResponse:
        return self.post("/console/login", token=token, **fields)

    @property
    def is_in(self) -> bool:
        """Whether the console opens."""
        return 200 == self.get("/console/").status_code

    @property
    def cookies(self) -> dict[str, str]:
        """By name."""
        return {cookie.key: cookie.value for cookie in (self.client._cookies or {}).values()}


def console(clock: FakeClock, **environ: str) -> tuple[FakeBridge, Flask]:
    """A bridge whose console has one page, which needs no store, and a button that changes something."""
    bridge = FakeBridge(clock)
    app = with_a_page(bridge.app(**{"BRIDGE_ADMIN_TOKEN": TOKEN, **environ}))

    @app.post("/console/act")
    @needs(Access.ADMIN)
    def act() -> str:
        return f"done by {actor().name}"

    @app.get("/console/session")
    @needs(Access.OPEN)
    def show_session() -> dict[str, Any]:
        return dict(session)

    return bridge, app


def with_a_page(app: Flask) -> Flask:
    """In the place of the console's first page one that needs no store."""

    @needs(Access.READ)
    def home() -> str:
        token = f'<input type="hidden" name="csrf_token" value="{generate_csrf()}">'
        return f"<p>{actor().name} ({actor().role.value})</p><form>{token}</form>"

    app.view_functions["console.overview"] = home
    return app


def named(bridge: FakeBridge, name: str = "ci", role: Role = Role.READ_ONLY) -> str:
    """A named token."""
    return bridge.tokens.add(name, role, sees_evidence=False) or ""
