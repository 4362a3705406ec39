"""Statistics of the account, by service. PagerDuty's may lag by 24 hours; these do not, which it does not exclude.

https://developer.pagerduty.com/api-reference/ (analytics, aggregated service data)
"""

from collections.abc import Iterable
from typing import Any

from flask import Blueprint, Response

from app.sandbox.answers import answer, read_json
from app.sandbox.pagerduty.account import Account
from app.sandbox.pagerduty.directory import SERVICES
from app.sandbox.pagerduty.incident import Incident
from app.sandbox.pagerduty.refusal import invalid
from app.sandbox.pagerduty.requests_read import section
from app.sandbox.pagerduty.rest import guarded
from app.sandbox.stamps import epoch

LONGEST_SECONDS = 366 * 86_400.0


def analytics_routes(account: Account) -> Blueprint:
    """What has been counted."""
    calls = Analytics(account)
    return guarded("pagerduty_analytics", account, [
        ("POST", "/analytics/metrics/incidents/services", calls.of_services),
    ])  # fmt: skip


class Analytics:
    """One method for one route of ``analytics_routes``."""

    def __init__(self, account: Account) -> None:
        self.lock, self.desk = account.lock, account.desk

    def of_services(self) -> Response:
        wish = section(read_json(), "filters")
        since, until = _time(wish, "created_at_start"), _time(wish, "created_at_end")
        if until - since > LONGEST_SECONDS:
            raise invalid("the time between created_at_start and created_at_end is a year at most")
        wanted = wish.get("service_ids") or list(SERVICES)
        with self.lock:
            chosen = [one for one in self.desk.by_id.values() if since <= one.created_at <= until]
        rows = [_row(ident, [one for one in chosen if one.service_id == ident]) for ident in wanted]
        told = [row for row in rows if row["total_incident_count"]]
        return answer({"data": told, "filters": wish, "aggregate_unit": None, "time_zone": "Etc/UTC"})


def _time(wish: dict[str, Any], name: str) -> float:
    at = epoch(wish.get(name))
    if at is None:
        raise invalid(f"{name} must be an ISO 8601 time")
    return at


def _row(service_id: str, incidents: list[Incident]) -> dict[str, Any]:
    """Only services that have data are told of."""
    acknowledges = [at - one.created_at for one in incidents if (at := _first(one, "acknowledge")) is not None]
    resolves = [one.resolved_at - one.created_at for one in incidents if one.resolved_at is not None]
    escalations = [_times(one, "escalate") for one in incidents]
    return {
        "service_id": service_id,
        "service_name": SERVICES[service_id].name if service_id in SERVICES else None,
        "total_incident_count": len(incidents),
        "total_incidents_acknowledged": len(acknowledges),
        "total_escalation_count": sum(escalations),
        "total_incidents_manual_escalated": sum(1 for count in escalations if count),
        "mean_seconds_to_first_ack": _mean(acknowledges),
        "mean_seconds_to_resolve": _mean(resolves),
    }


def _first(incident: Incident, entry: str) -> float | None:
    return next((epoch(line["created_at"]) for line in incident.log if line["type"] == f"{entry}_log_entry"), None)


def _times(incident: Incident, entry: str) -> int:
    return sum(line["type"] == f"{entry}_log_entry" for line in incident.log)


def _mean(seconds: Iterable[float]) -> int | None:
    """Whole seconds; null where nothing qualified."""
    known = [max(value, 0.0) for value in seconds]
    return round(sum(known) / len(known)) if known else None
