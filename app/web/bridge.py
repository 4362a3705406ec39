"""What the web needs of the bridge behind it; ``bootstrap`` builds it, tests give one made of fakes."""

from collections.abc import Callable
from typing import Protocol

from app.services.health import Report
from app.services.operate import Operate
from app.services.overview import Overview
from app.services.receiving import Arrival, Receipt

Receiver = Callable[[Arrival], Receipt]
HealthReport = Callable[[], Report]
MetricsText = Callable[[], bytes]


class WebBridge(Protocol):
    """The services behind the doors."""

    @property
    def receive_alert(self) -> Receiver: ...

    @property
    def receive_incident_event(self) -> Receiver: ...

    @property
    def health(self) -> HealthReport: ...

    @property
    def metrics_text(self) -> MetricsText:
        """The Prometheus text of every process."""
        ...

    @property
    def operate(self) -> Operate:
        """What operators ask for."""
        ...

    @property
    def overview(self) -> Overview:
        """What operators look at."""
        ...

    def close(self) -> None:
        """Let go of the store; called once, when the process ends."""
        ...
