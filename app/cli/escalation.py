"""``truthvouch escalation``: what goes up when, who is on call there, and a drill that shows it."""

import sys
from typing import Any

import click

from app.cli import tables
from app.cli.asking import ask, at_the_desk, json_option, tell
from app.cli.base import NOT_SO, check_config, read_settings, refuse
from app.cli.escalation_drill import drill
from app.cli.escalation_plan import plan
from app.domain.names import number_meant
from app.domain.words import WishVerb

HEAD = ("incident", "alert", "state", "level", "due", "because", "policy", "asked by")

incident = click.argument("incident", metavar="INCIDENT")


@click.group()
def escalation() -> None:
    """Escalation of incidents that nobody acknowledges."""


escalation.add_command(drill)
escalation.add_command(plan)


@escalation.command(name="list")
@click.option("--all", "every", is_flag=True, help="Also those that are finished.")
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1, 100_000), help="How many at most.")
@json_option
def list_escalations(every: bool, limit: int, as_json: bool) -> None:
    """List those under way, the next due first."""
    with at_the_desk() as desk:
        rows = [_row(climb) for climb in desk.overview.escalations(limit, every)]
    if as_json:
        tables.as_json(rows)
    elif not rows:
        click.echo("No escalations.")
    else:
        names = ("incident_id", "alert_id", "state", "level", "due_at", "because", "policy_id", "by")
        tables.table(HEAD, [[row[name] for name in names] for row in rows])


@escalation.command()
@incident
@json_option
def cancel(incident: str, as_json: bool) -> None:
    """Escalate this incident no more; a reopen begins anew."""
    from app.services.escalate_wish import CANCELLING

    with at_the_desk() as desk:
        known = desk.overview.escalation(incident) is not None
        incident_id = incident if known or number_meant(incident) is None else _target(incident, None, as_json)
        ask(desk, WishVerb.ESCALATE, [incident_id], as_json, CANCELLING)


@escalation.command(short_help="Escalate any incident unless somebody acknowledges it.")
@incident
@click.option("--minutes", "minutes", multiple=True, required=True, type=float, help="To wait; once for each level.")
@click.option("--policy", "policy_id", help="The policy to put it on. Without one it stays on its own and rises.")
@click.option("--raise-urgency", is_flag=True, help="Escalate an incident of low urgency too, raised to high first.")
@json_option
def arm(incident: str, minutes: tuple[float, ...], policy_id: str | None, raise_urgency: bool, as_json: bool) -> None:
    """Escalate any incident unless somebody acknowledges it, from now on, instead of what was planned for it.

    INCIDENT is its id or number. With PAGERDUTY_API_KEY, PagerDuty is asked whether it and the policy exist.
    """
    from app.services.escalate_wish import arming

    try:
        detail = arming(policy_id, minutes, raise_urgency=raise_urgency)
    except ValueError as fault:
        refuse(str(fault))
    with at_the_desk() as desk:
        ask(desk, WishVerb.ESCALATE, [_target(incident, policy_id, as_json)], as_json, detail)


def _target(incident: str, policy_id: str | None, as_json: bool) -> str:
    """The incident's id; ends with 1 when PagerDuty knows no such incident or policy."""
    from app.bootstrap.escalation import ladder
    from app.domain.outcome import Refused
    from app.services.escalate_target import FindTarget
    from app.services.escalate_wish import fit_for_an_id
    from app.services.operate import Granted

    if not fit_for_an_id(incident):
        return incident  # it is refused for that, by whoever is asked
    settings = read_settings()
    check_config(settings)
    with ladder(settings) as rungs:
        found = FindTarget(rungs.incidents, rungs.account)(incident, policy_id)
    if isinstance(found, Refused):
        tell([Granted(incident, "", found.reason)], as_json)
        sys.exit(NOT_SO)
    if found.value.unchecked:
        click.echo(f"Whether PagerDuty knows this could not be checked ({found.value.unchecked}).", err=True)
    return found.value.incident_id


def _row(climb: Any) -> dict[str, Any]:
    return {
        "incident_id": climb.incident_id,
        "alert_id": climb.alert_id,
        "state": climb.state.value,
        "level": climb.next_level,
        "levels": len(climb.course.rungs),
        "due_at": climb.due_at,
        "because": climb.reason or climb.failing or None,
        "policy_id": climb.course.policy_id,
        "by": climb.by or "rulebook",
        "drill": climb.drill,
    }
