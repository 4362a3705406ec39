"""What ``truthvouch doctor`` is made of."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from app.bootstrap.rules import Fixed, shadow_of
from app.bootstrap.rules_check import misspelt_faults
from app.bootstrap.subscriptions import rest, service_ids, wanted, watch_over
from app.configfile.keys import exposed
from app.domain.names import Side
from app.domain.outcome import Reply
from app.domain.rulebook import Rulebook
from app.domain.silences import expiring
from app.domain.subscription import Mend, Subscription, Verdict, Wanted, from_text, is_ours, scope_for
from app.environment import SERVICE_KEY
from app.pagerduty.account import AccountApi
from app.pagerduty.subscriptions import CREATED_EVENTS
from app.ports import Created, StoreUnavailable
from app.services import connection_ping
from app.services import doctor as checks
from app.services import doctor_partners as partner_checks
from app.services import doctor_people as people_checks
from app.services.doctor import SECRETS_WINDOW, Finding, Look, State, examine
from app.services.doctor_places import Place, place
from app.services.doctor_rules import rules
from app.services.health import Health
from app.services.subscriptions import MARK, WatchSubscriptions
from app.settings import Settings
from app.store.checkup import Checkup
from app.store.inbox import open_door
from app.transport import Transport
from app.truthvouch.api import AlertsApi


@dataclass(frozen=True)
class Doctor:
    """Everything ``truthvouch doctor`` can do."""

    examine: Callable[[], tuple[Finding, ...]]
    repair: Callable[[], Verdict]
    """Mends the subscription and asks for a reconciliation. Raises ``StoreUnavailable`` if that cannot be asked."""
    ping: Callable[[], tuple[Finding, ...]]
    """Whether a test event comes back: what was mended is no good while our secret is another one."""
    ours: Callable[[], Sequence[Subscription]]
    """The subscriptions that come here already, as far as they can be read."""
    create: Callable[[], Reply[Created]]
    wanted: Wanted


@contextmanager
def doctor(settings: Settings, rulebook: Rulebook, broken: str) -> Iterator[Doctor]:
    """The doctor of this installation. ``broken``: why ``bridge.yaml`` was refused, empty if it was not."""
    settings = settings.with_rulebook(rulebook)
    transport, stores = Transport(), Checkup(settings.data_dir, settings.database_url)
    watch, want = watch_over(settings, lambda: rulebook, stores.database, transport), wanted(settings, rulebook)
    looks: Mapping[str, Look] = {
        "configuration": partial(
            checks.configuration,
            settings.missing(rulebook),
            settings.degraded(rulebook),
            broken,
            exposed(settings.config_path),
        ),
        "rules": lambda: _rules(settings, rulebook),
        **_store_looks(settings, stores),
        **_partner_looks(settings, rulebook, transport, watch, stores),
    }
    try:
        yield Doctor(
            partial(examine, looks),
            partial(watch.repair, set(Mend)),
            partial(examine, {connection_ping.CHECK: ping_of(settings, rulebook, watch, stores, time.sleep)}),
            lambda: [one for one in watch.listed() if is_ours(one, want)],
            lambda: watch.subscriptions.create(want.url or "", CREATED_EVENTS, scope_for(want)),
            want,
        )
    finally:
        transport.close()
        stores.close()


def _rules(settings: Settings, rulebook: Rulebook) -> Iterable[Finding]:
    now, shadow = datetime.now(UTC), shadow_of(settings, Fixed(rulebook))
    soon = expiring(rulebook.silences, now)
    misspelt = [str(fault) for fault in misspelt_faults(settings)]
    return rules(rulebook.shadow, shadow.fault, rulebook.silences, soon, now, misspelt)


def _store_looks(settings: Settings, stores: Checkup) -> Mapping[str, Look]:
    door = open_door(settings)

    def there() -> Iterable[Finding]:
        try:
            stores.write(datetime.now(UTC))
        except StoreUnavailable as fault:
            todo = "Start the bridge with this BRIDGE_DATA_DIR or DATABASE_URL, or mend what the message names."
            return (Finding("bridge_store", State.WRONG, "store_unavailable", f"No store: {fault}", todo),)
        return (
            checks.fine("bridge_store", "The store of links and time lines is there and takes a write."),
            *checks.data_exposed(stores.exposed()),
        )

    def vital_signs() -> Iterable[Finding]:
        stores.check_there()
        try:
            report = Health(door, stores.vitals, lambda: (), lambda: ())()
            return tuple(checks.vital_signs(report, stores.refused_page()))
        finally:
            door.close()

    return {
        "bridge_store": there,
        "migrations": lambda: checks.versions(stores.versions()),
        "vital_signs": vital_signs,
        **{f"{side}_secrets": partial(_secrets, settings, stores, side) for side in Side},
    }


def _secrets(settings: Settings, stores: Checkup, side: Side) -> Iterable[Finding]:
    configured = (settings.truthvouch if side is Side.TRUTHVOUCH else settings.pagerduty).webhook_secrets
    if len(configured) < 2:
        return checks.secrets(side, len(configured), None, None, datetime.now(UTC))
    stores.check_there()
    now, pulse = datetime.now(UTC), stores.vitals.read()
    seen_at = pulse.truthvouch_seen_at if side is Side.TRUTHVOUCH else pulse.pagerduty_seen_at
    old_used_at = stores.secrets_seen.old_ones(now - SECRETS_WINDOW).get(side)
    where = place(f"{side}.webhook_secrets", f"{side.upper()}_WEBHOOK_SECRETS", settings.in_file).name
    return checks.secrets(side, len(configured), old_used_at, seen_at, now, where)


def _partner_looks(
    settings: Settings, rulebook: Rulebook, transport: Transport, watch: WatchSubscriptions, stores: Checkup
) -> Mapping[str, Look]:
    account = account_of(settings, transport)
    truthvouch = settings.truthvouch
    alerts = AlertsApi(transport, truthvouch.api_url, truthvouch.api_key or "", lambda: rulebook.calls)
    return {
        "pagerduty_key": partner_checks.key(
            "PagerDuty",
            api_key_of(settings),
            account.accepts_key if account else None,
            settings.pagerduty.api_url,
        ),
        "integration_key": lambda: partner_checks.integration_keys(_integration_keys(settings), settings.via(rulebook)),
        "pagerduty_service": partner_checks.services(
            service_ids(settings, rulebook), settings.via(rulebook), account.service if account else None
        ),
        **people_looks(settings, rulebook, account),
        "truthvouch_key": partner_checks.key(
            "TruthVouch",
            place("truthvouch.api_key", "TRUTHVOUCH_API_KEY", settings.in_file),
            (lambda: alerts.page(1)) if truthvouch.api_key else None,
            truthvouch.api_url,
        ),
        "subscription": partner_checks.subscription(watch.look if account else None, partial(_watched, stores)),
    }


def _integration_keys(settings: Settings) -> Mapping[str, int]:
    """How long each integration key is, by where it stands."""
    pagerduty = settings.pagerduty
    where = place("pagerduty.integration_key", "PAGERDUTY_INTEGRATION_KEY", settings.in_file).name
    found = {f"{SERVICE_KEY}{service}": len(key) for service, key in pagerduty.service_keys.items()}
    return found | ({where: len(pagerduty.integration_key)} if pagerduty.integration_key else {})


def _watched(stores: Checkup) -> Verdict | None:
    """What the worker found when it last looked at the subscriptions; None without a store, too."""
    try:
        return from_text(stores.mark(MARK))
    except StoreUnavailable:
        return None


def ping_of(
    settings: Settings,
    rulebook: Rulebook,
    watch: WatchSubscriptions,
    stores: Checkup,
    pause: Callable[[float], None],
) -> Look:
    """Whether a test event of PagerDuty's comes here and is taken."""
    want = wanted(settings, rulebook)
    return connection_ping.ping(
        watch.subscriptions if settings.pagerduty.api_key else None,
        lambda: [one for one in watch.listed() if is_ours(one, want)],
        settings.public_url,
        stores,
        pause,
    )


def api_key_of(settings: Settings) -> Place:
    """Where the REST key stands."""
    return place("pagerduty.api_key", "PAGERDUTY_API_KEY", settings.in_file)


def account_of(settings: Settings, transport: Transport) -> AccountApi | None:
    """What can be asked of the PagerDuty account; None without an API key."""
    return AccountApi(rest(settings, transport).ask) if settings.pagerduty.api_key else None


def people_looks(settings: Settings, rulebook: Rulebook, account: AccountApi | None) -> Mapping[str, Look]:
    """The looks at policies, the user in whose name we write, and the plan."""
    return {
        people_checks.POLICY: people_checks.policies(
            _named_policies(rulebook), service_ids(settings, rulebook), account
        ),
        people_checks.SENDER: people_checks.sender(
            settings.pagerduty.from_email,
            account,
            place("pagerduty.from_email", "PAGERDUTY_FROM_EMAIL", settings.in_file),
        ),
        people_checks.PLAN: people_checks.abilities(account),
    }


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
