"""``truthvouch incidents``: open, acknowledge, resolve and look at incidents by hand, as ``PagerDutyHandler`` does."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import click

from app.cli import base, output
from app.domain.model.events import Way

if TYPE_CHECKING:
    from app.bootstrap.handler import PagerDutyActions

HEAD = ("incident", "number", "status", "urgency", "created", "alert", "title")

incident_id = click.argument("incident_id", metavar="INCIDENT")


@click.group(short_help="Open, acknowledge, resolve and list incidents by hand.")
def incidents() -> None:
    """Open, acknowledge, resolve and list incidents at PagerDuty by hand."""


@incidents.command()
@click.option("--title", required=True, help="One line that says what is wrong.")
@click.option("--description", help="More about it; the first line of the body.")
@click.option("--service", "service_id", help="The service's id; else PAGERDUTY_SERVICE_ID.")
@click.option("--urgency", type=click.Choice(["high", "low"]), default="high", show_default=True, help="high pages.")
@click.option("--alert", "alert_id", help="The TruthVouch alert it is about: a running bridge keeps the two in step.")
@click.option("--detail", "details", multiple=True, metavar="NAME=TEXT", help="A line of the body; again for more.")
@click.option("--policy", "escalation_policy_id", help="The escalation policy's id; else the service's own.")
@click.option("--priority", "priority_id", help="The priority's id.")
@click.option("--field", "fields", multiple=True, metavar="NAME=TEXT", help="A custom field; again for more.")
@click.option("--incident-key", help="Repeating the command with the same key never opens a second incident.")
@base.json_option
def create(
    alert_id: str | None, details: tuple[str, ...], fields: tuple[str, ...], as_json: bool, **wanted: Any
) -> None:
    """Open an incident. What is written here is sent as it is: no redaction."""
    from app.services.incidents.draft import Wanted

    about = {"alert_id": alert_id} if alert_id else {}
    asked = Wanted(details=about | _pairs("--detail", details), **wanted)
    with _actions() as actions:
        incident, missing = actions.create(asked, _pairs("--field", fields), _keyed)
    for message in missing:
        click.echo(message, err=True)
    _show(incident, as_json)


@incidents.command()
@incident_id
@click.option("--user", help="In whose name: the id or e-mail address of a user; else PAGERDUTY_FROM_EMAIL.")
@base.json_option
def acknowledge(incident_id: str, user: str | None, as_json: bool) -> None:
    """Acknowledge an incident. One that is resolved stays so."""
    with _actions() as actions:
        incident = actions.acknowledge(_ident(incident_id), user)
    _show(incident, as_json)
    if incident["status"] != "acknowledged":
        base.not_so(_not_acknowledged(incident_id.strip(), incident["status"]))


@incidents.command()
@incident_id
@click.option("--note", help="What was found: the resolution, and a note.")
@base.json_option
def resolve(incident_id: str, note: str | None, as_json: bool) -> None:
    """Resolve an incident."""
    with _actions() as actions:
        incident = actions.resolve(_ident(incident_id), note)
    _show(incident, as_json)
    sys.exit(0 if incident["status"] == "resolved" else base.NOT_SO)


@incidents.command(short_help="Message the responders of an incident, once.")
@incident_id
@click.option("--message", required=True, help="What the responder should know.")
@click.option("--link", help="Where to look.")
@click.option("--user", "users", multiple=True, help="Whom to page, by id; again for more. Else whoever is assigned.")
@base.json_option
def notify(incident_id: str, message: str, link: str | None, users: tuple[str, ...], as_json: bool) -> None:
    """Message the responders of an incident, once: a responder request or a status update, and a note."""
    with _actions() as actions:
        notified = actions.notify(_ident(incident_id), message, link, users)
    if as_json:
        output.as_json(
            {"incident_id": incident_id, "done": notified.done, "users": notified.user_ids, "ref": notified.ref}
        )
    else:
        click.echo(notified.message)


@incidents.command(name="list", short_help="List the open incidents as PagerDuty has them.")
@click.option("--service", "services", multiple=True, help="A service's id; again for more. Else those configured.")
@base.json_option
def list_incidents(services: tuple[str, ...], as_json: bool) -> None:
    """List the open incidents of our services as PagerDuty has them, oldest first, and the alerts they are about."""
    with _actions() as actions:
        found = actions.open_incidents(services)
        alerts = actions.alerts_of([incident["id"] for incident in found])
    rows = [incident | {"alert_ids": alerts.get(incident["id"], [])} for incident in found]
    names = ("id", "incident_number", "status", "urgency", "created_at", "alert_ids", "title")
    output.listing(rows, as_json, "No open incidents.", HEAD, itemgetter(*names))


@contextmanager
def _actions() -> Iterator["PagerDutyActions"]:
    """What moves incidents. Exit code 1 when PagerDuty says no or nothing, 2 for wrong use or a missing setting."""
    settings = base.read_settings()
    base.log_only(base.QUIET, settings)
    from app.bootstrap.handler import PagerDutyActions
    from app.errors import BridgeError, PartnerRefused, PartnerUnavailable

    actions = PagerDutyActions(settings, way=Way.CLI)
    try:
        yield actions
    except (PartnerRefused, PartnerUnavailable) as fault:
        base.not_so(str(fault))
    except BridgeError as fault:
        base.refuse(str(fault))
    finally:
        actions.close()


def _ident(given: str) -> str:
    if not any(map(str.isalnum, given)):
        base.refuse("The incident's id is blank.")
    return given.strip()


def _pairs(option: str, given: tuple[str, ...]) -> dict[str, str]:
    if not all(one.partition("=")[0].strip() and "=" in one for one in given):
        base.refuse(f"{option} must be NAME=TEXT.")
    return dict(one.split("=", 1) for one in given)


def _keyed(key: str) -> str:
    return f"--incident-key {shlex.quote(key)}"


def _not_acknowledged(incident_id: str, status: str) -> str:
    if status == "resolved":
        said = f"{incident_id} is resolved already, and stays so: PagerDuty would open it again."
        return f"{said} For a new incident: truthvouch incidents create."
    return f"{incident_id} is {output.text(status)}, not acknowledged: somebody else changed it. Repeat the command."


def _show(incident: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.as_json(incident)
        return
    named = ("id", "incident_number", "status", "urgency", "title", "html_url", "incident_key")
    output.facts({name.removeprefix("incident_"): incident[name] for name in named})
