"""The far sides, each with its credential. None without one: what needs it is held until a person sets it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from app.config.settings import PagerDutySettings, Settings
from app.pagerduty.events_api import EventsApi
from app.pagerduty.rest_api import Pacing, RestApi
from app.ports import Budget
from app.remote.transport import Transport
from app.services.rules.rulebook import LiveRulebook
from app.store.budgets_left import REST_BUDGET, events_budget
from app.store.rate_limits import Budgets
from app.truthvouch.api import AlertsApi


@dataclass(frozen=True)
class Partners:
    """Who can be called."""

    incidents: RestApi | None
    events: EventsApi | None
    alerts: AlertsApi | None


BudgetOf = Callable[[str, int], Budget]
"""What a key may call, by the key's name (never the key) and its calls a minute."""
COMMANDS_SHARE = 4


def command_budgets(engine: Any) -> BudgetOf:
    """The budgets of a command beside a worker. On PostgreSQL it is the worker's own; on SQLite each process counts for
    itself, so a command takes a quarter on top, and both heed each other's pauses."""
    ours = Budgets(engine)
    if engine.dialect.name != "sqlite":
        return ours
    return lambda name, per_minute: ours(name, per_minute and max(1, per_minute // COMMANDS_SHARE))


def partners(
    settings: Settings, rulebook: LiveRulebook, transport: Transport, budget_of: BudgetOf | None, reserve: float
) -> Partners:
    """The clients of both partners.

    ``budget_of`` gives each PagerDuty key its budget of calls; without it every call goes at once. ``reserve`` (0..1):
    the share of each budget's burst that these clients leave to others.
    """
    pagerduty, truthvouch = settings.with_rulebook(rulebook.current()).pagerduty, settings.truthvouch

    def pacing(name: str, per_minute: int) -> Pacing:
        return Pacing(budget_of(name, per_minute) if budget_of else None, reserve)

    incidents = events = alerts = None
    if pagerduty.api_key:
        incidents = rest_api(pagerduty, transport, pacing(REST_BUDGET, pagerduty.rest_per_minute))
    if pagerduty.integration_key or pagerduty.service_keys:
        events = EventsApi(
            transport,
            pagerduty.events_url,
            pagerduty.integration_key,
            pagerduty.service_keys,
            lambda key: pacing(events_budget(key), pagerduty.events_per_minute),
        )
    if truthvouch.api_key:
        alerts = AlertsApi(transport, truthvouch.api_url, truthvouch.api_key, rulebook.calls)
    return Partners(incidents, events, alerts)


def rest_api(pagerduty: PagerDutySettings, transport: Transport, pacing: Pacing | None = None) -> RestApi:
    """Holds everything back where there is no API key."""
    key, sender = pagerduty.api_key or "", pagerduty.from_email or ""
    return RestApi(transport, pagerduty.api_url, key, sender, pagerduty.service_id, pacing or Pacing())
