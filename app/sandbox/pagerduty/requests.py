"""What a REST request asks for, checked: every rule that PagerDuty states about a body or a query."""

import uuid
from collections.abc import Callable, Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from app.sandbox.pagerduty.directory import BY_EMAIL, POLICIES, PRIORITIES, SERVICES, USERS, Ref, User
from app.sandbox.pagerduty.refusals import invalid, refuse_if

T = TypeVar("T")
MAX_PAGE = 100
MAX_OFFSET_AND_LIMIT = 10_000
CREATE_FIELDS = {"type", "title", "service", "priority", "urgency", "body", "incident_key", "assignments",
                 "escalation_policy", "conference_bridge", "incident_type"}  # fmt: skip
UPDATE_FIELDS = {"type", "status", "resolution", "title", "priority", "escalation_level", "assignments", "urgency",
                 "escalation_policy", "conference_bridge", "service", "incident_type"}  # fmt: skip


def requester(from_header: str | None) -> User:
    """Whoever the ``From`` header names. 2016: missing, 1028: no e-mail address, 1008: nobody of this account."""
    email = (from_header or "").strip()
    refuse_if(not email, 2016)
    refuse_if(email.count("@") != 1 or email.startswith("@") or email.endswith("@") or " " in email, 1028)
    refuse_if(email not in BY_EMAIL, 1008)
    return BY_EMAIL[email]


def section(body: Any, name: str) -> dict[str, Any]:
    """``body[name]``, an object. 2001 otherwise."""
    if not isinstance(body, dict) or not isinstance(body.get(name), dict):
        raise invalid(f"{name} is required and must be an object")
    found: dict[str, Any] = body[name]
    return found


def check_fields(given: Mapping[str, Any], known: set[str]) -> None:
    """2001 for a field the documents do not name: a bridge that sends one has misread them."""
    if strange := sorted(set(given) - known):
        raise invalid(*(f"{name} is not a known field" for name in strange))


def text(given: Mapping[str, Any], name: str) -> str | None:
    """An optional text that is not empty. 2001 otherwise."""
    value = given.get(name)
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise invalid(f"{name} must be a text and not empty")
    return value


def _urgency(given: Mapping[str, Any]) -> str | None:
    refuse_if(given.get("urgency") not in (None, "high", "low"), 2001, "urgency must be high or low")
    return given.get("urgency")


def referenced(given: Mapping[str, Any], name: str, kind: str) -> str | None:
    """The id in a reference ``{id, type: kind}``; None where there is none. 2001 for anything else."""
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("id"), str) or value.get("type") != kind:
        raise invalid(f"{name} must be an object with id and type {kind}")
    return str(value["id"])


def _known(given: Mapping[str, Any], name: str, directory: Container[str], missing: int) -> str | None:
    """The id in a reference; refused with the code ``missing`` if it is not in the directory."""
    ident = referenced(given, name, f"{name}_reference")
    refuse_if(ident is not None and ident not in directory, missing)
    return ident


def _details(given: Mapping[str, Any]) -> str | None:
    """``body.details``: a text, whatever examples elsewhere show."""
    body = given.get("body")
    if body is None:
        return None
    if not isinstance(body, dict) or body.get("type") != "incident_body" or not isinstance(body.get("details"), str):
        raise invalid("body must be {type: incident_body, details: <text>}")
    return str(body["details"])


def _assignees(given: Mapping[str, Any]) -> list[User]:
    """The users of ``assignments``; empty where there are none. 2001 for anybody unknown."""
    entries = given.get("assignments") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise invalid("assignments must be a list of objects")
    idents = [referenced(entry, "assignee", "user_reference") for entry in entries]
    refuse_if(any(ident not in USERS for ident in idents), 2001, "assignments name an unknown user")
    return [USERS[ident] for ident in idents if ident]


@dataclass(frozen=True, slots=True)
class NewIncident:
    """What an incident is opened with."""

    title: str
    service_id: str
    urgency: str
    incident_key: str | None = None
    body: str | None = None
    policy_id: str | None = None
    """None: the service's."""
    priority_id: str | None = None
    assignees: list[User] = field(default_factory=list)
    client: Ref | None = None
    """``{name, url}`` of a trigger event."""


def fresh_key() -> str:
    """The ``incident_key`` PagerDuty makes up for an incident opened without one."""
    return uuid.uuid4().hex


def new_incident(body: Any) -> NewIncident:
    """The incident that ``POST /incidents`` opens. 2001 (also for a service that is not there), 1014, 1020."""
    given = section(body, "incident")
    check_fields(given, CREATE_FIELDS)
    title, service_id = text(given, "title"), referenced(given, "service", "service_reference")
    if given.get("type") != "incident" or title is None or service_id is None:
        raise invalid("type (incident), title and service are required")
    refuse_if(service_id not in SERVICES, 2001, "Service not found")
    if given.get("assignments") and given.get("escalation_policy"):
        raise invalid("assignments and escalation_policy exclude each other")
    assignees = _assignees(given)
    refuse_if(len(assignees) > 1, 2001, "at most one assignment")
    return NewIncident(
        title, service_id, _urgency(given) or "high", text(given, "incident_key") or fresh_key(), _details(given),
        _known(given, "escalation_policy", POLICIES, 1014), _known(given, "priority", PRIORITIES, 1020), assignees,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Changes:
    """What ``PUT /incidents/{id}`` changes; None = leave it."""

    status: str | None
    resolution: str | None
    title: str | None
    urgency: str | None
    escalation_level: int | None
    policy_id: str | None
    priority_id: str | None
    assignees: list[User]


def changes(given: Mapping[str, Any]) -> Changes:
    """What to change. 1003 for a status that is none; 2001, 1014, 1020."""
    status, level = given.get("status"), given.get("escalation_level")
    refuse_if(status not in (None, "triggered", "acknowledged", "resolved"), 1003)
    refuse_if(not isinstance(given.get("resolution", ""), str), 2001, "resolution must be a text")
    if level is not None and (not isinstance(level, int) or isinstance(level, bool) or level < 1):
        raise invalid("escalation_level must be a whole number from 1")
    return Changes(
        status, given.get("resolution"), text(given, "title"), _urgency(given), level,
        _known(given, "escalation_policy", POLICIES, 1014), _known(given, "priority", PRIORITIES, 1020),
        _assignees(given),
    )  # fmt: skip


def page(
    name: str, found: Sequence[T], query: Mapping[str, str], show: Callable[[T], Any] = lambda one: one
) -> dict[str, Any]:
    """One page of a list, shown, under its name, and what stands around it. 2001 beyond ten thousand records.

    ``limit`` is 25, and at most 100. https://developer.pagerduty.com/docs/rest-api-pagination
    """
    try:
        limit, offset = int(query.get("limit") or 25), int(query.get("offset") or 0)
    except ValueError:
        raise invalid("limit and offset must be numbers") from None
    limit = max(1, min(limit, MAX_PAGE))
    refuse_if(offset < 0 or offset + limit > MAX_OFFSET_AND_LIMIT, 2001, "Offset plus limit must not exceed 10000")
    total = len(found) if query.get("total") == "true" else None
    around = {"limit": limit, "offset": offset, "more": offset + limit < len(found), "total": total}
    return {name: [show(one) for one in found[offset : offset + limit]], **around}
