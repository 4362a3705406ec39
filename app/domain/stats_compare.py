"""Our numbers beside PagerDuty's, and why they may differ."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServiceMetrics:
    """What PagerDuty's analytics say of one service. None: nothing qualified for that mean.

    https://developer.pagerduty.com/api-reference/ (analytics, aggregated service data)
    """

    service_id: str
    incidents: int = 0
    acknowledged: int = 0
    escalations: int = 0
    seconds_to_first_ack: float | None = None
    seconds_to_resolve: float | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """One number of one service, from both records."""

    service_id: str
    number: str
    """``incidents``, ``acknowledged``, ``escalations``, ``mtta_minutes``, ``mttr_minutes``."""
    ours: float | None
    theirs: float | None

    @property
    def why(self) -> str:
        """Why the two may differ; empty where they do not."""
        return "" if self.ours == self.theirs else WHY[self.number]


WHY: Mapping[str, str] = {
    "incidents": "PagerDuty counts every incident of the service, whoever opened it; the bridge those of its alerts.",
    "acknowledged": "An acknowledge in TruthVouch counts here at once, at PagerDuty when it is carried there.",
    "escalations": "PagerDuty counts every level that timed out; the bridge those that it made.",
    "mtta_minutes": "PagerDuty takes its own acknowledges, in whole seconds; the bridge the first of either side, "
    "those of TruthVouch by when they were received.",
    "mttr_minutes": "For PagerDuty a merge ends an incident; for the bridge it goes on in the surviving one. A resolve "
    "in TruthVouch counts here when it was received, at PagerDuty when it is carried there.",
}
LAGGING = "PagerDuty's analytics are up to 24 hours behind, and the period reaches into the last 24 hours."


def compared(
    ours: Mapping[str, Mapping[str, float | None]], theirs: Mapping[str, ServiceMetrics]
) -> tuple[Compared, ...]:
    """Number by number, service by service; ``ours`` by service and number. Who has nothing of a service has zero."""
    told = {service_id: _theirs(theirs.get(service_id, ServiceMetrics(service_id))) for service_id in ours}
    return tuple(
        Compared(service_id, number, numbers[number], told[service_id][number])
        for service_id, numbers in ours.items()
        for number in WHY
    )


def _theirs(told: ServiceMetrics) -> Mapping[str, float | None]:
    return {
        "incidents": told.incidents,
        "acknowledged": told.acknowledged,
        "escalations": told.escalations,
        "mtta_minutes": _minutes(told.seconds_to_first_ack),
        "mttr_minutes": _minutes(told.seconds_to_resolve),
    }


def _minutes(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds / 60, 2)
