"""What a web process is made of."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial

from app import metrics
from app.bootstrap.configuration import runs_with
from app.bootstrap.container import Container
from app.bootstrap.installation import made_once
from app.bootstrap.rules import Spelling, alert_in, notes, parsed_draft, shadow_of
from app.bootstrap.spans import export_spans
from app.config.settings import Settings
from app.domain.model.events import Way
from app.domain.model.types import Side
from app.errors import ConfigFault
from app.pagerduty import inbound as pagerduty_inbound
from app.ports.console import RunsWith
from app.services.access.evidence import EvidencePace
from app.services.diagnostics.health import Health
from app.services.operator.console import Console, ConsoleParts
from app.services.operator.evidence import Evidence
from app.services.operator.once import Once
from app.services.operator.operator import Operate
from app.services.operator.workbench import Workbench
from app.services.rules.overview import RulesOverview
from app.services.rules.rulebook import InFile
from app.services.sync.receive import Receive, RefusedTally
from app.store.health import StoredHealth, StoredRefusals
from app.truthvouch import wire as truthvouch_wire

COMMAND_TIMEOUT_SECONDS = 2.0
"""How long an operator's request waits for the worker, which needs a hundredth of that when it is there."""


class WebBridge(Container):
    """The two webhooks, the health checks, and what operators ask for. It imports no engine and calls nobody."""

    def __init__(self, settings: Settings) -> None:
        """Opens nothing before the first request, so a fork is safe. Raises ``ConfigFault`` when ``bridge.yaml`` is
        broken."""
        super().__init__(settings)
        export_spans(settings)
        self._shadow = shadow_of(settings, self.rulebook, stored=self.text_of_draft)
        self._spelling = Spelling(self.rulebook, lambda: self.database)
        meter = metrics.meter()
        store, tally = (self.inbox, self.wakeup, meter), RefusedTally(StoredRefusals(self.plain_bridge).add)
        meter.expect_secrets(Side.TRUTHVOUCH, len(settings.truthvouch.webhook_secrets))
        meter.expect_secrets(Side.PAGERDUTY, len(settings.pagerduty.webhook_secrets))
        # By the file alone: no webhook waits for a read of the store.
        verify, secrets = (
            partial(truthvouch_wire.verify_by, InFile(self.rulebook)),
            settings.truthvouch.webhook_secrets,
        )
        self.receive_alert = Receive(Side.TRUTHVOUCH, verify, secrets, *store, remember=tally)
        self.receive_incident_event = Receive(
            Side.PAGERDUTY, pagerduty_inbound.verify, settings.pagerduty.webhook_secrets, *store, remember=tally
        )
        self._health_source = StoredHealth(self.plain_bridge, self.plain_inbox)
        self.health = Health(self.inbox, self._health_source, self._missing, self._notes)
        self.metrics_text = metrics.once_a_second(lambda: metrics.text(self._health_source, self.budgets_left))

    def close(self) -> None:
        """Let go of the store; called once, when the process ends."""
        self._opened.close()

    @made_once
    def operate(self) -> Operate:
        return self.operate_as("web", COMMAND_TIMEOUT_SECONDS, Way.API)

    @made_once
    def evidence(self) -> Evidence:
        from app.store.access import StoredAccess
        from app.store.operator_records import StoredRecords

        stored = (self.database, StoredRecords(), StoredAccess())
        return Evidence(self.evidence_tokens, self.rulebook, self.console.reads, *stored, EvidencePace())

    @made_once
    def console(self) -> ConsoleParts:
        from app.store.operator_records import StoredRecords

        secrets = {
            Side.TRUTHVOUCH: len(self.settings.truthvouch.webhook_secrets),
            Side.PAGERDUTY: len(self.settings.pagerduty.webhook_secrets),
        }
        has_api_key = partial(bool, self.settings.pagerduty.api_key)
        reads = Console(self.database, StoredRecords(), self.link_search, self._health_source, secrets, has_api_key)
        return ConsoleParts(
            reads, self.rulebook, self.stored_alerts, alert_in, lambda: self.reports, self._runs_with,
            self.settings.public_url, self._workbench(), self.budgets_left, self.revoke_evidence,
        )  # fmt: skip

    @property
    def rules_overview(self) -> RulesOverview:
        kept = self.stored_rules_overview.silences
        return RulesOverview(self.rulebook, self.stored_alerts, alert_in, self.backtests, kept)

    def _runs_with(self) -> RunsWith:
        return runs_with(self)

    def _workbench(self) -> Workbench:
        from app.store.worker_configurations import StoredConfigurations

        return Workbench(
            self.jobs_overview, self.job_detail, self.stored_rules_overview, self.rulebook, self._shadow,
            lambda: self.backtests, self._faults_of_draft, self.audit_log, StoredConfigurations(),
        )  # fmt: skip

    def _faults_of_draft(self, text: str, name: str) -> Sequence[str]:
        try:
            parsed_draft(self.settings, text, name, self.rulebook.current())
        except ConfigFault as fault:
            return [str(one) for one in fault.faults]
        return ()

    @made_once
    def once(self) -> Once:
        from app.store.answers import StoredAnswers

        return Once(self.database, StoredAnswers())

    def _missing(self) -> tuple[str, ...]:
        return self.settings.missing(self.rulebook.current())

    def _notes(self) -> tuple[str, ...]:
        """What works only in part."""
        fault, book, now = self.rulebook.fault, self.rulebook.current(), datetime.now(UTC)
        refused = (f"bridge.yaml is broken, the last good one is in force: {fault}",) if fault else ()
        about_rules = (*notes(book, self._shadow, now), *self._spelling.notes(now))
        return (*self.settings.degraded(book), *refused, *about_rules)
