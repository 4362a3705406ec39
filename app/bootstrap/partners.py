"""The far sides, each with its credential. None without one: what needs it is held until a person sets it."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

from app.pagerduty.events_api import EventsApi
from app.pagerduty.pacing import Pacing
from app.pagerduty.rest_api import RestApi
from app.ports import Budget
from app.services.rulebook import LiveRulebook
from app.settings import Settings
from app.transport import Transport
from app.truthvouch.api import AlertsApi


@dataclass(frozen=True)
class Partners:
    """Who can be called."""

    incidents: RestApi | None
    events: EventsApi | None
    alerts: AlertsApi | None


BudgetOf = Callable[[str, int], Budget]
"""What a key may call, by the key's name (never the key) and its calls a minute."""


def budgets(engine: Any) -> BudgetOf:
    """The budgets of every key over this store, the same object for the same key: on SQLite it is the only one."""
    from app.store.budgets import budget

    return cache(partial(budget, engine))


COMMANDS_SHARE = 4


def command_budgets(engine: Any) -> BudgetOf:
    """The budgets of a command beside a worker. On PostgreSQL it is the worker's own; on SQLite each process counts for
    itself, so a command takes a quarter on top, and both heed each other's pauses."""
    ours = budgets(engine)
    if engine.dialect.name != "sqlite":
        return ours
    return lambda name, per_minute: ours(name, per_minute and max(1, per_minute // COMMANDS_SHARE))


def partners(
    settings: Settings, rulebook: LiveRulebook, budget_of: BudgetOf | None = None, reserve: float = 0.0
) -> Partners:
    """The clients of both partners over one pool of connections.

    ``budget_of`` gives each PagerDuty key its budget of calls; without it every call goes at once. ``reserve`` (0..1):
    the share of each budget's burst that these clients leave to others, 0.5 for work that is in no hurry.
    """
    settings = settings.with_rulebook(rulebook.current())
    pagerduty, truthvouch, transport = settings.pagerduty, settings.truthvouch, Transport()

    def pacing(name: str, per_minute: int) -> Pacing:
        return Pacing(budget_of(name, per_minute) if budget_of else None, reserve)

    incidents = events = alerts = None
    if pagerduty.api_key:
        incidents = RestApi(
            transport,
            pagerduty.api_url,
            pagerduty.api_key,
            pagerduty.from_email or "",
            pagerduty.service_id,
            pacing("pagerduty-rest", pagerduty.rest_per_minute),
        )
    if pagerduty.integration_key or pagerduty.service_keys:
        events = EventsApi(
            transport,
            pagerduty.events_url,
            pagerduty.integration_key,
            pagerduty.service_keys,
            lambda key: pacing(f"pagerduty-events:{_fingerprint(key)}", pagerduty.events_per_minute),
        )
    if truthvouch.api_key:
        alerts = AlertsApi(transport, truthvouch.api_url, truthvouch.api_key, lambda: rulebook.current().calls)
    return Partners(incidents, events, alerts)


def _fingerprint(key: str) -> str:
    """Tells keys apart without telling them."""
    return hashlib.sha256(b"budget of " + key.encode("utf-8", "surrogatepass")).hexdigest()[:12]
