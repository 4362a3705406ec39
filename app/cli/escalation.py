"""``truthvouch escalation``: which level comes when, who is on call there, and a drill, in which a real incident that
says it is none goes up the real levels.
"""

import sys
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli import base, output
from app.domain.model.events import CommandType
from app.domain.model.types import IncidentId, IncidentKey, number_meant

if TYPE_CHECKING:
    from app.bootstrap.container import Container
    from app.domain.escalation.steps import UpcomingLevel
    from app.domain.model.pagerduty_account import OnCall
    from app.domain.rules.rulebook import Rulebook
    from app.ports import Incidents
    from app.services.operator.escalation_check import Outlook, Scene


# ----------------------------------------------------------------------------------------------------- escalation plan

PLAN = ("level", "when", "what happens", "on call there now", "description")


@click.command(short_help="Show which level comes when, and who is on call then.")
@click.argument("target", metavar="ALERT_OR_INCIDENT|ALERT.json")
@base.json_option
def plan(target: str, as_json: bool) -> None:
    """Show which level comes when, and who is on call there now, by the rules and silences in force.

    Of an incident under way by its own clock, of anything else by a clock that starts when PagerDuty confirms it.
    """
    settings = base.read_config()[0]
    base.log_only(base.QUIET, settings)
    from app.bootstrap.container import Container

    with Container(settings) as made:
        rulebook = made.rulebook.current()
        is_file = target == "-" or target.endswith(".json")
        outlook = _of_file(rulebook, target) if is_file else _of_store(rulebook, target)
        on_call = {policy: _on_call(made, policy) for policy in {step.policy_id for step in outlook.steps}}
        planned = [_planned(outlook, step, on_call[step.policy_id]) for step in outlook.steps]
    if as_json:
        output.as_json({**outlook.facts, "levels": planned})
    else:
        click.echo(outlook.message)
        if planned:
            output.table(PLAN, map(_line, planned))
    sys.exit(0 if planned else base.NOT_SO)


def _of_file(rulebook: "Rulebook", target: str) -> "Outlook":
    """An alert that has not happened."""
    from app.bootstrap.rules import alert_in
    from app.services.operator.escalation_check import of_alert

    try:
        body = sys.stdin.buffer.read() if target == "-" else Path(target).read_bytes()
    except OSError as fault:
        base.refuse(f"{target} cannot be read: {fault.strerror}")
    alert = alert_in(body)
    if isinstance(alert, str):
        base.refuse(
            f"{target} holds no alert: write what TruthVouch would send, its alert object or its whole delivery."
        )
    return of_alert(rulebook, alert, datetime.now(UTC))


def _of_store(rulebook: "Rulebook", target: str) -> "Outlook":
    from app.services.operator.escalation_check import of_alert_or_incident

    with base.open_store() as made:
        incidents = made.incidents
        outlook = of_alert_or_incident(rulebook, made.overview, target, incidents)
        if outlook is None and (incident_id := _numbered(incidents, target)):
            outlook = of_alert_or_incident(rulebook, made.overview, incident_id, incidents)
    if outlook is None:
        base.not_so(base.NOTHING_KNOWN)
    return outlook


def _numbered(incidents: "Incidents | None", target: str) -> str | None:
    """The id of a number that no link has: an incident that is no alert's may have been armed by hand."""
    from app.domain.model.outcome import Done

    number = number_meant(target)
    if number is None or incidents is None:
        return None
    reply = incidents.get(IncidentId(str(number)))
    return reply.value.incident_id if isinstance(reply, Done) else None


def _planned(outlook: "Outlook", step: "UpcomingLevel", on_call: "tuple[OnCall, ...] | None") -> dict[str, Any]:
    from app.domain.escalation.steps import who

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


def _on_call(made: "Container", policy_id: str | None) -> "tuple[OnCall, ...] | None":
    """Who is on call on that policy; None where nobody can tell."""
    from app.domain.model.outcome import Done

    if made.account is None or not policy_id:
        return None
    reply = made.account.on_call(policy_id)
    return reply.value if isinstance(reply, Done) else None


def _line(step: Mapping[str, Any]) -> list[object]:
    when = step["at"] or f"T+{output.duration(step['after_seconds'])}"
    policy = output.text(step["policy_id"]) if step["policy_id"] else "its policy"
    what = f"put on {policy}, level {step['policy_level']}" if step["puts_on_policy"] else ""
    what = what or f"raised to level {step['policy_level']} of {policy}"
    people = step["on_call"]
    who = "unknown" if people is None else ", ".join(people) or "NOBODY: skipped at once"
    return [step["level"], when, what, who, step["description"]]


# ---------------------------------------------------------------------------------------------------- escalation drill

MINUTES, LEVELS = 1.0, 2

OUTCOMES = {
    "exhausted": "Every level was moved at its time.",
    "acknowledged": "Somebody acknowledged it, so nothing more moves: the drill has done what it should.",
    "resolved": "Somebody resolved it before the drill was over.",
    "nobody_on_call": "Nobody is on call at the last level: put somebody on its schedule and drill again.",
    "no_such_level": "The policy has fewer levels than bridge.yaml: take levels away here, or add some there.",
    "low_urgency": "PagerDuty made it an incident of low urgency, which is not escalated: see the service's urgency.",
    "policy_not_found": "PagerDuty knows no such policy: see --policy, or escalation.policy_id in bridge.yaml.",
    "late": "A level is more than a minute late: see `truthvouch escalation list` and the worker's log.",
    "not_armed": "The worker did not take it in: see the worker's log.",
}


@click.command(short_help="Page the people of a policy with a marked incident.")
@click.option("--policy", "policy_id", help="The policy to go up.  [default: escalation.policy_id]")
@click.option("--minutes-per-level", type=click.FloatRange(0, 60, min_open=True), help="[default: 1]")
@click.option("--levels", type=click.IntRange(1, 20), help="How many.  [default: those of bridge.yaml, else 2]")
@click.option("--service", "service_id", help="The service to open it on.  [default: the usual one]")
@click.option("--yes", is_flag=True, help="Do not ask.")
@base.json_option
def drill(
    policy_id: str | None,
    minutes_per_level: float | None,
    levels: int | None,
    service_id: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Page the people of a policy with an incident marked [DRILL], level after level, and resolve it at the end.

    Real people are paged. Ctrl-C ends the drill and resolves the incident.
    """
    from app.services.operator.escalation_check import Scene

    settings, book = base.read_config()
    if not settings.pagerduty.api_key or not settings.pagerduty.from_email:
        base.refuse("A drill needs PAGERDUTY_API_KEY and PAGERDUTY_FROM_EMAIL: moves go through the REST API.")
    service, policy = service_id or book.service_id, policy_id or book.escalation.policy_id
    if not service:
        base.refuse("On which service? Say --service, or set PAGERDUTY_SERVICE_ID.")
    minutes = (minutes_per_level or MINUTES,) * (levels or len(book.escalation.levels) or LEVELS)
    scene = Scene(IncidentKey(f"drill-{uuid.uuid4().hex}"), service, policy, minutes)
    if not yes:
        where = f"policy {scene.policy_id}" if scene.policy_id else "the service's own policy"
        click.confirm(f"This pages whoever is on call on {where}. Go on?", abort=True, err=True)
    sys.exit(0 if _play(scene, as_json) else base.NOT_SO)


def _play(scene: "Scene", as_json: bool) -> bool:
    """Whether it went well."""
    from app.services.operator.escalation_check import PASSED, Drill, NoPolicy, NotClosed, NotFound, NotOpened

    steps_done: list[dict[str, Any]] = []
    outcome, end = "interrupted", " The incident is resolved."
    with base.open_store() as made:
        if not made.operate.is_anybody_there():
            base.not_so("No worker is running, so nothing would move; nobody was paged. Start the bridge first.")
        assert made.incidents is not None
        try:
            base.leave_in_audit(made.settings, "drill", "incident", scene.key, "begun")
            with base.terminated_as_interrupted():
                play = Drill(made.incidents, made.operate, made.overview, policies=made.account)
                outcome = play(scene, _step_printer(steps_done, as_json))
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
        except NoPolicy as fault:
            outcome = "policy_not_found"
            end = f" Nothing was opened with {fault}, and nobody was paged."
        except NotOpened as fault:
            base.refuse(
                f"PagerDuty did not open the incident: {fault}. Nobody was paged; `truthvouch doctor` says more."
            )
        except NotFound as fault:
            base.refuse(
                f"PagerDuty did not say whether it opened the incident, and does not list it. It MAY BE OPEN: look for "
                f"[DRILL] in PagerDuty (incident key {fault}) and resolve it."
            )
        except NotClosed as fault:
            base.refuse(f"The incident {fault} is STILL OPEN: resolve it in PagerDuty.")
    if as_json:
        output.as_json({"outcome": outcome, "passed": outcome in PASSED, "steps": steps_done})
    else:
        click.echo(OUTCOMES.get(outcome, f"It ended: {outcome}.") + end)
    return outcome in PASSED


def _step_printer(steps_done: list[dict[str, Any]], as_json: bool) -> Any:
    def show_step(event: str, facts: Mapping[str, Any]) -> None:
        steps_done.append({"event": event, **facts})
        if not as_json:
            at = facts.get("at")
            said = " ".join(f"{name}={output.text(value)}" for name, value in facts.items() if name != "at")
            click.echo(f"{at:%H:%M:%S}Z  {event:<22} {said}" if at else f"{'':<9}  {event:<22} {said}")

    return show_step


# ---------------------------------------------------------------------------------------------------------- escalation

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
@base.json_option
def list_escalations(every: bool, limit: int, as_json: bool) -> None:
    """List those under way, the next due first."""
    with base.open_bridge() as made:
        rows = made.overview.escalation_rows(limit, every)
    names = ("incident_id", "alert_id", "state", "level", "due_at", "because", "policy_id", "by")
    output.listing(rows, as_json, "No escalations.", HEAD, itemgetter(*names))


@escalation.command()
@incident
@base.json_option
def cancel(incident: str, as_json: bool) -> None:
    """Escalate this incident no more; a reopen begins anew."""
    from app.services.escalation.target import CANCELLING

    with base.open_bridge() as made:
        base.ask(made, CommandType.ESCALATE, [_under_way(made, incident, as_json)], as_json, CANCELLING)


@escalation.command(short_help="Have the next level now.")
@incident
@click.option("--raise-urgency", is_flag=True, help="Raise an incident of low urgency to high first.")
@click.option("--moves", "saw", type=click.IntRange(0), metavar="NUMBER", help="As `escalation list --json` showed it.")
@base.json_option
def now(incident: str, raise_urgency: bool, saw: int | None, as_json: bool) -> None:
    """Have the next level now instead of at its time; the levels after it keep theirs. After the last level the
    incident rises once more on the policy that it is on. Nothing moves after an acknowledge or a resolve.

    Two who ask for the same level ask for one: --moves says which level you saw coming. Without it, a level that
    somebody had asked for in the ten seconds before is taken for the same.
    """
    from app.services.escalation.target import hurrying

    with base.open_bridge() as made:
        detail = hurrying(raise_urgency, saw)
        base.ask(made, CommandType.ESCALATE, [_under_way(made, incident, as_json)], as_json, detail)


@escalation.command(short_help="Escalate any incident unless somebody acknowledges it.")
@incident
@click.option("--minutes", "minutes", multiple=True, required=True, type=float, help="To wait; once for each level.")
@click.option("--policy", "policy_id", help="The policy to put it on. Without one it stays on its own and rises.")
@click.option("--raise-urgency", is_flag=True, help="Escalate an incident of low urgency too, raised to high first.")
@base.json_option
def arm(incident: str, minutes: tuple[float, ...], policy_id: str | None, raise_urgency: bool, as_json: bool) -> None:
    """Escalate any incident unless somebody acknowledges it, from now on, instead of what was planned for it.

    INCIDENT is its id or number. With PAGERDUTY_API_KEY, PagerDuty is asked whether it and the policy exist.
    """
    from app.services.escalation.target import arming

    try:
        detail = arming(policy_id, minutes, raise_urgency=raise_urgency)
    except ValueError as fault:
        base.refuse(str(fault))
    with base.open_store() as made:
        base.ask(made, CommandType.ESCALATE, [_target(made, incident, policy_id, as_json)], as_json, detail)


def _under_way(made: base.Opened, incident: str, as_json: bool) -> str:
    """The id of an incident that is escalated; a number is looked up, unless it is the id."""
    is_id = number_meant(incident) is None or made.overview.escalation(incident) is not None
    return incident if is_id else _target(made, incident, None, as_json)


def _target(made: base.Opened, incident: str, policy_id: str | None, as_json: bool) -> str:
    """The incident's id; ends with 1 when PagerDuty knows no such incident or policy."""
    from app.bootstrap.elsewhere import Elsewhere
    from app.domain.model.outcome import Refused
    from app.services.escalation.target import FindTarget, fit_for_an_id
    from app.services.operator.operator import CommandResult

    if not fit_for_an_id(incident):
        return incident  # it is refused for that, by whoever is asked
    find = FindTarget(None, None)  # from afar nobody is asked
    if not isinstance(made, Elsewhere):
        base.check_config(made.settings)
        find = FindTarget(made.incidents, made.account)
    found = find(incident, policy_id)
    if isinstance(found, Refused):
        base.show_outcomes([CommandResult(incident, "", found.reason)], as_json)
        sys.exit(base.NOT_SO)
    if found.value.unchecked:
        click.echo(f"Whether PagerDuty knows this could not be checked ({found.value.unchecked}).", err=True)
    return found.value.incident_id
