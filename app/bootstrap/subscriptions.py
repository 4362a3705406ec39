"""The worker's watch over PagerDuty's webhook subscriptions, and what the doctor shares with it."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial

from app.bootstrap.common import bell
from app.domain.names import Source
from app.domain.rulebook import Rulebook
from app.domain.subscription import Wanted
from app.domain.words import Wish, WishVerb
from app.pagerduty.rest_api import RestApi
from app.pagerduty.subscriptions import NEEDED_EVENTS, SubscriptionsApi
from app.ports import Delivery, Round
from app.services.rulebook import LiveRulebook
from app.services.subscriptions import WatchSubscriptions
from app.settings import Settings
from app.store import own_mail
from app.store.database import Database
from app.store.inbox import open_door
from app.store.marks import StoredMarks
from app.transport import Transport

WATCH_SECONDS = 900.0
"""How often the worker looks. What was lost while a subscription was off is what reconciliation finds anyway."""


def round_of(settings: Settings, rulebook: LiveRulebook, database: Database) -> Round | None:
    """The worker's watch: at its start and then every quarter of an hour, by the leading worker.

    None when nothing is to be looked at by itself (``BRIDGE_RECONCILE_SECONDS=0``) or no API key is set.
    """
    if not settings.reconcile_seconds or not settings.pagerduty.api_key:
        return None
    transport = Transport()

    def run() -> None:
        watch_over(settings, rulebook.current, database, transport)()

    return Round("subscriptions", WATCH_SECONDS, run)


def watch_over(
    settings: Settings, rulebook: Callable[[], Rulebook], database: Database, transport: Transport
) -> WatchSubscriptions:
    """The use case over the real PagerDuty."""
    return WatchSubscriptions(
        SubscriptionsApi(rest(settings.with_rulebook(rulebook()), transport).ask),
        lambda: wanted(settings, rulebook()),
        database,
        StoredMarks(),
        partial(ask_for_reconciliation, settings),
    )


def rest(settings: Settings, transport: Transport) -> RestApi:
    """The REST API for what is asked a few times a day: no budget of calls is kept for it."""
    pagerduty = settings.pagerduty
    return RestApi(transport, pagerduty.api_url, pagerduty.api_key or "", pagerduty.from_email or "")


def wanted(settings: Settings, rulebook: Rulebook) -> Wanted:
    """What PagerDuty should tell us: where, which events, of which services."""
    return Wanted(settings.public_url, NEEDED_EVENTS, service_ids(settings, rulebook))


def service_ids(settings: Settings, rulebook: Rulebook) -> tuple[str, ...]:
    """Every service that incidents are opened on, the usual one first."""
    chosen = (settings.with_rulebook(rulebook).pagerduty.service_id, *(rule.service_id for rule in rulebook.rules))
    return tuple(dict.fromkeys(filter(None, chosen)))


def ask_for_reconciliation(settings: Settings) -> None:
    """Put the wish into our own inbox, as any operator would. Raises ``StoreUnavailable``."""
    body = own_mail.of_wish(Wish(WishVerb.RECONCILE, by="subscriptions"))
    door = open_door(settings)
    try:
        door.add(Delivery(Source.BRIDGE, uuid.uuid4().hex, datetime.now(UTC), body))
    finally:
        door.close()
    bell(settings).ring()
