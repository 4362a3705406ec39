"""What scripts and ``truthvouch incidents`` ask of the bridge on this machine: of its store, and of its worker."""

from collections.abc import Sequence
from typing import NoReturn

from app.bootstrap.tools import desk
from app.domain.names import IncidentId
from app.domain.outcome import Done
from app.domain.words import WishVerb
from app.errors import NotSetUp, PartnerRefused, WrongUse
from app.ports import StoreUnavailable
from app.services.escalate_target import NUMBER_ONLY, FindTarget, Target
from app.services.escalate_wish import arming
from app.services.operate import WORDS, Granted
from app.settings import Settings


def alerts_of(settings: Settings, incident_ids: Sequence[str]) -> dict[str, list[str]]:
    """Alert ids by incident; empty where no bridge was ever started, or its store cannot be read."""
    try:
        with desk(settings) as here, here.overview.transactions.read() as tx:
            known = {ident: here.overview.records.on_incident(tx, IncidentId(ident)) for ident in incident_ids}
    except StoreUnavailable:
        return {}
    return {ident: [link.alert.alert_id for link in links] for ident, links in known.items() if links}


def escalate(settings: Settings, incident_id: str, minutes: float, policy_id: str) -> tuple[Granted, str]:
    """Have the worker put the incident (an id or a number) on this policy, unless somebody acknowledges it in that
    time. Besides what became of it: why PagerDuty could not be asked whether both exist, empty when it was.

    Raises ``WrongUse``, ``PartnerRefused`` when PagerDuty knows no such incident or policy, and ``NotSetUp`` where
    there is no store to keep it in.
    """
    try:
        detail = arming(policy_id, minutes)
    except ValueError as fault:
        raise WrongUse("bad_escalation", f"This cannot be escalated: {fault}.") from fault
    try:
        with desk(settings) as here:
            target = _target(settings, incident_id, policy_id)
            granted = here.operate(WishVerb.ESCALATE, target.incident_id, detail=detail)
    except StoreUnavailable as fault:
        no_bridge(settings, "The bridge's worker escalates", fault)
    if granted.outcome == "bad_request":
        raise WrongUse("bad_escalation", "This cannot be escalated.", granted.words)
    return granted, target.unchecked


def _target(settings: Settings, incident_id: str, policy_id: str) -> Target:
    from app.bootstrap.escalation import ladder

    with ladder(settings) as rungs:
        found = FindTarget(rungs.incidents, rungs.account)(incident_id, policy_id)
    if isinstance(found, Done):
        return found.value
    if found.reason == NUMBER_ONLY:
        raise WrongUse(NUMBER_ONLY, f"Incident {incident_id} is not escalated.", WORDS[NUMBER_ONLY])
    raise PartnerRefused(found.reason, f"Incident {incident_id} is not escalated.", WORDS[found.reason], found.status)


def no_bridge(settings: Settings, why: str, fault: Exception) -> NoReturn:
    """There is no store of a bridge here, or it cannot be read: ``NotSetUp``."""
    where = "the database of DATABASE_URL" if settings.database_url else f"BRIDGE_DATA_DIR ({settings.data_dir})"
    todo = "Start the bridge (make run), and use its BRIDGE_DATA_DIR or DATABASE_URL here."
    raise NotSetUp("no_bridge_store", f"{why}, and no store of a bridge can be used in {where}.", todo) from fault
