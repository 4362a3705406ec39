"""``truthvouch escalation``: what goes up when, who is on call there, and a drill that shows it."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli import tables
from app.cli.asking import QUIET, ask, at_the_desk, json_option
from app.cli.base import NOT_SO, check_config, read_settings, refuse
from app.cli.escalation_drill import drill
from app.domain.words import WishVerb

if TYPE_CHECKING:
    from app.bootstrap.escalation import Ladder
    from app.domain.account import OnCall
    from app.domain.escalation_plan import Planned
    from app.services.escalate_plan import Outlook

HEAD = ("incident", "alert", "state", "level", "due", "because", "policy", "asked by")
PLAN = ("level", "when", "what happens", "on call there now", "description")

incident = click.argument("incident", metavar="INCIDENT")


@click.group()
def escalation() -> None:
    """Escalation of incidents that nobody acknowledges."""


escalation.add_command(drill)


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
        ask(desk, WishVerb.ESCALATE, [incident], as_json, CANCELLING)


@escalation.command()
@incident
@click.option("--minutes", "minutes", multiple=True, required=True, type=float, help="To wait; once for each level.")
@click.option("--policy", "policy_id", help="The policy to put it on. Without one it stays on its own and rises.")
@click.option("--raise-urgency", is_flag=True, help="Escalate an incident of low urgency too, raised to high first.")
@json_option
def arm(incident: str, minutes: tuple[float, ...], policy_id: str | None, raise_urgency: bool, as_json: bool) -> None:
    """Escalate any incident unless somebody acknowledges it, from now on, instead of what was planned for it."""
    from app.services.escalate_wish import arming

    try:
        detail = arming(policy_id, minutes, raise_urgency=raise_urgency)
    except ValueError as fault:
        refuse(str(fault))
    with at_the_desk() as desk:
        ask(desk, WishVerb.ESCALATE, [incident], as_json, detail)


@escalation.command()
@click.argument("target", metavar="ALERT_OR_INCIDENT|ALERT.json")
@json_option
def plan(target: str, as_json: bool) -> None:
    """Tell which level comes when, and who is on call there now.

    Of an incident under way by its own clock, of anything else by a clock that starts when PagerDuty confirms it.
    """
    from app import logs

    settings = read_settings()
    check_config(settings)
    logs.configure(settings.log_format, QUIET)
    from app.bootstrap.escalation import ladder

    with ladder(settings) as rungs:
        outlook = _of_file(rungs, target) if _is_file(target) else _of_store(rungs, target)
        on_call = {policy: _on_call(rungs, policy) for policy in {step.policy_id for step in outlook.steps}}
        planned = [_planned(outlook, step, on_call[step.policy_id]) for step in outlook.steps]
    if as_json:
        tables.as_json({**outlook.facts, "levels": planned})
    else:
        _tell(outlook, planned)
    sys.exit(0 if planned else NOT_SO)


def _is_file(target: str) -> bool:
    return target == "-" or target.endswith(".json")


def _of_file(rungs: "Ladder", target: str) -> "Outlook":
    """An alert that has not happened."""
    from app.services.escalate_plan import of_alert

    try:
        body = sys.stdin.buffer.read() if target == "-" else Path(target).read_bytes()
    except OSError as fault:
        refuse(f"{target} cannot be read: {fault.strerror}")
    alert = rungs.read_alert(body)
    if alert is None:
        refuse(f"{target} holds no alert: write what TruthVouch would send, its alert object or its whole delivery.")
    return of_alert(rungs.rulebook, alert, rungs.now())


def _of_store(rungs: "Ladder", target: str) -> "Outlook":
    from app.services.escalate_plan import of_matter

    with at_the_desk() as desk:
        outlook = of_matter(rungs.rulebook, desk.overview, target, rungs.incidents)
    if outlook is None:
        click.echo("The bridge knows no such alert or incident.", err=True)
        sys.exit(NOT_SO)
    return outlook


def _planned(outlook: "Outlook", step: "Planned", on_call: "tuple[OnCall, ...] | None") -> dict[str, Any]:
    from app.domain.escalation_plan import who

    return {
        "level": step.level,
        "at": step.at if outlook.real else None,
        "after_seconds": (step.at - outlook.start).total_seconds(),
        "policy_id": step.policy_id,
        "policy_level": step.to_level,
        "puts_on_policy": step.puts,
        "on_call": None if on_call is None else list(who(step, on_call)),
        "description": step.description,
    }


def _on_call(rungs: "Ladder", policy_id: str | None) -> "tuple[OnCall, ...] | None":
    """Who is on call on that policy; None where nobody can tell."""
    from app.domain.outcome import Done

    if rungs.account is None or not policy_id:
        return None
    reply = rungs.account.on_call(policy_id)
    return reply.value if isinstance(reply, Done) else None


def _tell(outlook: "Outlook", planned: list[dict[str, Any]]) -> None:
    click.echo(outlook.words)
    if planned:
        tables.table(PLAN, [_line(step) for step in planned])


def _line(step: Mapping[str, Any]) -> list[object]:
    when = step["at"] or f"T+{tables.span(step['after_seconds'])}"
    policy = tables.text(step["policy_id"]) if step["policy_id"] else "its policy"
    what = f"put on {policy}, level {step['policy_level']}" if step["puts_on_policy"] else ""
    what = what or f"raised to level {step['policy_level']} of {policy}"
    people = step["on_call"]
    who = "unknown" if people is None else ", ".join(people) or "NOBODY: skipped at once"
    return [step["level"], when, what, who, step["description"]]


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
