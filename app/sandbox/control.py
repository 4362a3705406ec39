"""The control API below ``/sandbox``: look behind the curtain, order faults, hold webhooks, change settings."""

import http.client
import json
import re
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import HTTPRedirectHandler, Request, build_opener

from flask import Blueprint, Response, abort, request
from werkzeug.exceptions import HTTPException

from app.sandbox.kit.faults import find_calls
from app.sandbox.kit.support import add_routes, answer, newest, read_json, route
from app.sandbox.pagerduty.refusals import Refusal
from app.sandbox.truthvouch.alerts import Conflict
from app.sandbox.world import World

FAULT_FIELDS = ("partner", "method", "path_regex", "kind", "status", "headers", "seconds", "times")
BRIDGE_TIMEOUT_SECONDS = 3.0
SAID_BY_BRIDGE = ("decided", "deliveries")
"""Of the bridge's answer about an alert, what the page shows."""


def fields(*known: str) -> dict[str, Any]:
    """The request's JSON object, empty where there is no body; 400 for words that mean nothing."""
    read = read_json() if request.get_data() else {}
    if not isinstance(read, dict):
        abort(400, "the body must be a JSON object")
    strange = sorted(set(read) - set(known)) if known else []
    if strange:
        abort(400, f"unknown: {', '.join(strange)}; known: {', '.join(known)}")
    return read


class ControlCalls:
    """One method for each route. Faults are answered as JSON, and orders from other web sites refused."""

    lock: AbstractContextManager[Any] = nullcontext()
    """Held by each call. Here none: to show everything takes long, and nobody has to wait for that."""

    def __init__(self, world: World) -> None:
        self.world = world

    def routes(self) -> Blueprint:
        blueprint = Blueprint(type(self).__name__.lower(), __name__, url_prefix="/sandbox")
        blueprint.before_request(_refuse_strangers)
        blueprint.register_error_handler(ValueError, lambda fault: answer({"error": str(fault)}, 400))
        blueprint.register_error_handler(Conflict, lambda fault: answer({"error": str(fault)}, 409))
        blueprint.register_error_handler(Refusal, _refused)
        for kind in (HTTPException, 404):  # by number too: the application answers that one otherwise
            blueprint.register_error_handler(kind, lambda fault: answer({"error": fault.description}, fault.code))
        return add_routes(blueprint, self, self.lock)


def _refuse_strangers() -> None:
    origin = request.headers.get("Origin")
    if request.method != "GET" and origin and origin.partition("://")[2] != request.host:
        abort(403, "orders from other web sites are refused")


def _refused(refusal: Refusal) -> Response:
    error = refusal.as_json()["error"]
    return answer({"error": error["message"], "code": error["code"], "errors": error["errors"]}, 409)


class Control(ControlCalls):
    """State, calls, webhooks, faults, settings."""

    @route("GET", "/health")
    def health(self) -> Response:
        return answer({"sandbox": "simulation", "status": "ok", "bridge_url": self.world.bridge_url})

    @route("GET", "/state")
    def state(self) -> Response:
        """Both sides, newest first, at most ``limit`` of each."""
        world, limit = self.world, _limit(100_000)
        with world.lock:
            alerts, incidents = world.truthvouch.alerts, world.pagerduty.incidents.by_id
            counts = {"alerts": len(alerts), "incidents": len(incidents), "calls": len(world.calls)}
            shown = {
                "alerts": [alert.in_state() for alert in newest(alerts.values(), limit)],
                "incidents": [world.pagerduty.in_state(incident) for incident in newest(incidents.values(), limit)],
            }
        about = {
            "simulation": True, "now": world.clock(), "bridge_url": world.bridge_url,
            "asks_bridge": bool(world.bridge_token), "counts": counts,
        }  # fmt: skip
        return answer({**about, **shown, "webhooks": world.webhook_queue.as_json(), "faults": world.faults.as_json()})

    @route("GET", "/calls")
    def calls(self) -> Response:
        partner, method, path = (request.args.get(name, "") for name in ("partner", "method", "path"))
        found = find_calls(self.world.calls, partner, method, path, float(request.args.get("since", 0)))
        return answer({"calls": [call.as_json() for call in found]})

    @route("GET", "/log")
    def log(self) -> Response:
        limit = _limit(40)
        webhooks, calls = newest(self.world.webhook_queue.recent, limit), newest(self.world.calls, limit)
        return answer({"webhooks": [one.as_json() for one in webhooks], "calls": [one.as_json() for one in calls]})

    @route("GET", "/faults")
    def list_faults(self) -> Response:
        return answer({"faults": self.world.faults.as_json()})

    @route("POST", "/faults")
    def order_fault(self) -> Response:
        return answer({"fault": asdict(self.world.faults.order(fields(*FAULT_FIELDS)))}, 201)

    @route("DELETE", "/faults")
    @route("DELETE", "/faults/<int:fault_id>")
    def clear_faults(self, fault_id: int | None = None) -> Response:
        self.world.faults.clear(fault_id)
        return self.list_faults()

    @route("POST", "/reset")
    def reset(self) -> Response:
        self.world.reset()
        return answer({"status": "reset"})

    @route("POST", "/bridge")
    def move_bridge(self) -> Response:
        """A token belongs to the address that it came with: one that was given before never goes elsewhere."""
        sent = fields("url", "token")
        url, token = sent.get("url"), sent.get("token", "")
        if not isinstance(url, str) or not url.startswith(("http://", "https://")):
            abort(400, "url must begin with http:// or https://")
        if not isinstance(token, str) or not re.fullmatch("[!-~]*", token):
            abort(400, "token must be a token of the bridge")
        self.world.bridge_url, self.world.bridge_token = url.rstrip("/"), token
        return answer({"bridge_url": self.world.bridge_url, "asks_bridge": bool(token)})

    @route("GET", "/bridge/alerts/<path:alert_id>")
    def ask_bridge(self, alert_id: str) -> Response:
        """What the bridge says about an alert, since the sandbox knows its own world only; or why it says nothing."""
        if not self.world.bridge_token:
            abort(409, "nobody gave the sandbox a token of the bridge: POST /sandbox/bridge with url and token")
        url = f"{self.world.bridge_url}/api/v1/links/{quote(alert_id, safe='')}"
        said, fault = _ask(url, self.world.bridge_token)
        return answer({"fault": fault, **{name: said.get(name) for name in SAID_BY_BRIDGE}})

    @route("GET", "/settings")
    def settings(self) -> Response:
        return answer(self.world.settings())

    @route("POST", "/settings")
    def change_settings(self) -> Response:
        self.world.change(fields())
        return self.settings()

    @route("GET", "/webhooks")
    def webhooks(self) -> Response:
        return answer(self.world.webhook_queue.as_json())

    @route("POST", "/webhooks")
    def set_mode(self) -> Response:
        sent = fields("mode", "partner")
        self.world.webhook_queue.set_mode(str(sent.get("mode", "")), sent.get("partner"))
        return self.webhooks()

    @route("POST", "/webhooks/flush")
    def flush(self) -> Response:
        sent = fields("order", "seed", "copies", "partner")
        order, seed, copies = sent.get("order", "same"), int(sent.get("seed", 0)), int(sent.get("copies", 1))
        flushed = self.world.webhook_queue.flush(order, seed, copies, sent.get("partner"))
        return answer({"flushed": flushed, **self.world.webhook_queue.as_json()})


class _NoRedirect(HTTPRedirectHandler):
    """A token belongs to the address it was given with: a redirect would take it to another."""

    def redirect_request(self, *_: object) -> None:
        return None


_OPENER = build_opener(_NoRedirect)


def _ask(url: str, token: str) -> tuple[dict[str, Any], str | None]:
    """An answer of the bridge's API; or nothing, and why. The scheme of its address was checked when it was given."""
    asked = Request(url, headers={"Authorization": f"Bearer {token}", "Accept": "application/json"})  # noqa: S310
    try:
        with _OPENER.open(asked, timeout=BRIDGE_TIMEOUT_SECONDS) as said:
            return dict(json.load(said)), None
    except HTTPError as refused:
        refused.close()
        known: dict[int, str] = {
            HTTPStatus.NOT_FOUND: "The bridge knows no such alert.",
            HTTPStatus.UNAUTHORIZED: "The bridge refuses the sandbox's token.",
        }
        return {}, known.get(refused.code, f"The bridge answers {refused.code}.")
    except (OSError, ValueError, TypeError, http.client.HTTPException):
        return {}, "The bridge does not answer."


def _limit(default: int) -> int:
    return max(0, int(request.args.get("limit", default)))
