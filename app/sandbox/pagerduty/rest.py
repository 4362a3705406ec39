"""The calls on incidents of the REST API v2, and what every REST call has in common.

https://developer.pagerduty.com/api-reference/"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import HTTPException

from app.sandbox.answers import answer, read_json
from app.sandbox.pagerduty import requests_read as read
from app.sandbox.pagerduty.account import Account
from app.sandbox.pagerduty.directory import User
from app.sandbox.pagerduty.incident import Incident, Ref, alert_in_rest, in_rest, note_in_rest, reference
from app.sandbox.pagerduty.refusal import Refusal, invalid, not_found
from app.sandbox.pagerduty.search import matching, page

Route = tuple[str, str, Callable[..., Response]]
"""Method, path, view."""


def incident_routes(account: Account) -> Blueprint:
    """The calls a bridge lives on: everything common below ``/incidents``."""
    calls = Incidents(account)
    return guarded("pagerduty_incidents", account, [
        ("POST", "/incidents", calls.open_incident),
        ("GET", "/incidents", calls.list_incidents),
        ("GET", "/incidents/<ident>", calls.get_incident),
        ("PUT", "/incidents/<ident>", calls.update_incident),
        ("PUT", "/incidents/<ident>/merge", calls.merge_incidents),
        ("POST", "/incidents/<ident>/notes", calls.add_note),
        ("GET", "/incidents/<ident>/notes", calls.list_notes),
        ("GET", "/incidents/<ident>/alerts", calls.list_alerts),
        ("GET", "/incidents/<ident>/log_entries", calls.list_log),
    ])  # fmt: skip


class IncidentCalls:
    """What the calls on incidents share: the incident a path names, and who is asking."""

    def __init__(self, account: Account) -> None:
        self.lock, self.desk, self.refs = account.lock, account.desk, account.refs

    def known(self, ident: str) -> Incident:
        """The incident with this id or number, else 404."""
        incident = self.desk.get(ident)
        if incident is None:
            raise not_found()
        return incident

    def actor(self) -> Ref:
        """The user of the ``From`` header. 2016, 1028, 1008."""
        return self.refs.user(_requester())


class Incidents(IncidentCalls):
    """One method for one route of ``incident_routes``."""

    def open_incident(self) -> Response:
        user, wish = _requester(), read.new_incident(read_json())
        with self.lock:
            return answer({"incident": in_rest(self._opened(wish, user), self.refs, with_body=True)}, 201)

    def _opened(self, wish: read.NewIncident, user: User) -> Incident:
        agent = self.refs.user(user)
        made = self.desk.open(
            wish.title, wish.service_id, wish.urgency, agent, incident_key=wish.incident_key or self.desk.fresh_key(),
            policy_id=wish.policy_id, body=wish.body, priority_id=wish.priority_id,
        )  # fmt: skip
        if wish.assignees:
            made.assignees = wish.assignees
        if user in wish.assignees:
            self.desk.set_status(made, "acknowledged", agent)
        return made

    def list_incidents(self) -> Response:
        with_body = _wants_body()
        with self.lock:
            chosen, around = page(matching(self.desk, request.args, self.desk.clock()), request.args)
            return answer({"incidents": [in_rest(incident, self.refs, with_body) for incident in chosen], **around})

    def get_incident(self, ident: str) -> Response:
        with self.lock:
            return answer({"incident": in_rest(self.known(ident), self.refs, _wants_body())})

    def update_incident(self, ident: str) -> Response:
        agent, wish = self.actor(), read.section(read_json(), "incident")
        read.check_fields(wish, read.UPDATE_FIELDS)
        if wish.get("type") not in ("incident", "incident_reference"):
            raise invalid("type is required")
        with self.lock:
            incident = self.known(ident)
            self.desk.update(incident, read.changes(wish), agent)
            return answer({"incident": in_rest(incident, self.refs, _wants_body())})

    def merge_incidents(self, ident: str) -> Response:
        agent, entries = self.actor(), _merge_sources(read_json())
        with self.lock:
            sources = [read.referenced({"source": entry}, "source", "incident_reference") or "" for entry in entries]
            target = self.known(ident)
            self.desk.merge(target, [self.known(source) for source in sources], agent)
            return answer({"incident": reference(target, self.refs)})

    def add_note(self, ident: str) -> Response:
        agent, wish = self.actor(), read.section(read_json(), "note")
        with self.lock:
            note = self.desk.annotate(self.known(ident), str(wish.get("content") or ""), agent)
            return answer({"note": note_in_rest(note)})

    def list_notes(self, ident: str) -> Response:
        with self.lock:
            return answer({"notes": [note_in_rest(note) for note in reversed(self.known(ident).notes)]})

    def list_alerts(self, ident: str) -> Response:
        with self.lock:
            chosen, around = page(self.known(ident).alerts, request.args)
            return answer({"alerts": [alert_in_rest(alert, self.refs) for alert in chosen], **around})

    def list_log(self, ident: str) -> Response:
        with self.lock:
            chosen, around = page(self.known(ident).log[::-1], request.args)
            return answer({"log_entries": chosen, **around})


def _requester() -> User:
    return read.requester(request.headers.get("From"))


def _wants_body() -> bool:
    return "body" in request.args.getlist("include[]")


def _merge_sources(body: Any) -> list[Any]:
    entries = body.get("source_incidents") if isinstance(body, dict) else None
    if not isinstance(entries, list) or not entries:
        raise invalid("source_incidents is required")
    return entries


# ------------------------------------------------------------ what every REST call has in common


def guarded(name: str, account: Account, table: Iterable[Route]) -> Blueprint:
    """These routes, each asking for a key, counting against the limit and speaking PagerDuty's errors."""
    routes = Blueprint(name, __name__)
    routes.before_request(partial(_admit, account))
    routes.after_request(_say_limits)
    routes.register_error_handler(Refusal, _refuse)
    routes.register_error_handler(HTTPException, _refuse_request)
    for method, path, view in table:
        routes.add_url_rule(path, view_func=view, methods=[method])
    return routes


def _admit(account: Account) -> None:
    scheme, _, credential = request.headers.get("Authorization", "").partition(" ")
    key = credential.strip().removeprefix("token=").strip('"')
    if scheme not in ("Token", "Bearer") or key in ("", "wrong"):
        raise Refusal(2006, status=401)
    request.environ["sandbox.allowance"] = allowance = account.rest_limit.take()
    if allowance.exceeded:
        raise Refusal(2020, status=429)


def _say_limits(response: Response) -> Response:
    allowance = request.environ.get("sandbox.allowance")
    if allowance is not None:
        response.headers["ratelimit-limit"] = str(allowance.limit)
        response.headers["ratelimit-remaining"] = str(allowance.remaining)
        response.headers["ratelimit-reset"] = str(allowance.reset_seconds)
    return response


def _refuse(refusal: Refusal) -> Response:
    return answer(refusal.as_json(), refusal.status)


def _refuse_request(fault: HTTPException) -> Response:
    return answer(invalid(fault.description or "").as_json(), fault.code or 400)
