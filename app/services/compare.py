"""Use case: a period's numbers beside PagerDuty's own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain.outcome import Done
from app.domain.stats_compare import LAGGING, Compared, compared
from app.ports.history import Analytics

LAG = timedelta(hours=24)
LONGEST = timedelta(days=365)
"""What one question to the analytics may span."""
NONE_OF_OURS: Mapping[str, Any] = {
    "total": 0,
    "acknowledged": 0,
    "escalations": 0,
    "mtta_minutes": {},
    "mttr_minutes": {},
}


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Compare:
    """Asks PagerDuty once and changes nothing."""

    analytics: Analytics | None
    """None: there is no API key."""
    services: Sequence[str]
    """Those that the configuration names."""
    clock: Callable[[], datetime] = _now

    def __call__(self, stats: Mapping[str, Any]) -> dict[str, Any]:
        """``stats`` as ``Reports.stats`` gave them, number by number beside PagerDuty's; or why there is nothing."""
        since, until = (datetime.fromisoformat(stats["period"][name]) for name in ("since", "until"))
        wanted = self._wanted(stats)
        if self.analytics is None:
            return _nothing("no_api_key", "Set PAGERDUTY_API_KEY: the analytics are asked with it.")
        if not wanted:
            return _nothing("no_service", "Name a service with --service, or set PAGERDUTY_SERVICE_ID.")
        if until - since > LONGEST:
            return _nothing("too_long", "PagerDuty answers for one year at most: ask for a shorter period.")
        reply = self.analytics.of_services(wanted, since, until)
        if not isinstance(reply, Done):
            return _nothing(reply.reason, "PagerDuty did not answer with numbers; `truthvouch doctor` checks the key.")
        ours = {one["name"]: one for one in stats["by_service"]}
        numbers = {service: _numbers(ours.get(service, NONE_OF_OURS)) for service in wanted}
        told = compared(numbers, {one.service_id: one for one in reply.value})
        lagging = [LAGGING] if until > self.clock() - LAG else []
        return {"reason": None, "rows": [_row(one) for one in told], "notes": [*lagging, *_why(told)]}

    def _wanted(self, stats: Mapping[str, Any]) -> list[str]:
        if stats["service_id"]:
            return [stats["service_id"]]
        return list(dict.fromkeys(self.services))


def _nothing(reason: str, todo: str) -> dict[str, Any]:
    return {"reason": reason, "rows": [], "notes": [todo]}


def _numbers(group: Mapping[str, Any]) -> dict[str, float | None]:
    return {
        "incidents": group["total"],
        "acknowledged": group["acknowledged"],
        "escalations": group["escalations"],
        "mtta_minutes": group["mtta_minutes"].get("mean"),
        "mttr_minutes": group["mttr_minutes"].get("mean"),
    }


def _row(one: Compared) -> dict[str, Any]:
    same = {"service_id": one.service_id, "number": one.number, "bridge": one.ours, "pagerduty": one.theirs}
    unknown = one.ours is None or one.theirs is None
    return same | {"difference": None if unknown else round((one.theirs or 0) - (one.ours or 0), 2)}


def _why(told: Sequence[Compared]) -> list[str]:
    return list(dict.fromkeys(f"{one.number}: {one.why}" for one in told if one.why))
