"""Reconciliation, wired: the worker's round, and the run of a command."""

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from app.bootstrap.common import bell, live_rulebook
from app.bootstrap.partners import BudgetOf, command_budgets, partners
from app.domain.names import Source
from app.domain.words import Word
from app.ports import Asked, Delivery, Round, RulebookSource
from app.services.reconcile import Reconcile
from app.services.reconcile_run import Purse
from app.services.rulebook import LiveRulebook
from app.settings import Settings
from app.store import own_mail
from app.store.allowance import HourlyAllowance
from app.store.database import Database, check_made, open_bridge, open_inbox
from app.store.inbox import ClosableInbox, open_door
from app.store.marks import StoredMarks
from app.store.open_links import StoredOpenLinks
from app.store.postbox import StoredPostbox

ALLOWANCE = "reconcile.truthvouch"
"""Mark: the calls to TruthVouch that reconciliations made, of every process."""

INBOX_PATIENCE = timedelta(seconds=5)
"""While deliveries wait longer than this to be taken in, nothing is read back."""

LEFT_TO_DELIVERIES = 0.5
"""The share of each budget's burst that looks leave to pages: they are in no hurry."""


def round_of(
    settings: Settings, rulebook: LiveRulebook, database: Database, budget_of: BudgetOf, asked: Asked
) -> Round | None:
    """The worker's reconciliation: at its start, then every so many seconds, and whenever somebody asked.

    With ``BRIDGE_RECONCILE_SECONDS=0`` only when somebody asked. None where neither side can be read.
    """
    if not (settings.pagerduty.api_key or settings.truthvouch.api_key):
        return None
    made: list[Reconcile] = []
    post = StoredPostbox(database, open_inbox(settings.data_dir, settings.database_url))

    def run() -> None:
        if post.is_behind(datetime.now(UTC) - INBOX_PATIENCE):
            asked.ask()  # what waits in the inbox is not lost: to find it once more would only make more to take in
            return
        if not made:  # not before the first run: the engine starts sooner without it
            made.append(_reconcile(settings, rulebook, database, open_door(settings), budget_of))
        made[0]()

    every = settings.reconcile_seconds or math.inf
    return Round("reconcile", every, run, 0.0 if settings.reconcile_seconds else math.inf, asked=asked)


def call_quota(rulebook: RulebookSource, database: Database) -> Callable[[], bool]:
    """Pays for one read of an alert, whoever makes it, out of TruthVouch's hourly quota; False when nothing is left."""
    allowance = HourlyAllowance(ALLOWANCE, lambda: rulebook.current().reconcile_calls_per_hour)
    return Purse(database, allowance).take


@dataclass(frozen=True)
class ReconcileDesk:
    """What the command needs: a run, and what becomes of the mail it posted."""

    reconcile: Reconcile
    post: StoredPostbox


@contextmanager
def reconciliation(settings: Settings) -> Iterator[ReconcileDesk]:
    """A run on this store. Raises ``StoreUnavailable``, also where no bridge was ever started, and ``ConfigFault``."""
    check_made(settings.data_dir, settings.database_url)
    rulebook = live_rulebook(settings)
    bridge, door = open_bridge(settings.data_dir, settings.database_url), open_door(settings)
    inbox = open_inbox(settings.data_dir, settings.database_url)
    database = Database(bridge)
    try:
        yield ReconcileDesk(
            _reconcile(settings, rulebook, database, door, command_budgets(bridge)), StoredPostbox(database, inbox)
        )
    finally:
        door.close()
        inbox.dispose()
        bridge.dispose()


def _reconcile(
    settings: Settings, rulebook: LiveRulebook, database: Database, door: ClosableInbox, budget_of: BudgetOf
) -> Reconcile:
    from app import metrics

    far = partners(settings, rulebook, budget_of, LEFT_TO_DELIVERIES)
    return Reconcile(
        StoredOpenLinks(),
        database,
        StoredMarks(),
        far.incidents,
        far.alerts,
        lambda: _services(settings, rulebook),
        HourlyAllowance(ALLOWANCE, lambda: rulebook.current().reconcile_calls_per_hour),
        _poster(settings, door),
        metrics.meter(),
    )


def _services(settings: Settings, rulebook: RulebookSource) -> set[str]:
    """Every service the configuration names."""
    book = rulebook.current()
    named = {book.service_id, *(rule.service_id for rule in book.rules), *settings.pagerduty.service_keys}
    return {service for service in named if service}


def _poster(settings: Settings, door: ClosableInbox) -> Callable[[Sequence[Word], datetime], str]:
    """Puts words into the inbox as our own mail. The same words of the same look are the same mail."""
    ring = bell(settings).ring

    def post(words: Sequence[Word], now: datetime) -> str:
        body = own_mail.of_finding(*words)
        delivery_id = hashlib.sha256(body).hexdigest()
        if door.add(Delivery(Source.BRIDGE, delivery_id, now, body)):
            ring()
        return delivery_id

    return post
