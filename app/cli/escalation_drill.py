"""``truthvouch escalation drill``: a real incident that says it is none goes up the real levels."""

import signal
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from app.cli import tables
from app.cli.asking import at_the_desk, json_option
from app.cli.base import NOT_SO, check_config, read_settings, refuse

if TYPE_CHECKING:
    from app.domain.rulebook import Rulebook
    from app.services.escalate_drill import Scene

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
@json_option
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
    settings = read_settings()
    book = check_config(settings)
    if not settings.pagerduty.api_key or not settings.pagerduty.from_email:
        refuse("A drill needs PAGERDUTY_API_KEY and PAGERDUTY_FROM_EMAIL: moves go through the REST API.")
    scene = _scene(book, policy_id, minutes_per_level or MINUTES, levels, service_id)
    if not yes:
        where = f"policy {scene.policy_id}" if scene.policy_id else "the service's own policy"
        click.confirm(f"This pages whoever is on call on {where}. Go on?", abort=True, err=True)
    sys.exit(0 if _play(scene, as_json) else NOT_SO)


def _scene(
    book: "Rulebook", policy_id: str | None, minutes: float, levels: int | None, service_id: str | None
) -> "Scene":
    from app.domain.names import IncidentKey
    from app.services.escalate_drill import Scene

    service = service_id or book.service_id
    if not service:
        refuse("On which service? Say --service, or set PAGERDUTY_SERVICE_ID.")
    count = levels or len(book.escalation.levels) or LEVELS
    key = IncidentKey(f"drill-{uuid.uuid4().hex}")
    return Scene(key, service, policy_id or book.escalation.policy_id, (minutes,) * count)


def _play(scene: "Scene", as_json: bool) -> bool:
    """Whether it went well."""
    from app.bootstrap.escalation import ladder
    from app.services.escalate_drill import PASSED, Drill, NoPolicy, NotClosed, NotFound, NotOpened

    told: list[dict[str, Any]] = []
    outcome, end = "interrupted", " The incident is resolved."
    with at_the_desk() as desk, ladder(read_settings()) as rungs:
        if not desk.operate.is_anybody_there():
            click.echo(
                "No worker is running, so nothing would move; nobody was paged. Start the bridge first.", err=True
            )
            return False
        assert rungs.incidents is not None
        try:
            with _terminated_as_interrupted():
                play = Drill(rungs.incidents, desk.operate, desk.overview, policies=rungs.account)
                outcome = play(scene, _teller(told, as_json))
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
        except NoPolicy as fault:
            outcome = "policy_not_found"
            end = f" Nothing was opened with {fault}, and nobody was paged."
        except NotOpened as fault:
            refuse(f"PagerDuty did not open the incident: {fault}. Nobody was paged; `truthvouch doctor` tells more.")
        except NotFound as fault:
            refuse(
                f"PagerDuty did not say whether it opened the incident, and does not list it. It MAY BE OPEN: look for "
                f"[DRILL] in PagerDuty (incident key {fault}) and resolve it."
            )
        except NotClosed as fault:
            refuse(f"The incident {fault} is STILL OPEN: resolve it in PagerDuty.")
    if as_json:
        tables.as_json({"outcome": outcome, "passed": outcome in PASSED, "steps": told})
    else:
        click.echo(OUTCOMES.get(outcome, f"It ended: {outcome}.") + end)
    return outcome in PASSED


def _teller(told: list[dict[str, Any]], as_json: bool) -> Any:
    def tell(event: str, facts: Mapping[str, Any]) -> None:
        told.append({"event": event, **facts})
        if not as_json:
            at = facts.get("at")
            said = " ".join(f"{name}={tables.text(value)}" for name, value in facts.items() if name != "at")
            click.echo(f"{at:%H:%M:%S}Z  {event:<22} {said}" if at else f"{'':<9}  {event:<22} {said}")

    return tell


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM ends a drill as Ctrl-C does: an incident that pages people must not stay behind."""

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
