"""The calls on incidents of the REST API v2, what every REST call has in common, and ``POST /v2/enqueue``.

https://developer.pagerduty.com/api-reference/
"""

from typing import Any

from flask import Blueprint, Response, request
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import HTTPException

from app.sandbox.kit.support import add_routes, answer, epoch, read_json, route
from app.sandbox.pagerduty import requests as read
from app.sandbox.pagerduty.account import MAX_EVENT_BYTES, Account, faults_of
from app.sandbox.pagerduty.directory import User
from app.sandbox.pagerduty.incidents import Act, Incident, IncidentService, alert_in_rest, in_rest, reference
from app.sandbox.pagerduty.refusals import Refusal, invalid, not_found, refuse_if


def event_routes(account: Account) -> Blueprint:
    """The Events API v2: the key is in the body. Its 429 carries no rate headers: none are documented."""
    routes = Blueprint("pagerduty_events", __name__)

    def refused(errors: list[str], status: int = 400) -> Response:
        return answer({"status": "invalid event", "message": "Event object is invalid", "errors": errors}, status)

    @routes.post("/v2/enqueue")
    def enqueue() -> Response:
        if account.events_limit.take().exceeded:
            message = "Requests for this routing key exceed its limit"
            return answer({"status": "throttle exceeded", "message": message}, 429)
        if len(request.get_data()) > MAX_EVENT_BYTES:
            return refused(["Event exceeds 512 KB"], 413)
        event = read_json()
        if faults := faults_of(event):
            return refused(faults)
        dedup_key = account.events.accept(event)
        return answer({"status": "success", "message": "Event processed", "dedup_key": dedup_key}, 202)

    return routes


# ------------------------------------------------------------ what every REST call has in common


class RestCalls:
    """One method for each route. They ask for a key, count against the limit and speak PagerDuty's errors."""

    def __init__(self, account: Account) -> None:
        self.account, self.incidents, self.refs = account, account.incidents, account.refs

    def routes(self) -> Blueprint:
        """All of them, each called with the account's lock held."""
        blueprint = Blueprint(f"pagerduty_{type(self).__name__.lower()}", __name__)
        blueprint.before_request(self._admit)
        blueprint.after_request(_say_limits)
        blueprint.register_error_handler(Refusal, lambda refusal: answer(refusal.as_json(), refusal.status))
        blueprint.register_error_handler(
            HTTPException, lambda fault: answer(invalid(fault.description or "").as_json(), fault.code or 400)
        )
        return add_routes(blueprint, self, self.account.lock)

    def _admit(self) -> None:
        scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
        key = credential.strip().removeprefix("token=").strip('"')
        refuse_if(scheme not in ("Token", "Bearer") or key in ("", "wrong"), 2006, status=401)
        request.environ["sandbox.rate_limit"] = rate_limit = self.account.rest_limit.take()
        refuse_if(rate_limit.exceeded, 2020, status=429)

    def known(self, ident: str) -> Incident:
        """The incident with this id or number, else 404."""
        incident = self.incidents.get(ident)
        if incident is None:
            raise not_found()
        return incident

    def act(self, user: User | None = None) -> Act:
        """What a user does now: by default the one of the ``From`` header. 2016, 1028, 1008."""
        return Act(self.refs.user(user or _requester()), self.incidents.clock())


def _requester() -> User:
    return read.requester(request.headers.get("From"))


def _say_limits(response: Response) -> Response:
    rate_limit = request.environ.get("sandbox.rate_limit")
    if rate_limit is not None:
        response.headers["ratelimit-limit"] = str(rate_limit.limit)
        response.headers["ratelimit-remaining"] = str(rate_limit.remaining)
        response.headers["ratelimit-reset"] = str(rate_limit.reset_seconds)
    return response


# ------------------------------------------------------------ which incidents a query means, traps included

DEFAULT_WINDOW_SECONDS = 30 * 86_400.0
MAX_WINDOW_SECONDS = 184 * 86_400.0
Query = MultiDict[str, str]
_FILTERS: dict[str, Any] = {
    "statuses[]": lambda incident: {incident.status},
    "service_ids[]": lambda incident: {incident.service_id},
    "urgencies[]": lambda incident: {incident.urgency},
    "user_ids[]": lambda incident: {user.user_id for user in incident.assignees if incident.is_open},
}
_SORT_FIELDS: dict[str, Any] = {
    "created_at": lambda incident: (incident.created_at, incident.number),
    "incident_number": lambda incident: incident.number,
    "resolved_at": lambda incident: (incident.resolved_at or 0, incident.number),
    "urgency": lambda incident: (incident.urgency, incident.number),
}


def matching(incidents: IncidentService, query: Query, now: float) -> list[Incident]:
    """Oldest first unless ``sort_by`` says otherwise.

    An *empty* ``incident_key`` matches every open incident; a given one also finds incidents by their alerts.
    Without ``date_range=all`` or ``statuses[]`` only the last month is looked at.
    """
    since, until = _window(query, now)
    field, _, direction = query.get("sort_by", "created_at:asc").partition(":")
    refuse_if(field not in _SORT_FIELDS, 2001, "sort_by names an unknown field")
    key = query.get("incident_key")
    if key:
        found = incidents.with_key(key)
    else:
        found = [incident for incident in incidents.by_id.values() if key is None or incident.is_open]
    for name, values_of in _FILTERS.items():
        if wanted := set(query.getlist(name)):
            found = [incident for incident in found if wanted & values_of(incident)]
    found = [incident for incident in found if since <= incident.created_at <= until]
    return sorted(found, key=_SORT_FIELDS[field], reverse=direction == "desc")


def _window(query: Query, now: float) -> tuple[float, float]:
    if query.get("date_range") == "all":
        return 0.0, float("inf")
    since, until = _instant(query, "since"), _instant(query, "until")
    if since is None and until is None and query.getlist("statuses[]"):
        return 0.0, float("inf")
    last = now if until is None else until
    first = last - DEFAULT_WINDOW_SECONDS if since is None else since
    refuse_if(last - first > MAX_WINDOW_SECONDS, 2001, "The range between since and until must not exceed six months")
    return first, last if until is not None else float("inf")


def _instant(query: Query, name: str) -> float | None:
    given = query.get(name)
    at = epoch(given) if given else None
    refuse_if(given and at is None, 2001, f"{name} must be an ISO 8601 date")
    return at


class Incidents(RestCalls):
    """The calls a bridge lives on: everything common below ``/incidents``."""

    @route("POST", "/incidents")
    def open_incident(self) -> Response:
        user, new = _requester(), read.new_incident(read_json())
        made = self.incidents.open(new, self.act(user))
        if new.assignees:
            made.assignees = new.assignees
        if user in new.assignees:
            self.incidents.set_status(made, "acknowledged", self.act(user))
        return answer({"incident": in_rest(made, self.refs, with_body=True)}, 201)

    @route("GET", "/incidents")
    def list_incidents(self) -> Response:
        found = matching(self.incidents, request.args, self.incidents.clock())
        with_body = _wants_body()
        return answer(read.page("incidents", found, request.args, lambda one: in_rest(one, self.refs, with_body)))

    @route("GET", "/incidents/<ident>")
    def get_incident(self, ident: str) -> Response:
        return answer({"incident": in_rest(self.known(ident), self.refs, _wants_body())})

    @route("PUT", "/incidents/<ident>")
    def update_incident(self, ident: str) -> Response:
        act, sent = self.act(), read.section(read_json(), "incident")
        read.check_fields(sent, read.UPDATE_FIELDS)
        refuse_if(sent.get("type") not in ("incident", "incident_reference"), 2001, "type is required")
        incident = self.known(ident)
        self.incidents.update(incident, read.changes(sent), act)
        return answer({"incident": in_rest(incident, self.refs, _wants_body())})

    @route("PUT", "/incidents/<ident>/merge")
    def merge_incidents(self, ident: str) -> Response:
        act, body = self.act(), read_json()
        entries: Any = body.get("source_incidents") if isinstance(body, dict) else None
        refuse_if(not isinstance(entries, list) or not entries, 2001, "source_incidents is required")
        sources = [read.referenced({"source": entry}, "source", "incident_reference") or "" for entry in entries]
        target = self.known(ident)
        self.incidents.merge(target, [self.known(source) for source in sources], act)
        return answer({"incident": reference(target, self.refs)})

    @route("POST", "/incidents/<ident>/notes")
    def add_note(self, ident: str) -> Response:
        act, sent = self.act(), read.section(read_json(), "note")
        return answer({"note": self.incidents.annotate(self.known(ident), str(sent.get("content") or ""), act)})

    @route("GET", "/incidents/<ident>/notes")
    def list_notes(self, ident: str) -> Response:
        return answer({"notes": self.known(ident).notes[::-1]})

    @route("GET", "/incidents/<ident>/alerts")
    def list_alerts(self, ident: str) -> Response:
        alerts = self.known(ident).alerts
        return answer(read.page("alerts", alerts, request.args, lambda alert: alert_in_rest(alert, self.refs)))

    @route("GET", "/incidents/<ident>/log_entries")
    def list_log(self, ident: str) -> Response:
        return answer(read.page("log_entries", self.known(ident).log[::-1], request.args))


def _wants_body() -> bool:
    return "body" in request.args.getlist("include[]")
