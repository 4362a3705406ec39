"""``truthvouch incidents``: open, acknowledge, resolve and look at incidents by hand, as ``PagerDutyHandler`` does."""

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from app.cli import tables
from app.cli.asking import QUIET, json_option
from app.cli.base import NOT_SO, read_settings, refuse

if TYPE_CHECKING:
    from app.bootstrap.handler import Hand
    from app.settings import Settings

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
@click.option("--policy", "policy_id", help="The escalation policy's id; else the service's own.")
@click.option("--priority", "priority_id", help="The priority's id.")
@click.option("--field", "fields", multiple=True, metavar="NAME=TEXT", help="A custom field; again for more.")
@click.option("--incident-key", help="Repeating the command with the same key never opens a second incident.")
@json_option
def create(
    title: str,
    description: str | None,
    service_id: str | None,
    urgency: str,
    alert_id: str | None,
    details: tuple[str, ...],
    policy_id: str | None,
    priority_id: str | None,
    fields: tuple[str, ...],
    incident_key: str | None,
    as_json: bool,
) -> None:
    """Open an incident. What is written here is sent as it is: no redaction."""
    from app.services.incidents_draft import Wanted

    about = {"alert_id": alert_id} if alert_id else {}
    wanted = Wanted(
        title=title,
        description=description,
        service_id=service_id,
        urgency=urgency,
        details=about | _pairs("--detail", details),
        escalation_policy_id=policy_id,
        priority_id=priority_id,
        incident_key=incident_key,
    )
    with _hand() as (hand, _):
        incident, missing = hand.create(wanted, _pairs("--field", fields), _keyed)
    for words in missing:
        click.echo(words, err=True)
    _tell(incident, as_json)


@incidents.command()
@incident_id
@click.option("--user", help="In whose name: the id or e-mail address of a user; else PAGERDUTY_FROM_EMAIL.")
@json_option
def acknowledge(incident_id: str, user: str | None, as_json: bool) -> None:
    """Acknowledge an incident. One that is resolved stays so."""
    with _hand() as (hand, _):
        incident = hand.acknowledge(_ident(incident_id), user)
    _tell(incident, as_json)
    if incident["status"] != "acknowledged":
        click.echo(_not_acknowledged(incident_id.strip(), incident["status"]), err=True)
        sys.exit(NOT_SO)


@incidents.command()
@incident_id
@click.option("--note", help="What was found: the resolution, and a note.")
@json_option
def resolve(incident_id: str, note: str | None, as_json: bool) -> None:
    """Resolve an incident."""
    with _hand() as (hand, _):
        incident = hand.resolve(_ident(incident_id), note)
    _tell(incident, as_json)
    sys.exit(0 if incident["status"] == "resolved" else NOT_SO)


@incidents.command(short_help="Tell the responders of an incident, once.")
@incident_id
@click.option("--message", required=True, help="What the responder should know.")
@click.option("--link", help="Where to look.")
@click.option("--user", "users", multiple=True, help="Whom to page, by id; again for more. Else whoever is assigned.")
@json_option
def notify(incident_id: str, message: str, link: str | None, users: tuple[str, ...], as_json: bool) -> None:
    """Tell the responders of an incident, once: a responder request or a status update, and a note."""
    with _hand() as (hand, _):
        told = hand.notify(_ident(incident_id), message, link, users)
    if as_json:
        tables.as_json({"incident_id": incident_id, "done": told.done, "users": told.user_ids, "ref": told.ref})
    else:
        click.echo(told.words)


@incidents.command(name="list", short_help="List the open incidents as PagerDuty has them.")
@click.option("--service", "services", multiple=True, help="A service's id; again for more. Else those configured.")
@json_option
def list_incidents(services: tuple[str, ...], as_json: bool) -> None:
    """List the open incidents of our services as PagerDuty has them, oldest first, and the alerts they are about."""
    from app.bootstrap.handler_bridge import alerts_of

    with _hand() as (hand, settings):
        found = hand.open_incidents(services)
        alerts = alerts_of(settings, [incident["id"] for incident in found])
    rows = [incident | {"alert_ids": alerts.get(incident["id"], [])} for incident in found]
    if as_json:
        tables.as_json(rows)
    elif not rows:
        click.echo("No open incidents.")
    else:
        tables.table(HEAD, map(_line, rows))


def _line(row: dict[str, Any]) -> list[object]:
    known = [row[name] for name in ("id", "incident_number", "status", "urgency", "created_at")]
    return [*known, row["alert_ids"], row["title"]]


@contextmanager
def _hand() -> Iterator[tuple["Hand", "Settings"]]:
    """What moves incidents. Exit code 1 when PagerDuty says no or nothing, 2 for wrong use or a missing setting."""
    from app import logs

    settings = read_settings()
    logs.configure(settings.log_format, QUIET)
    logs.conceal(logs.hidden_in(settings))
    from app.bootstrap.handler import Hand
    from app.errors import BridgeError, PartnerRefused, PartnerUnavailable

    hand = Hand(settings)
    try:
        yield hand, settings
    except (PartnerRefused, PartnerUnavailable) as fault:
        click.echo(fault, err=True)
        sys.exit(NOT_SO)
    except BridgeError as fault:
        refuse(str(fault))
    finally:
        hand.close()


def _ident(told: str) -> str:
    if not any(map(str.isalnum, told)):
        refuse("The incident's id is blank.")
    return told.strip()


def _pairs(option: str, told: tuple[str, ...]) -> dict[str, str]:
    if not all(one.partition("=")[0].strip() and "=" in one for one in told):
        refuse(f"{option} wants NAME=TEXT.")
    return dict(one.split("=", 1) for one in told)


def _keyed(key: str) -> str:
    return f"--incident-key {shlex.quote(key)}"


def _not_acknowledged(incident_id: str, status: str) -> str:
    if status == "resolved":
        said = f"{incident_id} is resolved already, and stays so: PagerDuty would open it again."
        return f"{said} For a new matter: truthvouch incidents create."
    return f"{incident_id} is {tables.text(status)}, not acknowledged: somebody else moved it. Ask again."


def _tell(incident: dict[str, Any], as_json: bool) -> None:
    if as_json:
        tables.as_json(incident)
        return
    named = ("id", "incident_number", "status", "urgency", "title", "html_url", "incident_key")
    tables.facts({name.removeprefix("incident_"): incident[name] for name in named})
