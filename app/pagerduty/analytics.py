"""PagerDuty's own statistics, for comparison: they are up to 24 hours behind.

https://developer.pagerduty.com/api-reference/ (analytics)
https://support.pagerduty.com/main/docs/insights
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from app.domain.outcome import Done, Reply, Retry
from app.domain.payload import id_of, table_of
from app.domain.stats_compare import ServiceMetrics
from app.pagerduty.subscriptions import Ask

PATH = "/analytics/metrics/incidents/services"


class AnalyticsApi:
    """Implements ``ports.history.Analytics``."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask

    def of_services(
        self, service_ids: Sequence[str], since: datetime, until: datetime
    ) -> Reply[tuple[ServiceMetrics, ...]]:
        """``POST /analytics/metrics/incidents/services``, aggregated over the whole time, which is a year at most.

        Raises ``ValueError`` without services, for then PagerDuty answers with everybody's.
        """
        if not service_ids:
            raise ValueError("without services every service of the account is meant")
        wish = {
            "created_at_start": since.isoformat(timespec="seconds"),
            "created_at_end": until.isoformat(timespec="seconds"),
            "service_ids": list(service_ids),
        }
        reply = self._ask("POST", PATH, None, {"filters": wish, "time_zone": "Etc/UTC"})
        if not isinstance(reply, Done):
            return reply
        told = table_of(reply.value).get("data")
        if not isinstance(told, list):
            return Retry("unreadable_answer")
        return reply.with_value(tuple(filter(None, map(_metrics, told))))


def _metrics(told: object) -> ServiceMetrics | None:
    row = table_of(told)
    ident = id_of(row.get("service_id"))
    if not ident:
        return None
    return ServiceMetrics(
        ident,
        int(_number(row, "total_incident_count") or 0),
        int(_number(row, "total_incidents_acknowledged") or 0),
        int(_number(row, "total_escalation_count") or 0),
        _number(row, "mean_seconds_to_first_ack"),
        _number(row, "mean_seconds_to_resolve"),
    )


def _number(row: Mapping[str, object], name: str) -> float | None:
    """Null where nothing qualified."""
    value = row.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
