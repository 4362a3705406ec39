"""What all pages share: the frame with its navigation, the zone of their times, what became of a button, and errors."""

import hashlib
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo, available_timezones

from flask import Response, current_app, g, redirect, request
from jinja2 import Environment
from werkzeug.exceptions import HTTPException

from app.domain.model.events import CommandOutcome, CommandType, Way
from app.ports import Clock, StoreUnavailable, utc_now
from app.services.operator.operator import MESSAGES, NOBODY, STORED, UNKNOWN, CommandResult, Operate
from app.ui import pages
from app.ui.shapes import clock
from app.web.access import Actor, Role, actor
from app.web.bridge import HealthReport

ROUTE = {"provide_automatic_options": False}
PREFIX = "/console"
ZONE_COOKIE = "zone"
YEAR_SECONDS = 31_536_000
ZONES = (
    "UTC", "America/Los_Angeles", "America/Denver", "America/Chicago", "America/New_York", "America/Sao_Paulo",
    "Europe/London", "Europe/Berlin", "Europe/Athens", "Africa/Johannesburg", "Asia/Dubai", "Asia/Kolkata",
    "Asia/Singapore", "Asia/Shanghai", "Asia/Tokyo", "Australia/Sydney", "Pacific/Auckland",
)  # fmt: skip
"""What a page offers; the script adds the browser's own."""
NAVIGATION = (
    ("overview", "Overview", ""),
    ("links", "Alerts and incidents", "links"),
    ("dead_letters", "Dead letters", "dead-letters"),
    ("escalations", "Escalations", "escalations"),
    ("rules", "Rules", "rules"),
    ("drafts", "Drafts and backtests", "drafts"),
    ("silences", "Silences", "silences"),
    ("reports", "Reports", "reports"),
    ("jobs", "Jobs", "jobs"),
    ("setup", "Setup", "setup"),
    ("configuration", "Configuration", "configuration"),
    ("audit", "Audit log", "audit"),
)
"""Key, name and path of each page."""
REASONS: Mapping[int, str] = {
    HTTPStatus.NOT_FOUND: "There is no such page, or the bridge does not know what it is about.",
    HTTPStatus.BAD_REQUEST: "The form was not understood, or the page was open for too long: go back and try again.",
    HTTPStatus.FORBIDDEN: "Your login may read, and change nothing.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address is for a button of a page.",
}
STORED_OUTCOMES: Mapping[str, str] = {"stored": STORED, "nobody": NOBODY, "revoked": "Its evidence links work no more."}
FAILED = UNKNOWN | {
    CommandOutcome.NOT_TAKEN,
    CommandOutcome.TOO_MANY,
    CommandOutcome.ALREADY_OVER,
    CommandOutcome.NO_SUCH_SILENCE,
    CommandOutcome.NO_SUCH_DRAFT,
    CommandOutcome.NOT_SHADOWED,
    CommandOutcome.NO_INCIDENT,
    CommandOutcome.IN_HAND,
    CommandOutcome.NOT_ARMED,
    "nobody",
}
"""Words that say that a button did not do what it is for."""
KEY = re.compile(r"[0-9a-f]{32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Said:
    """What became of a button."""

    text: str
    tone: str


@dataclass(frozen=True)
class Frame:
    """Makes pages. Safe for many threads."""

    report: HealthReport
    clock: Clock = utc_now

    def page(self, template: str, key: str, title: str, status: int = HTTPStatus.OK, **values: Any) -> Response:
        """A page of the console; ``key`` is its place in the navigation."""
        html = _templates().get_template(f"console/{template}").render(self._common(key, title) | values)
        response = Response(html, status, content_type="text/html; charset=utf-8")
        if request.args.get("tz") == zone_name():
            response.set_cookie(
                ZONE_COOKIE, zone_name(), YEAR_SECONDS, path=PREFIX, secure=request.is_secure, httponly=False,
                samesite="Lax",
            )  # fmt: skip
        return response

    def _common(self, key: str, title: str) -> dict[str, Any]:
        """What every page is made with."""
        chosen = zone()
        return {
            "key": key, "title": title, "prefix": PREFIX, "here": request.path, "now": self.clock(),
            "at": lambda instant: clock(instant, chosen), "zone_name": zone_name(), "zones": _zones(),
            "asked": asked_without("tz", "done"), "navigation": list(self._navigation()),
            "who": actor().name.removeprefix("console:"),
            "may_change": may_change(), "logout": _logout(), "said": said(), "form_key": uuid.uuid4().hex,
            "csrf_token": current_app.jinja_env.globals.get("csrf_token", _no_token),
        }  # fmt: skip

    def _navigation(self) -> Iterator[tuple[str, str, str, int]]:
        """Key, name, address, and how many things wait there."""
        try:
            waiting = self.report().checks["dead_letters"].facts.get("count", 0)
        except (StoreUnavailable, KeyError):
            waiting = 0
        for key, name, path in NAVIGATION:
            yield key, name, f"{PREFIX}/{path}", waiting if key == "dead_letters" else 0

    def store_unavailable(self, fault: StoreUnavailable) -> Response:
        """The store cannot be read: the page says so, and what that means."""
        text = "The store cannot be read or written at the moment. Webhooks are answered with 503 and sent again later."
        return self._message("The store does not answer", text, HTTPStatus.SERVICE_UNAVAILABLE, str(fault)[:300])

    def refused(self, fault: HTTPException) -> Response:
        """What was asked for is not there, or may not be done."""
        if fault.code is None or fault.code < HTTPStatus.BAD_REQUEST:
            response = fault.get_response()
            assert isinstance(response, Response)
            return response
        return self._message(fault.name, REASONS.get(fault.code, "That did not work."), fault.code)

    def _message(self, title: str, text: str, status: int, detail: str = "") -> Response:
        if not isinstance(g.get("actor"), Actor):  # whoever is nobody sees no frame
            return Response(f"{title}. {text}\n", status, content_type="text/plain; charset=utf-8")
        return self.page("message.html", "", title, status, text=text, detail=detail)


@cache
def _templates() -> Environment:
    return pages.environment(Path(__file__).parent)


def _no_token() -> str:
    """Where nothing guards forms, as in a test of one page."""
    return ""


def _logout() -> str:
    """Where the button *Log out* leads; empty where there is no login to end."""
    found = next((rule for rule in current_app.url_map.iter_rules() if rule.rule == f"{PREFIX}/logout"), None)
    return found.rule if found else ""


def may_change() -> bool:
    """Whether whoever looks may press buttons."""
    return actor().role is Role.ADMIN


# ---------------------------------------------------------------------------------------------------------------- zone


@cache
def _known_zones() -> frozenset[str]:
    return frozenset(available_timezones()) | {"UTC"}


def zone_name() -> str:
    """The zone chosen on the page: by its address, else by the cookie, else UTC."""
    for name in (request.args.get("tz"), request.cookies.get(ZONE_COOKIE)):
        if name in _known_zones():
            return str(name)
    return "UTC"


def zone() -> tzinfo:
    """The same as a zone."""
    name = zone_name()
    return UTC if name == "UTC" else ZoneInfo(name)


def _zones() -> Sequence[str]:
    return ZONES if zone_name() in ZONES else (*ZONES, zone_name())


# ------------------------------------------------------------------------------------------------------------ requests


def asked_without(*names: str) -> list[tuple[str, str]]:
    """The query of this request without these names: what a form that changes one of them keeps."""
    return [(name, value) for name, value in request.args.items(multi=True) if name not in names]


def address(path: str, **query: object) -> str:
    """A page of ours with this query; what is empty is left out."""
    given = urlencode({name: str(value) for name, value in query.items() if value not in (None, "")})
    return f"{PREFIX}/{path}" + (f"?{given}" if given else "")


def text_of(name: str, limit: int = 600) -> str:
    """One text of the query, cut to what anybody means."""
    return storable(request.args.get(name, "")).strip()[:limit]


def storable(text: str) -> str:
    """The text without NUL, which PostgreSQL takes in no text. All else stays: an alert's id may hold anything."""
    return text.replace("\0", "")


def number_of(name: str) -> int | None:
    """One whole number of the query; None where it is none that a row could have."""
    return number_in(request.args.get(name, ""))


def number_in(text: str) -> int | None:
    """The same in a text."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 18 else None


# ------------------------------------------------------------------------------------------------------------- buttons


def as_actor(operate: Operate) -> Operate:
    """In the name of whoever pressed the button."""
    return operate.as_actor(actor().name, Way.CONSOLE)


def did(operate: Operate, command: CommandType, subject: str = "", detail: str = "", key: str = "") -> str:
    """Do one thing; the answer is the word that ``said`` reads from the next page's address. ``key``: as
    ``key_of_form`` has it, where a button that is pressed twice should ask once."""
    return outcome_of(as_actor(operate)(command, subject, key, detail))


def key_of_form() -> str:
    """Sending the same form twice is one command. What it carries since its page was made is shared by all forms of the
    page, so what the form says belongs to it."""
    if not KEY.fullmatch(request.form.get("key", "")):
        return uuid.uuid4().hex
    says = [request.path, *sorted(request.form.items(multi=True))]
    return hashlib.sha256(repr(says).encode()).hexdigest()[:32]


def see_other(path: str) -> Response:
    """Lead the browser there, by GET."""
    response = redirect(path, HTTPStatus.SEE_OTHER)
    assert isinstance(response, Response)
    return response


def outcome_of(result: CommandResult) -> str:
    """The outcome as a word."""
    return result.word


def said() -> Said | None:
    """What became of the button that led here. Only words of ours are shown, whatever the address says."""
    return said_of(request.args.get("done", ""))


def said_of(word: str) -> Said | None:
    """The same of a word; None where it is none of ours."""
    text = MESSAGES.get(word) or STORED_OUTCOMES.get(word)
    if text is None:
        return None
    waits = word in ("stored", CommandOutcome.STILL_UNREADABLE)
    return Said(text, "bad" if word in FAILED else "warn" if waits else "good")
