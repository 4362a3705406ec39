"""``GET /incidents``: which incidents a query means, traps included."""

from collections.abc import Iterable
from typing import Any

from werkzeug.datastructures import MultiDict

from app.sandbox.pagerduty.desk import Desk
from app.sandbox.pagerduty.incident import Incident
from app.sandbox.pagerduty.refusal import invalid
from app.sandbox.pagerduty.requests_read import page_of
from app.sandbox.stamps import epoch

DEFAULT_WINDOW_SECONDS = 30 * 86_400.0
MAX_WINDOW_SECONDS = 184 * 86_400.0
Query = MultiDict[str, str]


def matching(desk: Desk, query: Query, now: float) -> list[Incident]:
    """Oldest first unless ``sort_by`` says otherwise.

    An *empty* ``incident_key`` matches every open incident; a given one also finds incidents by their alerts.
    Without ``date_range=all`` or ``statuses[]`` only the last month is looked at.
    """
    found = [incident for incident in _candidates(desk, query) if _passes(incident, query)]
    since, until = _window(query, now)
    found = [incident for incident in found if since <= incident.created_at <= until]
    field, _, direction = query.get("sort_by", "created_at:asc").partition(":")
    if field not in _SORT_FIELDS:
        raise invalid("sort_by names an unknown field")
    return sorted(found, key=_SORT_FIELDS[field], reverse=direction == "desc")


_SORT_FIELDS: dict[str, Any] = {
    "created_at": lambda incident: (incident.created_at, incident.number),
    "incident_number": lambda incident: incident.number,
    "resolved_at": lambda incident: (incident.resolved_at or 0, incident.number),
    "urgency": lambda incident: (incident.urgency, incident.number),
}


def _candidates(desk: Desk, query: Query) -> Iterable[Incident]:
    key = query.get("incident_key")
    if key:
        return [i for i in desk.with_key(key) if key in i.known_keys()]
    everything = list(desk.by_id.values())
    return everything if key is None else [incident for incident in everything if incident.is_open]


def _passes(incident: Incident, query: Query) -> bool:
    def allows(parameter: str, value: str) -> bool:
        wanted = query.getlist(parameter)
        return not wanted or value in wanted

    return (
        allows("statuses[]", incident.status)
        and allows("service_ids[]", incident.service_id)
        and allows("urgencies[]", incident.urgency)
        and (not query.getlist("user_ids[]") or _is_assigned(incident, query.getlist("user_ids[]")))
    )


def _is_assigned(incident: Incident, user_ids: list[str]) -> bool:
    return incident.is_open and any(user.user_id in user_ids for user in incident.assignees)


def _window(query: Query, now: float) -> tuple[float, float]:
    if query.get("date_range") == "all":
        return 0.0, float("inf")
    since, until = _instant(query, "since"), _instant(query, "until")
    if since is None and until is None and query.getlist("statuses[]"):
        return 0.0, float("inf")
    last = now if until is None else until
    first = last - DEFAULT_WINDOW_SECONDS if since is None else since
    if last - first > MAX_WINDOW_SECONDS:
        raise invalid("The range between since and until must not exceed six months")
    return first, last if until is not None else float("inf")


def _instant(query: Query, name: str) -> float | None:
    word = query.get(name)
    read = epoch(word) if word else None
    if word and read is None:
        raise invalid(f"{name} must be an ISO 8601 date")
    return read


def page(found: list[Any], query: Query) -> tuple[list[Any], dict[str, Any]]:
    """One page of a list and the words around it: ``limit``, ``offset``, ``more``, ``total``."""
    limit, offset = page_of(query)
    total = len(found) if query.get("total") == "true" else None
    more = offset + limit < len(found)
    return found[offset : offset + limit], {"limit": limit, "offset": offset, "more": more, "total": total}
