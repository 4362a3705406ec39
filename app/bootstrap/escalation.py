"""Escalation, wired: what the intake arms, the leader's round, and what the commands look up and open."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from app.bootstrap.common import live_rulebook
from app.bootstrap.partners import BudgetOf, partners
from app.bootstrap.subscriptions import rest
from app.domain.alert import Alert
from app.domain.names import IncidentId
from app.domain.rulebook import Rulebook
from app.pagerduty.account import AccountApi
from app.pagerduty.responders import RespondersApi
from app.ports import Account, Incidents, Round, RulebookSource
from app.services.escalate import Desk, Escalate
from app.services.escalate_missed import ArmMissed, missed_round
from app.services.escalate_round import EscalationRound, escalation_round
from app.services.escalations import Escalations
from app.services.rulebook import LiveRulebook
from app.settings import Settings
from app.store.database import Database
from app.store.escalations import StoredClimbs
from app.store.links import StoredLinks
from app.transport import Transport


def escalations(rulebook: RulebookSource) -> Escalations:
    """What arms climbs and passes words by them."""
    return Escalations(StoredClimbs(), StoredLinks(), rulebook)


def round_of(settings: Settings, rulebook: LiveRulebook, database: Database, budget_of: BudgetOf) -> Round:
    """The leading worker's round over everything that is due."""
    made: list[Callable[[IncidentId], str]] = []

    def escalate(incident_id: IncidentId) -> str:
        if not made:  # not before the first that is due: most bridges start without
            made.append(_escalate(settings, rulebook, database, budget_of))
        return made[0](incident_id)

    return escalation_round(EscalationRound(database, StoredClimbs(), escalate))


def missed_round_of(rulebook: RulebookSource, database: Database) -> Round:
    """The leading worker's round over what an older worker, or nobody, armed."""
    return missed_round(ArmMissed(database, StoredClimbs(), escalations(rulebook)))


def _escalate(settings: Settings, rulebook: LiveRulebook, database: Database, budget_of: BudgetOf) -> Escalate:
    from app import metrics

    api = partners(settings, rulebook, budget_of).incidents
    desk = Desk(api, AccountApi(api.ask), RespondersApi(api.ask, api.change)) if api else None
    return Escalate(database, StoredClimbs(), StoredLinks(), desk, metrics.meter())


@dataclass(frozen=True)
class Ladder:
    """What ``truthvouch escalation`` needs besides the store: the rulebook in force, and PagerDuty."""

    rulebook: Rulebook
    incidents: Incidents | None
    """None without an API key."""
    account: Account | None

    def now(self) -> datetime:
        """Now."""
        return datetime.now(UTC)

    def read_alert(self, body: bytes) -> Alert | None:
        """The alert in a TruthVouch delivery, or an alert alone; None when there is none."""
        from app.bootstrap.rules import alert_in

        found = alert_in(body)
        return found if isinstance(found, Alert) else None


@contextmanager
def ladder(settings: Settings) -> Iterator[Ladder]:
    """For one command. Raises ``ConfigFault`` when ``bridge.yaml`` is broken."""
    rulebook = live_rulebook(settings).current()
    transport = Transport()
    api = rest(settings.with_rulebook(rulebook), transport) if settings.pagerduty.api_key else None
    try:
        yield Ladder(rulebook, api, AccountApi(api.ask) if api else None)
    finally:
        transport.close()
