"""What the web needs of the bridge behind it; ``bootstrap`` builds it, tests give one made of fakes."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from werkzeug.local import LocalProxy

from app.ports.jobs import JobWanted
from app.services.access.sessions import Sessions
from app.services.access.tokens import Tokens
from app.services.diagnostics.health import Report
from app.services.jobs.commands import JobOverview
from app.services.operator.audit import AuditLog
from app.services.operator.console import ConsoleParts
from app.services.operator.evidence import Evidence, RevokeEvidence
from app.services.operator.once import Once
from app.services.operator.operator import Operate
from app.services.operator.overview import Overview
from app.services.rules.overview import RulesOverview
from app.services.sync.receive import ReceiveResult, WebhookRequest

if TYPE_CHECKING:
    from app.services.reports.report import Reports

T = TypeVar("T")
Receiver = Callable[[WebhookRequest], ReceiveResult]
HealthReport = Callable[[], Report]
MetricsText = Callable[[], bytes]


class WebBridge(Protocol):
    """The services that the views call."""

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

    @property
    def reports(self) -> "Reports":
        """Figures of a period."""
        ...

    @property
    def once(self) -> Once:
        """What answers a repeated request as before."""
        ...

    @property
    def tokens(self) -> Tokens:
        """Who may come in by a token."""
        ...

    @property
    def sessions(self) -> Sessions:
        """Who is logged in to the console."""
        ...

    @property
    def evidence(self) -> Evidence:
        """What evidence links show and do."""
        ...

    @property
    def revoke_evidence(self) -> RevokeEvidence:
        """What ends evidence links."""
        ...

    @property
    def console(self) -> ConsoleParts:
        """What the console's pages are made from."""
        ...

    @property
    def rules_overview(self) -> RulesOverview:
        """What operators see of rules and silences."""
        ...

    @property
    def jobs_overview(self) -> JobOverview:
        """What operators see of long work."""
        ...

    def job_detail(self, wanted: JobWanted) -> str:
        """What ``Operate.start_job`` takes."""
        ...

    @property
    def audit_log(self) -> AuditLog:
        """Who did what."""
        ...

    def close(self) -> None:
        """Let go of the store; called once, when the process ends."""
        ...


def later(asked: Callable[[], T]) -> T:
    """Stands for what ``asked`` answers, which is asked for with each use of it and not before the first."""
    return cast(T, LocalProxy(asked))
