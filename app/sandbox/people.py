"""The control API's people: whoever clicks in TruthVouch's dashboard or in PagerDuty's."""

from collections.abc import Callable
from typing import Any

from flask import Blueprint, Response

from app.sandbox.answers import answer
from app.sandbox.control import BadOrder, speak_json, words
from app.sandbox.pagerduty.directory import SERVICES, find_user
from app.sandbox.pagerduty.incident import Incident, Ref
from app.sandbox.pagerduty.refusal import Refusal
from app.sandbox.stamps import PartnerClock, epoch
from app.sandbox.truthvouch.alert import ENVELOPES, SIGNATURES, Alert
from app.sandbox.truthvouch.organization import VERBS, Conflict, Sending
from app.sandbox.world import World

DEFAULT_REVIEWER = "reviewer@example.com"
DEFAULT_RESPONDER = "oncall@example.com"
INCIDENT_WORDS = ("by", "note", "into", "at", "level", "policy", "resolution")


def people_routes(world: World) -> Blueprint:
    """Everything a person can do, below ``/sandbox``."""
    routes = Blueprint("people", __name__, url_prefix="/sandbox")
    speak_json(routes)
    _reviewers(routes, world)
    _responders(routes, world)

    @routes.errorhandler(Conflict)
    def conflict(fault: Conflict) -> Response:
        return answer({"error": str(fault)}, 409)

    @routes.errorhandler(Refusal)
    def refused(refusal: Refusal) -> Response:
        error = refusal.as_json()["error"]
        return answer({"error": error["message"], "code": error["code"], "errors": error["errors"]}, 409)

    return routes


# ---------------------------------------------------------------- TruthVouch


def _reviewers(routes: Blueprint, world: World) -> None:
    def known(alert_id: str) -> Alert:
        if alert_id not in world.truthvouch.alerts:
            raise BadOrder(f"no alert {alert_id}", 404)
        return world.truthvouch.alerts[alert_id]

    @routes.post("/truthvouch/alerts")
    def raise_alert() -> Response:
        wish = words()
        _check_variants(wish)
        with world.lock:
            at = _instant(world.truthvouch.clock, wish)
            alert = world.truthvouch.raise_alert(wish, at, _sending(wish))
            return answer({"alert": alert.in_state()}, 201)

    @routes.get("/truthvouch/alerts/<path:alert_id>")
    def get_alert(alert_id: str) -> Response:
        with world.lock:
            return answer({"alert": known(alert_id).in_state()})

    @routes.post("/truthvouch/alerts/<path:alert_id>/<any(%s):action>" % ", ".join(VERBS))  # noqa: UP031
    def act(alert_id: str, action: str) -> Response:
        wish = words("by", "reason", "text", "deliver", "hold", "at")
        by = wish.get("by", DEFAULT_REVIEWER)
        with world.lock:
            alert = known(alert_id)
            world.truthvouch.act(
                alert, action, _instant(world.truthvouch.clock, wish), by, wish.get("reason"), wish.get("text"),
                _sending(wish),
            )  # fmt: skip
            return answer({"alert": alert.in_state()})


def _check_variants(wish: dict[str, Any]) -> None:
    if wish.get("signature") not in (None, *SIGNATURES):
        raise BadOrder(f"signature must be one of {', '.join(SIGNATURES)}")
    if wish.get("envelope") not in (None, *ENVELOPES):
        raise BadOrder(f"envelope must be one of {', '.join(ENVELOPES)}")


def _sending(wish: dict[str, Any]) -> Sending:
    return Sending(max(0, int(wish.get("deliver", 1))), bool(wish.get("hold", False)))


def _instant(clock: PartnerClock, wish: dict[str, Any]) -> float:
    """``at``: when it happened, epoch seconds or ISO 8601; now by the partner's clock where nothing is said."""
    if wish.get("at") is None:
        return clock()
    at = epoch(wish["at"])
    if at is None:
        raise BadOrder("at must be epoch seconds or an ISO 8601 date")
    return at


# ---------------------------------------------------------------- PagerDuty


def _responders(routes: Blueprint, world: World) -> None:
    desk = world.pagerduty.desk

    def known(ident: str) -> Incident:
        incident = desk.get(ident)
        if incident is None:
            raise BadOrder(f"no incident {ident}", 404)
        return incident

    @routes.post("/pagerduty/incidents")
    def open_by_hand() -> Response:
        wish = words("title", "urgency", "service", "by", "at")
        service = str(wish.get("service") or next(iter(SERVICES)))
        if service not in SERVICES:
            raise BadOrder("no such service")
        with world.lock:
            made = desk.open(
                str(wish.get("title") or "Opened by hand"), service, str(wish.get("urgency") or "high"),
                _agent(world, wish), _instant(world.pagerduty.clock, wish), desk.fresh_key(),
            )  # fmt: skip
            return answer({"incident": world.pagerduty.in_state(made)}, 201)

    @routes.get("/pagerduty/incidents/<ident>")
    def get_incident(ident: str) -> Response:
        with world.lock:
            return answer({"incident": world.pagerduty.in_state(known(ident))})

    @routes.post("/pagerduty/incidents/<ident>/<action>")
    def respond(ident: str, action: str) -> Response:
        wish = words(*INCIDENT_WORDS)
        if action not in _ACTIONS:
            raise BadOrder(f"action must be one of {', '.join(_ACTIONS)}", 404)
        with world.lock:
            incident = known(ident)
            _ACTIONS[action](world, incident, wish)
            return answer({"incident": world.pagerduty.in_state(incident)})


def _agent(world: World, wish: dict[str, Any]) -> Ref | None:
    """Who did it: the user on call unless ``by`` names somebody; ``"by": null`` is automation."""
    by = wish.get("by", DEFAULT_RESPONDER)
    return None if by is None else world.pagerduty.refs.user(find_user(str(by)))


def _to(status: str) -> Callable[[World, Incident, dict[str, Any]], None]:
    """A change of status; with a ``note``, the note comes just before it, as PagerDuty's own page sends it."""

    def change(world: World, incident: Incident, wish: dict[str, Any]) -> None:
        agent, at, desk = _agent(world, wish), _instant(world.pagerduty.clock, wish), world.pagerduty.desk
        note = wish.get("note")
        if note and (status != "resolved" or incident.is_open):
            desk.annotate(incident, f"Resolution Note: {note}" if status == "resolved" else str(note), agent, at)
        desk.set_status(incident, status, agent, at, wish.get("resolution"))

    return change


def _unacknowledge(world: World, incident: Incident, wish: dict[str, Any]) -> None:
    if incident.status != "acknowledged":
        raise Refusal(1012)
    _to("triggered")(world, incident, wish)


def _reopen(world: World, incident: Incident, wish: dict[str, Any]) -> None:
    if incident.is_open:
        raise BadOrder("the incident is not resolved", 409)
    _to("triggered")(world, incident, wish)


def _note(world: World, incident: Incident, wish: dict[str, Any]) -> None:
    world.pagerduty.desk.annotate(
        incident, str(wish.get("note") or ""), _agent(world, wish), _instant(world.pagerduty.clock, wish)
    )


def _escalate(world: World, incident: Incident, wish: dict[str, Any]) -> None:
    agent, at = _agent(world, wish), _instant(world.pagerduty.clock, wish)
    if wish.get("policy"):
        world.pagerduty.desk.delegate(incident, str(wish["policy"]), agent, at)
        return
    level = int(wish.get("level") or incident.escalation_level + 1)
    world.pagerduty.desk.escalate(incident, level, agent, at)


def _merge(world: World, incident: Incident, wish: dict[str, Any]) -> None:
    target = world.pagerduty.desk.get(str(wish.get("into")))
    if target is None:
        raise BadOrder("into must name an incident", 404)
    world.pagerduty.desk.merge(target, [incident], _agent(world, wish), _instant(world.pagerduty.clock, wish))


_ACTIONS: dict[str, Callable[[World, Incident, dict[str, Any]], None]] = {
    "acknowledge": _to("acknowledged"),
    "unacknowledge": _unacknowledge,
    "resolve": _to("resolved"),
    "reopen": _reopen,
    "note": _note,
    "escalate": _escalate,
    "merge": _merge,
}
