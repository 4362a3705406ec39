"""``truthvouch escalation plan``: which level comes when, and who is on call there now."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli import tables
from app.cli.asking import QUIET, UNKNOWN_MATTER, at_the_desk, json_option
from app.cli.base import NOT_SO, check_config, read_settings, refuse
from app.domain.names import number_meant

if TYPE_CHECKING:
    from app.bootstrap.escalation import Ladder
    from app.domain.account import OnCall
    from app.domain.escalation_plan import Planned
    from app.services.escalate_plan import Outlook

PLAN = ("level", "when", "what happens", "on call there now", "description")


@click.command()
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
        if outlook is None and (incident_id := _numbered(rungs, target)):
            outlook = of_matter(rungs.rulebook, desk.overview, incident_id, rungs.incidents)
    if outlook is None:
        click.echo(UNKNOWN_MATTER, err=True)
        sys.exit(NOT_SO)
    return outlook


def _numbered(rungs: "Ladder", target: str) -> str | None:
    """The id of a number that no link has: an incident that is no alert's may have been armed by hand."""
    from app.domain.names import IncidentId
    from app.domain.outcome import Done

    number = number_meant(target)
    if number is None or rungs.incidents is None:
        return None
    reply = rungs.incidents.get(IncidentId(str(number)))
    return reply.value.incident_id if isinstance(reply, Done) else None


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
