"""The control API's people: whoever clicks in TruthVouch's dashboard or in PagerDuty's, administrators included."""

from collections.abc import Mapping
from typing import Any, TypeVar

from flask import Response, abort

from app.sandbox.control import ControlCalls, fields
from app.sandbox.kit.support import PartnerClock, answer, check_choice, epoch, route
from app.sandbox.pagerduty.directory import POLICIES, SERVICES, find_user
from app.sandbox.pagerduty.hooks import Subscription
from app.sandbox.pagerduty.incidents import Act, Incident
from app.sandbox.pagerduty.refusals import refuse_if
from app.sandbox.pagerduty.requests import NewIncident, fresh_key
from app.sandbox.truthvouch.alerts import ACTIONS, ENVELOPES, SIGNATURES, Alert, Sending
from app.sandbox.world import World

T = TypeVar("T")
DEFAULT_REVIEWER = "reviewer@example.com"
DEFAULT_RESPONDER = "oncall@example.com"
INCIDENT_FIELDS = ("by", "note", "into", "at", "level", "policy", "resolution")
MOVES = {"acknowledge": "acknowledged", "unacknowledge": "triggered", "resolve": "resolved", "reopen": "triggered"}
"""Where an incident stands after that."""
INCIDENT_ACTIONS = (*MOVES, "note", "escalate", "merge")
SERVICE_STATUSES = ("active", "warning", "critical", "maintenance", "disabled")


class People(ControlCalls):
    """Everything a person can do on either side."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self.lock, self.account, self.incidents = world.lock, world.pagerduty, world.pagerduty.incidents

    # ------------------------------------------------------------ TruthVouch

    @route("POST", "/truthvouch/alerts")
    def raise_alert(self) -> Response:
        sent = fields()
        for name, choices in (("signature", SIGNATURES), ("envelope", ENVELOPES)):
            if sent.get(name) is not None:
                check_choice(name, sent[name], choices)
        at = _instant(self.world.truthvouch.clock, sent)
        alert = self.world.truthvouch.raise_alert(sent, at, _sending(sent))
        return answer({"alert": alert.in_state()}, 201)

    @route("GET", "/truthvouch/alerts/<path:alert_id>")
    def get_alert(self, alert_id: str) -> Response:
        return answer({"alert": self._alert(alert_id).in_state()})

    @route("POST", f"/truthvouch/alerts/<path:alert_id>/<any({', '.join(ACTIONS)}):action>")
    def change_alert(self, alert_id: str, action: str) -> Response:
        sent = fields("by", "reason", "text", "deliver", "hold", "at")
        alert, at = self._alert(alert_id), _instant(self.world.truthvouch.clock, sent)
        by, reason, text = sent.get("by", DEFAULT_REVIEWER), sent.get("reason"), sent.get("text")
        self.world.truthvouch.act(alert, action, at, by, reason, text, _sending(sent))
        return answer({"alert": alert.in_state()})

    def _alert(self, alert_id: str) -> Alert:
        return _known("alert", alert_id, self.world.truthvouch.alerts)

    # ------------------------------------------------------------ PagerDuty: whoever is on call

    @route("POST", "/pagerduty/incidents")
    def open_incident(self) -> Response:
        sent = fields("title", "urgency", "service", "by", "at")
        service = str(sent.get("service") or next(iter(SERVICES)))
        if service not in SERVICES:
            abort(400, "no such service")
        title, urgency = str(sent.get("title") or "Opened by hand"), str(sent.get("urgency") or "high")
        act = self._act(sent)
        made = self.incidents.open(NewIncident(title, service, urgency, fresh_key()), act)
        return answer({"incident": self.account.in_state(made)}, 201)

    @route("GET", "/pagerduty/incidents/<ident>")
    def get_incident(self, ident: str) -> Response:
        return answer({"incident": self.account.in_state(self._incident(ident))})

    @route("POST", "/pagerduty/incidents/<ident>/<action>")
    def change_incident(self, ident: str, action: str) -> Response:
        sent = fields(*INCIDENT_FIELDS)
        if action not in INCIDENT_ACTIONS:
            abort(404, f"action must be one of {', '.join(INCIDENT_ACTIONS)}")
        incident = self._incident(ident)
        self._respond(action, incident, sent, self._act(sent))
        return answer({"incident": self.account.in_state(incident)})

    def _incident(self, ident: str) -> Incident:
        incident = self.incidents.get(ident)
        if incident is None:
            abort(404, f"no incident {ident}")
        return incident

    def _act(self, sent: dict[str, Any]) -> Act:
        """By the user on call unless ``by`` names somebody; ``"by": null`` is automation."""
        by = sent.get("by", DEFAULT_RESPONDER)
        agent = None if by is None else self.account.refs.user(find_user(str(by)))
        return Act(agent, _instant(self.account.clock, sent))

    def _respond(self, action: str, incident: Incident, sent: dict[str, Any], act: Act) -> None:
        refuse_if(action == "unacknowledge" and incident.status != "acknowledged", 1012)
        if action == "reopen" and incident.is_open:
            abort(409, "the incident is not resolved")
        if action in MOVES:
            self._move(incident, MOVES[action], sent, act)
        elif action == "note":
            self.incidents.annotate(incident, str(sent.get("note") or ""), act)
        elif action == "merge":
            target = self.incidents.get(str(sent.get("into")))
            if target is None:
                abort(404, "into must name an incident")
            self.incidents.merge(target, [incident], act)
        elif sent.get("policy"):
            self.incidents.delegate(incident, str(sent["policy"]), act)
        else:
            self.incidents.escalate(incident, int(sent.get("level") or incident.escalation_level + 1), act)

    def _move(self, incident: Incident, status: str, sent: dict[str, Any], act: Act) -> None:
        """With a ``note``, the note comes just before the change of status, as PagerDuty's own page sends it."""
        note = sent.get("note")
        if note and (status != "resolved" or incident.is_open):
            text = f"Resolution Note: {note}" if status == "resolved" else str(note)
            self.incidents.annotate(incident, text, act)
        self.incidents.set_status(incident, status, act, sent.get("resolution"))

    # ------------------------------------------------------------ PagerDuty: an administrator

    @route("POST", "/pagerduty/services/<ident>")
    def change_service(self, ident: str) -> Response:
        standing = _known("service", ident, self.incidents.standings)
        sent = fields("status", "acknowledgement_timeout", "auto_resolve_timeout")
        check_choice("status", sent.get("status", standing.status), SERVICE_STATUSES)
        standing.status = sent.get("status", standing.status)
        for name in ("acknowledgement_timeout", "auto_resolve_timeout"):
            if name in sent:
                setattr(standing, name, None if sent[name] is None else int(sent[name]))
        return answer({"service": self.account.refs.service_in_full(SERVICES[ident], False, standing)})

    @route("POST", "/pagerduty/policies/<ident>")
    def change_policy(self, ident: str) -> Response:
        _known("escalation policy", ident, POLICIES)
        empty = frozenset(map(int, fields("empty_levels").get("empty_levels", ())))
        self.incidents.empty_levels[ident] = empty
        return answer({"policy": ident, "empty_levels": sorted(empty)})

    @route("POST", "/pagerduty/subscriptions/<ident>")
    def change_subscription(self, ident: str) -> Response:
        """What PagerDuty's own page can change; the address too, which its API cannot."""
        subscription = self._subscription(ident)
        sent = fields("temporarily_disabled", "active", "events", "filter", "url")
        subscription.active = bool(sent.get("active", subscription.active))
        subscription.events = list(sent.get("events", subscription.events))
        subscription.filter = dict(sent.get("filter", subscription.filter))
        if "url" in sent:
            url = str(sent["url"])
            subscription.url = lambda: url
        if sent.get("temporarily_disabled"):
            self.account.hooks.disable(subscription)
        return answer({"subscription": subscription.as_json()})

    @route("DELETE", "/pagerduty/subscriptions/<ident>")
    def delete_subscription(self, ident: str) -> Response:
        self.account.hooks.delete(self._subscription(ident))
        return answer({"deleted": ident})

    def _subscription(self, ident: str) -> Subscription:
        return _known("subscription", ident, self.account.hooks.subscriptions)


def _known(kind: str, ident: str, things: Mapping[str, T]) -> T:
    if ident not in things:
        abort(404, f"no {kind} {ident}")
    return things[ident]


def _sending(sent: dict[str, Any]) -> Sending:
    return Sending(max(0, int(sent.get("deliver", 1))), bool(sent.get("hold", False)))


def _instant(clock: PartnerClock, sent: dict[str, Any]) -> float:
    """``at``: when it happened, epoch seconds or ISO 8601; now by the partner's clock where nothing is said."""
    if sent.get("at") is None:
        return clock()
    at = epoch(sent["at"])
    if at is None:
        raise ValueError("at must be epoch seconds or an ISO 8601 date")
    return at
