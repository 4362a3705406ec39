"""What ``truthvouch doctor`` and ``truthvouch config pagerduty --test`` are made of."""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from app import logs
from app.bootstrap.container import Container, fixed
from app.bootstrap.installation import made_once
from app.bootstrap.rules import misspelt_faults, shadow_of
from app.config import bridge_yaml
from app.config.environment import SERVICE_KEY
from app.config.schema import exposed
from app.config.settings import Settings
from app.domain.model.outcome import Done, Reply
from app.domain.model.subscription import Mend, Subscription, Verdict, from_text, is_ours, scope_for
from app.domain.model.types import Side
from app.domain.rules.rulebook import Rulebook, expiring
from app.errors import ConfigFault
from app.pagerduty.events_api import EventsApi
from app.pagerduty.subscriptions import CREATED_EVENTS
from app.ports import Created, StoreUnavailable
from app.services.diagnostics import connection_test, doctor, partners
from app.services.diagnostics.doctor import SECRETS_WINDOW, Finding, Place, Probe, State, examine, examine_each
from app.services.diagnostics.health import KEY, Health, Report, WatchSubscriptions, deliveries
from app.services.diagnostics.self_page import trial_draft
from app.services.rules.rulebook import LiveStoredPart
from app.store.database import Database
from app.store.store_check import StoreCheck

MIN_HIDDEN_CHARS = 6
"""A shorter secret is part of too many words, and none worth the name."""


def rulebook_or_fault(settings: Settings) -> tuple[Rulebook, str]:
    """``bridge.yaml``, or the defaults and why it was refused."""
    try:
        return settings.over(bridge_yaml.load(settings.config_path)), ""
    except ConfigFault as fault:
        return settings.over(Rulebook()), str(fault)


def concealed(findings: Sequence[Finding], settings: Settings) -> tuple[Finding, ...]:
    """The findings without any secret that a partner or a driver may have quoted."""
    hidden = [secret for secret in logs.hidden_in(settings) if len(secret) >= MIN_HIDDEN_CHARS]

    def conceal(text: str) -> str:
        for secret in hidden:
            text = text.replace(secret, "***")
        return text

    return tuple(replace(found, message=conceal(found.message), remedy=conceal(found.remedy)) for found in findings)


class Doctor(Container):
    """Everything ``truthvouch doctor`` and the connection test can do. Opens nothing before it is asked."""

    def __init__(self, settings: Settings, rulebook: Rulebook, broken: str = "") -> None:
        """``broken``: why ``bridge.yaml`` was refused, empty if it was not."""
        super().__init__(settings.with_rulebook(rulebook), fixed(rulebook))
        self._book, self._broken = rulebook, broken
        self._has_api_key = bool(settings.pagerduty.api_key)

    def examine(self) -> tuple[Finding, ...]:
        """Every check."""
        settings = self.settings
        missing, degraded = settings.missing(self._book), settings.degraded(self._book)
        probes: Mapping[str, Probe] = {
            "configuration": lambda: doctor.configuration(
                missing, degraded, self._broken, exposed(settings.config_path)
            ),
            "self_page": lambda: doctor.self_page(bool(settings.self_integration_key), bool(settings.heartbeat_url)),
            "rules": self._rules,
            "bridge_store": self._store,
            "migrations": lambda: doctor.versions(self._stores.versions()),
            "vital_signs": self._health,
            **{f"{side}_secrets": partial(self._secrets, side) for side in Side},
            **self._pagerduty_key(),
            "integration_key": lambda: partners.integration_keys(self._key_lengths(), settings.via(self._book)),
            **self._pagerduty_account(),
            "truthvouch_key": self._truthvouch_key,
            "subscription": partners.subscription(self._watch.inspect if self._has_api_key else None, self._watched),
            "pending_secrets": self._pending,
        }
        return examine(probes)

    def self_test(self, key: str) -> tuple[Finding, ...]:
        """Open an incident through the bridge's own key, and resolve it."""
        pagerduty = self.settings.pagerduty
        events = EventsApi(self.transport, pagerduty.events_url, key)
        trial = trial_draft(uuid.uuid4().hex, self.settings.public_url, datetime.now(UTC))
        return examine(
            {doctor.SELF_TEST: lambda: doctor.self_test((events.trigger(trial), events.resolve(trial.incident_key)))}
        )

    def repair(self) -> Verdict:
        """Mend the subscription and ask for a reconciliation. Raises ``StoreUnavailable`` if that cannot be asked."""
        return self._watch.repair(set(Mend))

    def ping(self) -> tuple[Finding, ...]:
        """Whether a test event comes back: what was mended is no good while our secret is another one."""
        return examine({connection_test.PING_CHECK: self._ping})

    def ours(self) -> Sequence[Subscription]:
        """The subscriptions that come here already, as far as they can be read."""
        return [one for one in self._watch.listed() if is_ours(one, self.wanted)]

    def create(self) -> Reply[Created]:
        """Create one, and remember its secret by its digest until a bridge starts with it."""
        reply = self._watch.subscriptions.create(self.wanted.url or "", CREATED_EVENTS, scope_for(self.wanted))
        if isinstance(reply, Done):
            with suppress(StoreUnavailable):  # that is told by the list, and the secret must not be lost over it
                self._stores.add_pending_secret(reply.value.subscription.subscription_id, reply.value.secret)
        return reply

    def test(
        self, begin: Callable[[str], None], pause: connection_test.Pause = time.sleep, nonce: str = ""
    ) -> Iterator[Finding]:
        """The connection test, one finding after the other; ``begin`` is called with the name of each check first.
        ``nonce``: a test that is begun again is the same incident."""
        pagerduty = self.settings.pagerduty
        draft = connection_test.draft(nonce or uuid.uuid4().hex, pagerduty.service_id)
        key = pagerduty.integration_key
        events = EventsApi(self.transport, pagerduty.events_url, key) if key else None
        places = self._place("pagerduty.integration_key"), self._place("pagerduty.api_key")
        probes: Mapping[str, Probe] = {
            **self._pagerduty_key(),
            **self._pagerduty_account(),
            partners.SUBSCRIPTION: partners.subscription(
                self._watch.inspect if self._has_api_key else None, lambda: None
            ),
            # Before the test's own incident: its webhooks may be those that make PagerDuty switch the subscription off.
            connection_test.PING_CHECK: self._ping,
            connection_test.CHECK: connection_test.TestEvent(draft, events, self.incidents, pause, *places),
            "truthvouch_key": self._truthvouch_key,
            "deliveries": self._deliveries,
        }
        return examine_each(probes, begin)

    @made_once
    def _stores(self) -> StoreCheck:
        return self._opened.enter_context(closing(StoreCheck(self.settings.data_dir, self.settings.database_url)))

    @made_once
    def database(self) -> Database:
        return self._stores.database

    @made_once
    def _watch(self) -> WatchSubscriptions:
        return self.watch_subscriptions

    def _place(self, path: str) -> Place:
        """Where the credential at this place of ``bridge.yaml`` stands: the variable has the same words."""
        return doctor.place(path, path.upper().replace(".", "_"), self.settings.in_file)

    def _rules(self) -> Iterable[Finding]:
        now, book = datetime.now(UTC), LiveStoredPart(self.rules_in_force)(self._book)
        fault = shadow_of(self.settings, fixed(book), stored=self.text_of_draft).fault
        misspelt = [str(fault) for fault in misspelt_faults(self.settings)]
        return doctor.rules(book.shadow, fault, book.silences, expiring(book.silences, now), now, misspelt)

    def _store(self) -> Iterable[Finding]:
        try:
            self._stores.write(datetime.now(UTC))
        except StoreUnavailable as fault:
            remedy = "Start the bridge with this BRIDGE_DATA_DIR or DATABASE_URL, or mend what the message names."
            return (Finding("bridge_store", State.WRONG, "store_unavailable", f"No store: {fault}", remedy),)
        return (
            doctor.fine("bridge_store", "The store of links and time lines is there and takes a write."),
            *doctor.data_exposed(self._stores.exposed()),
        )

    def _health(self) -> Iterable[Finding]:
        self._stores.check_there()
        report = Health(self.inbox, self._stores.health_source, lambda: (), lambda: ())()
        return doctor.health_findings(report, self._stores.refused_page())

    def _secrets(self, side: Side) -> Iterable[Finding]:
        configured = (self.settings.truthvouch if side is Side.TRUTHVOUCH else self.settings.pagerduty).webhook_secrets
        now = datetime.now(UTC)
        if len(configured) < 2:
            return doctor.secrets(side, len(configured), None, None, now)
        self._stores.check_there()
        snapshot = self._stores.health_source.read()
        seen_at = snapshot.truthvouch_seen_at if side is Side.TRUTHVOUCH else snapshot.pagerduty_seen_at
        old_used_at = self._stores.secrets_seen.old_ones(now - SECRETS_WINDOW).get(side)
        where = self._place(f"{side}.webhook_secrets").name
        return doctor.secrets(side, len(configured), old_used_at, seen_at, now, where)

    def _pending(self) -> Iterable[Finding]:
        """New secrets that no bridge has been started with, unless their subscription is known to be gone."""
        try:
            waiting = self._stores.pending_secrets()
        except StoreUnavailable:  # which other checks say
            return []
        there = {one.subscription_id for one in self._watch.listed()} if waiting and self._has_api_key else set()
        where = self._place("pagerduty.webhook_secrets").name
        remedy = f"Put it first in {where}, unless it is there already, and restart the bridge."
        return [doctor.not_in_force(one, remedy) for one in waiting if not there or one in there]

    def _pagerduty_key(self) -> Mapping[str, Probe]:
        account, where = self.account, self._place("pagerduty.api_key")
        asks = account.accepts_key if account else None
        return {"pagerduty_key": partners.key("PagerDuty", where, asks, self.settings.pagerduty.api_url)}

    def _pagerduty_account(self) -> Mapping[str, Probe]:
        """The service, the policies, the user in whose name we write, and the plan."""
        account, ids, from_email = self.account, self.service_ids, self.settings.pagerduty.from_email
        via, asks = self.settings.via(self._book), account.service if account else None
        return {
            partners.SERVICE: partners.services(ids, via, asks),
            partners.POLICY: partners.policies(_named_policies(self._book), ids, account),
            partners.SENDER: partners.sender(from_email, account, self._place("pagerduty.from_email")),
            partners.PLAN: partners.abilities(account),
        }

    def _key_lengths(self) -> Mapping[str, int]:
        """How long each integration key is, by where it stands."""
        pagerduty, where = self.settings.pagerduty, self._place("pagerduty.integration_key").name
        found = {f"{SERVICE_KEY}{service}": len(key) for service, key in pagerduty.service_keys.items()}
        return found | ({where: len(pagerduty.integration_key)} if pagerduty.integration_key else {})

    def _truthvouch_key(self) -> Iterable[Finding]:
        alerts, where = self.partners().alerts, self._place("truthvouch.api_key")
        asks = partial(alerts.page, 1) if alerts else None
        return partners.key("TruthVouch", where, asks, self.settings.truthvouch.api_url)()

    def _watched(self) -> Verdict | None:
        """What the worker found when it last looked at the subscriptions; None without a store, too."""
        try:
            return from_text(self._stores.value(KEY))
        except StoreUnavailable:
            return None

    def _ping(self) -> Iterable[Finding]:
        """Whether a test event of PagerDuty's comes here and is taken."""
        subscriptions = self._watch.subscriptions if self._has_api_key else None
        return connection_test.ping(subscriptions, self.ours, self.settings.public_url, self._stores, time.sleep)()

    def _deliveries(self) -> Iterable[Finding]:
        """Whether the webhooks of both sides come and are taken; the ping says where there is no store to ask."""
        try:
            self._stores.check_there()
        except StoreUnavailable:
            return ()
        found = deliveries(self._stores.health_source.read(), datetime.now(UTC))
        return doctor.health_findings(Report(found))


def _named_policies(rulebook: Rulebook) -> Mapping[str, Sequence[str]]:
    """Every policy of ``bridge.yaml``, and where it is named."""
    named: dict[str, list[str]] = {}
    places = [
        (rulebook.escalation_policy_id, "pagerduty.escalation_policy_id"),
        (rulebook.escalation.policy_id, "escalation.policy_id"),
        *((rule.escalation_policy_id, f"rule {rule.name}") for rule in rulebook.rules),
    ]
    for ident, where in places:
        if ident:
            named.setdefault(ident, []).append(where)
    return named
