"""What a REST request asks for, checked: every rule that PagerDuty states about a body or a query."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from app.sandbox.pagerduty.directory import BY_EMAIL, POLICIES, PRIORITIES, SERVICES, USERS, User
from app.sandbox.pagerduty.refusal import Refusal, invalid

MAX_PAGE = 100
MAX_OFFSET_AND_LIMIT = 10_000
CREATE_FIELDS = {"type", "title", "service", "priority", "urgency", "body", "incident_key", "assignments",
                 "escalation_policy", "conference_bridge", "incident_type"}  # fmt: skip
UPDATE_FIELDS = {"type", "status", "resolution", "title", "priority", "escalation_level", "assignments", "urgency",
                 "escalation_policy", "conference_bridge", "service", "incident_type"}  # fmt: skip


def requester(from_header: str | None) -> User:
    """Whoever the ``From`` header names. 2016: missing, 1028: no e-mail address, 1008: nobody of this account."""
    email = (from_header or "").strip()
    if not email:
        raise Refusal(2016)
    if email.count("@") != 1 or email.startswith("@") or email.endswith("@") or " " in email:
        raise Refusal(1028)
    if email not in BY_EMAIL:
        raise Refusal(1008)
    return BY_EMAIL[email]


def section(body: Any, name: str) -> dict[str, Any]:
    """``body[name]``, an object. 2001 otherwise."""
    if not isinstance(body, dict) or not isinstance(body.get(name), dict):
        raise invalid(f"{name} is required and must be an object")
    found: dict[str, Any] = body[name]
    return found


def check_fields(given: Mapping[str, Any], known: set[str]) -> None:
    """2001 for a field the documents do not name: a bridge that sends one has misread them."""
    strange = sorted(set(given) - known)
    if strange:
        raise invalid(*(f"{name} is not a known field" for name in strange))


def text(given: Mapping[str, Any], name: str) -> str | None:
    """An optional text that is not empty. 2001 otherwise."""
    value = given.get(name)
    if value is not None and (not isinstance(value, str) or not value.strip()):
        raise invalid(f"{name} must be a text and not empty")
    return value


def urgency(given: Mapping[str, Any]) -> str | None:
    if given.get("urgency") not in (None, "high", "low"):
        raise invalid("urgency must be high or low")
    return given.get("urgency")


def referenced(given: Mapping[str, Any], name: str, kind: str) -> str | None:
    """The id in a reference ``{id, type: kind}``; None where there is none. 2001 for anything else."""
    value = given.get(name)
    if value is None:
        return None
    if not isinstance(value, dict) or not isinstance(value.get("id"), str) or value.get("type") != kind:
        raise invalid(f"{name} must be an object with id and type {kind}")
    return str(value["id"])


def policy_id(given: Mapping[str, Any]) -> str | None:
    """1014 for a policy that is not there."""
    ident = referenced(given, "escalation_policy", "escalation_policy_reference")
    if ident is not None and ident not in POLICIES:
        raise Refusal(1014)
    return ident


def priority_id(given: Mapping[str, Any]) -> str | None:
    """1020 for a priority that is not there."""
    ident = referenced(given, "priority", "priority_reference")
    if ident is not None and ident not in PRIORITIES:
        raise Refusal(1020)
    return ident


def details(given: Mapping[str, Any]) -> str | None:
    """``body.details``: a text, whatever examples elsewhere show."""
    body = given.get("body")
    if body is None:
        return None
    if not isinstance(body, dict) or body.get("type") != "incident_body" or not isinstance(body.get("details"), str):
        raise invalid("body must be {type: incident_body, details: <text>}")
    return str(body["details"])


def assignees(given: Mapping[str, Any]) -> list[User]:
    """The users of ``assignments``; empty where there are none. 2001 for anybody unknown."""
    entries = given.get("assignments") or []
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise invalid("assignments must be a list of objects")
    idents = [referenced(entry, "assignee", "user_reference") for entry in entries]
    unknown = [ident for ident in idents if ident not in USERS]
    if unknown:
        raise invalid("assignments name an unknown user")
    return [USERS[ident] for ident in idents if ident]


@dataclass(frozen=True, slots=True)
class NewIncident:
    """``POST /incidents`` without its wire."""

    title: str
    service_id: str
    urgency: str
    incident_key: str | None
    body: str | None
    policy_id: str | None
    priority_id: str | None
    assignees: list[User]


def new_incident(body: Any) -> NewIncident:
    """The incident to open. 2001 (also for a service that is not there), 1014, 1020."""
    given = section(body, "incident")
    check_fields(given, CREATE_FIELDS)
    title, service_id = text(given, "title"), referenced(given, "service", "service_reference")
    if given.get("type") != "incident" or title is None or service_id is None:
        raise invalid("type (incident), title and service are required")
    if service_id not in SERVICES:
        raise invalid("Service not found")
    if given.get("assignments") and given.get("escalation_policy"):
        raise invalid("assignments and escalation_policy exclude each other")
    if len(assignees(given)) > 1:
        raise invalid("at most one assignment")
    return NewIncident(
        title, service_id, urgency(given) or "high", text(given, "incident_key"), details(given),
        policy_id(given), priority_id(given), assignees(given),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Changes:
    """``PUT /incidents/{id}`` without its wire; None = leave it."""

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
    if status not in (None, "triggered", "acknowledged", "resolved"):
        raise Refusal(1003)
    if not isinstance(given.get("resolution", ""), str):
        raise invalid("resolution must be a text")
    if level is not None and (not isinstance(level, int) or isinstance(level, bool) or level < 1):
        raise invalid("escalation_level must be a whole number from 1")
    return Changes(
        status, given.get("resolution"), text(given, "title"), urgency(given), level,
        policy_id(given), priority_id(given), assignees(given),
    )  # fmt: skip


def page_of(query: Mapping[str, str]) -> tuple[int, int]:
    """``limit`` (25, at most 100) and ``offset``. 2001 beyond ten thousand records.

    https://developer.pagerduty.com/docs/rest-api-pagination
    """
    try:
        limit, offset = int(query.get("limit") or 25), int(query.get("offset") or 0)
    except ValueError:
        raise invalid("limit and offset must be numbers") from None
    limit = max(1, min(limit, MAX_PAGE))
    if offset < 0 or offset + limit > MAX_OFFSET_AND_LIMIT:
        raise invalid("Offset plus limit must not exceed 10000")
    return limit, offset
