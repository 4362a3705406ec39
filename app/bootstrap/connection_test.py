"""What ``truthvouch config pagerduty --test`` is made of."""

import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

from app.bootstrap.doctor import account_of, api_key_of, people_looks, ping_of
from app.bootstrap.subscriptions import rest, service_ids, watch_over
from app.domain.rulebook import Rulebook
from app.pagerduty.events_api import EventsApi
from app.ports import StoreUnavailable
from app.services import connection_ping, connection_test
from app.services import doctor_partners as partner_checks
from app.services.doctor import Finding, Look, examine_each, vital_signs
from app.services.doctor_places import place
from app.services.health import Report, deliveries
from app.settings import Settings
from app.store.checkup import Checkup
from app.transport import Transport
from app.truthvouch.api import AlertsApi


@dataclass(frozen=True)
class ConnectionTest:
    """The whole test, one finding after the other as it comes."""

    run: Callable[[Callable[[str], None]], Iterator[Finding]]
    """Makes the test; what it is given hears the name of each check before it is made."""


@contextmanager
def connection_test_of(
    settings: Settings, rulebook: Rulebook, pause: Callable[[float], None] = time.sleep
) -> Iterator[ConnectionTest]:
    """The test of this installation's credentials, ids and people. Opens nothing before it is run."""
    settings = settings.with_rulebook(rulebook)
    transport, stores = Transport(), Checkup(settings.data_dir, settings.database_url)
    watch = watch_over(settings, lambda: rulebook, stores.database, transport)
    looks: Mapping[str, Look] = {
        **_account_looks(settings, rulebook, transport),
        partner_checks.SUBSCRIPTION: partner_checks.subscription(
            watch.look if settings.pagerduty.api_key else None, lambda: None
        ),
        # Before the test's own incident: its webhooks may be those that make PagerDuty switch the subscription off.
        connection_ping.CHECK: ping_of(settings, rulebook, watch, stores, pause),
        connection_test.CHECK: _test_event(settings, transport, pause),
        "truthvouch_key": _truthvouch_key(settings, rulebook, transport),
        "deliveries": partial(_deliveries, stores),
    }
    try:
        yield ConnectionTest(partial(examine_each, looks))
    finally:
        transport.close()
        stores.close()


def _account_looks(settings: Settings, rulebook: Rulebook, transport: Transport) -> Mapping[str, Look]:
    account = account_of(settings, transport)
    return {
        "pagerduty_key": partner_checks.key(
            "PagerDuty",
            api_key_of(settings),
            account.accepts_key if account else None,
            settings.pagerduty.api_url,
        ),
        partner_checks.SERVICE: partner_checks.services(
            service_ids(settings, rulebook), settings.via(rulebook), account.service if account else None
        ),
        **people_looks(settings, rulebook, account),
    }


def _test_event(settings: Settings, transport: Transport, pause: Callable[[float], None]) -> Look:
    pagerduty = settings.pagerduty
    events = incidents = None
    if pagerduty.integration_key:
        events = EventsApi(transport, pagerduty.events_url, pagerduty.integration_key)
    if pagerduty.api_key:
        incidents = rest(settings, transport)
    draft = connection_test.draft(uuid.uuid4().hex, pagerduty.service_id)
    integration_key = place("pagerduty.integration_key", "PAGERDUTY_INTEGRATION_KEY", settings.in_file)
    return connection_test.TestEvent(draft, events, incidents, pause, integration_key, api_key_of(settings))


def _deliveries(stores: Checkup) -> Iterable[Finding]:
    """Whether the webhooks of both sides come and are taken; the ping says where there is no store to ask."""
    try:
        stores.check_there()
    except StoreUnavailable:
        return ()
    return tuple(vital_signs(Report(deliveries(stores.vitals.read(), datetime.now(UTC)))))


def _truthvouch_key(settings: Settings, rulebook: Rulebook, transport: Transport) -> Look:
    truthvouch = settings.truthvouch
    alerts = AlertsApi(transport, truthvouch.api_url, truthvouch.api_key or "", lambda: rulebook.calls)
    ask = (lambda: alerts.page(1)) if truthvouch.api_key else None
    where = place("truthvouch.api_key", "TRUTHVOUCH_API_KEY", settings.in_file)
    return partner_checks.key("TruthVouch", where, ask, truthvouch.api_url)
