"""What processes and commands are made of: one ``Container``, whose parts are made when they are first asked for.

What only some of them need is imported there and then, so that a web process carries neither the partners' clients nor
the engine.
"""

import getpass
import hashlib
import time
import uuid
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import structlog

from app.bootstrap.installation import Installation, made_once
from app.config import bridge_yaml
from app.config.settings import PagerDutySettings, Settings
from app.domain.model.events import Command, CommandType, Event, Way
from app.domain.model.types import Source
from app.domain.rules.rulebook import Rulebook
from app.errors import ConfigFault
from app.pagerduty import inbound as pagerduty_inbound
from app.ports import BudgetLeft, CommandHandler, Delivery, Read, StoreUnavailable, utc_now
from app.ports.console import LinkSearch, SubjectKind
from app.services.access.sessions import Sessions
from app.services.access.tokens import Tokens
from app.services.jobs.commands import JobCommands, JobOverview
from app.services.operator.audit import AuditLog
from app.services.operator.operator import Operate
from app.services.operator.overview import Overview
from app.services.rules.rulebook import Backtests, LiveRulebook, LiveStoredPart, StoredAlerts
from app.services.rules.stored import RuleCommands, StoredRulesOverview
from app.store import inbox as internal_events
from app.store.budgets_left import REST_BUDGET, HourlyCalls, budgets_left, events_budget
from app.store.rules_in_force import RulesInForce
from app.truthvouch import wire as truthvouch_wire

if TYPE_CHECKING:
    from app.bootstrap.partners import BudgetOf, Partners
    from app.domain.model.subscription import Wanted
    from app.domain.sync.link import Link
    from app.pagerduty.directory import AccountApi
    from app.pagerduty.rest_api import RestApi
    from app.ports.jobs import JobWanted
    from app.remote.transport import Transport
    from app.services.access.evidence import EvidenceTokens
    from app.services.diagnostics.health import WatchSubscriptions
    from app.services.operator.evidence import RevokeEvidence
    from app.services.operator.operator import CommandResult
    from app.services.reconciliation.run import Reconcile
    from app.services.reports.report import Compare, Reports
    from app.store.links import StoredLinks
    from app.store.rate_limits import StoredHourlyQuota
    from app.store.stored_rules import RulesInStore

T = TypeVar("T")

log = structlog.get_logger()

READERS: Mapping[Source, Read] = {
    Source.TRUTHVOUCH: truthvouch_wire.read,
    Source.PAGERDUTY: pagerduty_inbound.read,
    Source.BRIDGE: internal_events.read,
}
COMMAND_TIMEOUT_SECONDS = 5.0
"""How long a command waits for the worker."""
INTAKE_TIMEOUT_SECONDS, INTAKE_POLL_SECONDS = 10.0, 0.05
"""How long a reconciliation waits until what it found is taken in, and how often it looks."""
TRUTHVOUCH_QUOTA = "reconcile.truthvouch"
"""Key: the calls to TruthVouch that reconciliations made, of every process."""
TRUTHVOUCH_READS = "truthvouch-reads"
"""What the same quota is called among the budgets."""
JOB_COMMANDS = (CommandType.START_JOB, CommandType.CANCEL_JOB)
RULE_COMMANDS = (
    CommandType.SILENCE,
    CommandType.END_SILENCE,
    CommandType.SAVE_DRAFT,
    CommandType.DELETE_DRAFT,
    CommandType.SHADOW_DRAFT,
    CommandType.SILENCE_ALIKE,
)
LEFT_TO_DELIVERIES = 0.5
"""The share of each budget's burst that reconciliations leave to pages: they are in no hurry."""


class Container(Installation):
    """What is made of one installation."""

    def __init__(self, settings: Settings, rulebook: LiveRulebook | None = None) -> None:
        """Opens nothing. ``rulebook``: in the place of ``bridge.yaml``, which is read when it is first asked for and
        raises ``ConfigFault`` when it is broken then."""
        super().__init__(settings)
        if rulebook is not None:
            self.rulebook = rulebook

    @made_once
    def rulebook(self) -> LiveRulebook:
        """``bridge.yaml``, hot-reloaded, and what the store adds to it."""
        path = self.settings.config_path
        load, stored = lambda: self.settings.over(bridge_yaml.load(path)), LiveStoredPart(self.rules_in_force)
        return LiveRulebook(load, partial(fingerprint, path), ConfigFault, with_stored=stored)

    @property
    def rules_in_force(self) -> RulesInForce:
        """What the store adds to the rules."""
        return RulesInForce(self.plain_bridge)

    def text_of_draft(self, name: str) -> str | None:
        """Of a draft in the store. Raises ``StoreUnavailable``."""
        return self.rules_in_force.text_of_draft(name)

    @property
    def stored_rules(self) -> "RulesInStore":
        """Silences and drafts in the store."""
        from app.store.stored_rules import RulesInStore

        return RulesInStore()

    @property
    def stored_rules_overview(self) -> StoredRulesOverview:
        return StoredRulesOverview(self.database, self.stored_rules)

    @property
    def jobs_overview(self) -> JobOverview:
        from app.store.jobs import StoredJobs

        return JobOverview(self.database, StoredJobs())

    @staticmethod
    def job_detail(wanted: "JobWanted") -> str:
        """What ``Operate.start_job`` takes."""
        from app.store.jobs import encode_job

        return encode_job(wanted)

    def start_job(self, wanted: "JobWanted") -> tuple["CommandResult", int | None]:
        """Ask for long work, and its number where the worker has taken it in."""
        result = self.operate.start_job(self.job_detail(wanted))
        job = self.jobs_overview.of_key(result.key) if result.key else None
        return result, job.job_id if job else None

    @property
    def audit_log(self) -> AuditLog:
        from app.store.jobs import StoredAudit

        return AuditLog(self.database, StoredAudit())

    @property
    def pagerduty(self) -> PagerDutySettings:
        """How PagerDuty is reached, by the environment and the rulebook in force."""
        return self.settings.with_rulebook(self.rulebook.current()).pagerduty

    @property
    def service_ids(self) -> tuple[str, ...]:
        """Every service that incidents are opened on, the usual one first."""
        chosen = (self.pagerduty.service_id, *(rule.service_id for rule in self.rulebook.current().rules))
        return tuple(dict.fromkeys(filter(None, chosen)))

    @made_once
    def links(self) -> "StoredLinks":
        """Links as whoever changes them reads and writes them."""
        from app.store.links import StoredLinks

        return StoredLinks(self.rulebook.redaction)

    @made_once
    def overview(self) -> Overview:
        from app.store.operator_records import StoredRecords

        has_api_key = partial(bool, self.settings.pagerduty.api_key)
        return Overview(self.database, StoredRecords(), has_api_key, self.link_search)

    @property
    def link_search(self) -> LinkSearch:
        """What finds links for people."""
        from app.store.link_search import StoredLinkSearch

        return StoredLinkSearch()

    @made_once
    def operate(self) -> Operate:
        """In the name of whoever is logged in here."""
        return self.operate_as(user(), COMMAND_TIMEOUT_SECONDS, Way.CLI)

    def operate_as(self, by: str, timeout_seconds: float, way: Way | None) -> Operate:
        """In the name of ``by``, each waiting so long for the worker. ``way``: as the audit log has it."""
        from app.store.operator_records import StoredRecords

        encode, stored = internal_events.encode_command, (self.command_status, self.database, StoredRecords())
        return Operate(self.inbox, self.wakeup, *stored, encode, timeout_seconds, by, way, self.command_handlers())

    def command_handlers(self, wake_jobs: Callable[[], None] = lambda: None) -> Mapping[CommandType, CommandHandler]:
        """Of the commands that are no matter of links. ``wake_jobs``: says that there is something to run."""
        from app.store.jobs import StoredJobs

        jobs, rules = JobCommands(StoredJobs(), wake_jobs), RuleCommands(self.stored_rules, utc_now)
        return {**dict.fromkeys(JOB_COMMANDS, jobs), **dict.fromkeys(RULE_COMMANDS, rules)}

    @made_once
    def tokens(self) -> Tokens:
        """Who may come in by a token."""
        from app.store.access import StoredAccess
        from app.store.jobs import StoredAudit

        return Tokens(StoredAccess(), lambda: self.database, self.settings.admin_token, audit=StoredAudit())

    @made_once
    def sessions(self) -> Sessions:
        """Who is logged in to the console."""
        from app.store.access import StoredAccess

        return Sessions(StoredAccess(), lambda: self.database, self.tokens, self.settings.secret_keys)

    @made_once
    def evidence_tokens(self) -> "EvidenceTokens":
        """What signs evidence links."""
        from app.services.access.evidence import EvidenceTokens

        return EvidenceTokens(self.sessions.signing_keys)

    @property
    def revoke_evidence(self) -> "RevokeEvidence":
        """What ends evidence links."""
        from app.services.operator.evidence import RevokeEvidence
        from app.store.access import StoredAccess
        from app.store.jobs import StoredAudit
        from app.store.operator_records import StoredRecords

        return RevokeEvidence(self.database, StoredRecords(), StoredAccess(), StoredAudit())

    @property
    def evidence_url(self) -> "Callable[[Link], str | None] | None":
        """What makes evidence links; None where nobody knows the bridge's address."""
        if not self.settings.public_url:
            return None
        from app.domain.model.subscription import HOOK_PATH

        address = self.settings.public_url.rstrip("/").removesuffix(HOOK_PATH)

        def made(link: "Link") -> str | None:
            try:
                return f"{address}/e/{self.evidence_tokens.make(link.link_id, link.incident_key)}"
            except StoreUnavailable:
                log.warning("evidence_link.not_made", alert_id=link.alert.alert_id)
                return None

        return made

    @property
    def stored_alerts(self) -> StoredAlerts:
        from app.store.operator_records import StoredRecords

        return StoredAlerts(self.database, StoredRecords())

    @property
    def backtests(self) -> Backtests:
        from app.store.history import StoredPast

        return Backtests(self.database, StoredPast())

    @made_once
    def transport(self) -> "Transport":
        from app.remote.transport import Transport

        return self._opened.enter_context(closing(Transport()))

    def partners(self, budget_of: "BudgetOf | None" = None, reserve: float = 0.0) -> "Partners":
        """Everybody's clients; ``budget_of`` and ``reserve`` as in ``bootstrap.partners``."""
        from app.bootstrap.partners import partners

        return partners(self.settings, self.rulebook, self.transport, budget_of, reserve)

    @property
    def rest(self) -> "RestApi":
        """The REST API for what is asked a few times a day: no budget of calls is kept for it."""
        from app.bootstrap.partners import rest_api

        return rest_api(self.pagerduty, self.transport)

    @property
    def incidents(self) -> "RestApi | None":
        """The same; None without an API key."""
        return self.rest if self.pagerduty.api_key else None

    @property
    def account(self) -> "AccountApi | None":
        """What can be asked of the PagerDuty account; None without an API key."""
        from app.pagerduty.directory import AccountApi

        return AccountApi(self.rest.ask) if self.pagerduty.api_key else None

    @property
    def wanted(self) -> "Wanted":
        """What PagerDuty should tell us: where, which events, of which services."""
        from app.domain.model.subscription import Wanted
        from app.pagerduty.subscriptions import NEEDED_EVENTS

        return Wanted(self.settings.public_url, NEEDED_EVENTS, self.service_ids)

    @property
    def watch_subscriptions(self) -> "WatchSubscriptions":
        """Over PagerDuty's webhook subscriptions, as the rulebook in force wants them."""
        from app.pagerduty.subscriptions import SubscriptionsApi
        from app.services.diagnostics.health import WatchSubscriptions
        from app.store.database import KEY_VALUES

        api, reconcile = SubscriptionsApi(self.rest.ask), self.ask_for_reconciliation
        return WatchSubscriptions(api, lambda: self.wanted, self.database, KEY_VALUES, reconcile)

    def ask_for_reconciliation(self) -> None:
        """Put the command into our own inbox, as any operator would. Raises ``StoreUnavailable``."""
        body = internal_events.encode_command(Command(CommandType.RECONCILE, by="subscriptions"))
        self.inbox.add(Delivery(Source.BRIDGE, uuid.uuid4().hex, datetime.now(UTC), body))
        self.wakeup.notify()

    @made_once
    def budgets(self) -> "BudgetOf":
        """What the keys may call beside a worker."""
        from app.bootstrap.partners import command_budgets

        return command_budgets(self.database.engine)

    @made_once
    def reconcile(self) -> "Reconcile":
        """Reads both sides back."""
        from app import metrics
        from app.services.reconciliation.run import Reconcile
        from app.store.database import KEY_VALUES
        from app.store.links import StoredOpenLinks

        far = self.partners(self.budgets, LEFT_TO_DELIVERIES)
        stored = (StoredOpenLinks(), self.database, KEY_VALUES)
        services, quota = self._named_services, self.hourly_quota
        return Reconcile(*stored, far.incidents, far.alerts, services, quota, self._post, metrics.meter())

    def taken_in(self, posted: Sequence[str]) -> str:
        """Whether what a reconciliation posted is taken in: ``taken_in``, ``waiting`` or, where nobody works,
        ``no_worker``; empty where nothing was posted. It waits for that a while."""
        deadline = time.monotonic() + INTAKE_TIMEOUT_SECONDS
        while not all(map(self.command_status.taken, posted)):
            if not self.operate.is_anybody_there():
                return "no_worker"
            if time.monotonic() > deadline:
                return "waiting"
            time.sleep(INTAKE_POLL_SECONDS)
        return "taken_in" if posted else ""

    def _named_services(self) -> set[str]:
        return {*self.service_ids, *self.settings.pagerduty.service_keys}

    @property
    def hourly_quota(self) -> "StoredHourlyQuota":
        """The reads that TruthVouch may be asked for, whoever asks."""
        from app.store.rate_limits import StoredHourlyQuota

        return StoredHourlyQuota(TRUTHVOUCH_QUOTA, self._calls_per_hour)

    def _calls_per_hour(self) -> int:
        return self.rulebook.current().reconcile_calls_per_hour

    def budgets_left(self) -> tuple[BudgetLeft, ...]:
        """What may be called now with each key that is set. Raises ``StoreUnavailable``."""
        pagerduty, now = self.settings.pagerduty, datetime.now(UTC)
        keys = dict.fromkeys(filter(None, (pagerduty.integration_key, *pagerduty.service_keys.values())))
        per_minute = {events_budget(key): pagerduty.events_per_minute for key in keys}
        if pagerduty.api_key:
            per_minute = {REST_BUDGET: pagerduty.rest_per_minute, **per_minute}
        left = budgets_left(self.plain_bridge, per_minute, now)
        if not self.settings.truthvouch.api_key:
            return left
        reads = HourlyCalls(self._calls_per_hour).left_of(self.plain_bridge.value(TRUTHVOUCH_QUOTA), now)
        return (*left, BudgetLeft(TRUTHVOUCH_READS, reads))

    def _post(self, events: Sequence[Event], now: datetime) -> str:
        """Put events into the inbox as an internal event. The same events of the same read are the same event."""
        body = internal_events.encode_observed_events(*events)
        delivery_id = hashlib.sha256(body).hexdigest()
        if self.inbox.add(Delivery(Source.BRIDGE, delivery_id, now, body)):
            self.wakeup.notify()
        return delivery_id

    @property
    def reports(self) -> "Reports":
        """On this store's own record."""
        from app.services.reports.report import Reports
        from app.store.history import StoredHistory

        return Reports(self.database, StoredHistory(), self.rulebook, self.pagerduty.service_id)

    @property
    def compare(self) -> "Compare":
        """What lays the numbers beside PagerDuty's own. Without an API key it says so."""
        from app.pagerduty.directory import AnalyticsApi
        from app.services.reports.report import Compare

        return Compare(AnalyticsApi(self.incidents.ask) if self.incidents else None, self.service_ids)


def if_stored(settings: Settings, ask: Callable[[Container], T]) -> T | None:
    """What is asked of the store; None where there is none, or it cannot be read."""
    try:
        with Container.existing(settings) as made:
            return ask(made)
    except StoreUnavailable:
        return None


def leave_in_audit(settings: Settings, way: Way, action: str, kind: SubjectKind, subject: str, outcome: str) -> None:
    """Write down what somebody here did at once; nowhere where there is no store."""
    if_stored(settings, lambda made: made.audit_log.record(user(), way, action, kind, subject, outcome))


def fixed(rulebook: Rulebook) -> LiveRulebook:
    """A rulebook that stays as it is, for a single look."""
    return LiveRulebook(lambda: rulebook, lambda: None, ConfigFault)


def fingerprint(path: Path) -> Hashable:
    """Changes when the file does; None while it is not there or empty."""
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_mtime_ns, status.st_size, status.st_ino) if status.st_size else None


def migrate_stores(settings: Settings) -> None:
    """Bring both stores to this version's shape. Safe when several processes start at once."""
    from app.store.migrate import migrate

    with Container(settings) as made:
        migrate(made.database.engine, made.inbox_engine, settings.data_dir, lambda: made.rulebook.redaction())


def confirm_secrets(settings: Settings) -> None:
    """The web processes start with these webhook secrets. Raises ``StoreUnavailable``."""
    from app.store.secrets_seen import confirm

    with Container(settings) as made:
        confirm(made.database, settings.pagerduty.webhook_secrets)


def user() -> str:
    """The name of whoever is logged in here, for the time line and the audit log."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in many containers
        return "command line"
