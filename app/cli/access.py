"""``truthvouch tokens``, ``console-link`` and ``evidence``: who may look and act."""

import ipaddress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from app.cli import base, output
from app.config.settings import Settings
from app.domain.model.events import Way
from app.ports.access import Role

if TYPE_CHECKING:
    from app.ports.access import ConsoleSession, NamedToken

DEFAULT_MINUTES = 15
MAX_MINUTES = 24 * 60
TOKEN_COLUMNS = ("name", "role", "evidence", "created", "last used", "revoked")
SESSION_COLUMNS = ("logged in", "role", "evidence", "since", "last seen")


@click.command(name="console-link", short_help="Print a link that logs in to the console once.")
@click.option(
    "--minutes",
    default=DEFAULT_MINUTES,
    show_default=True,
    type=click.IntRange(1, MAX_MINUTES),
    help="How long it works.",
)
@base.json_option
def console_link(minutes: int, as_json: bool) -> None:
    """Print a link that logs in to the console once, as an admin who may read prompts and answers.

    A look at it spends nothing, so it may go through a chat; the button behind it does.
    """
    settings = base.read_settings()
    address, hint = _address(settings)
    from app.bootstrap.container import user

    with base.open_store(settings) as made:
        expires_at = datetime.now(UTC) + timedelta(minutes=minutes)
        url = f"{address}/console/link/{made.sessions.make_link(user(), timedelta(minutes=minutes), Way.CLI)}"
    if as_json:
        output.as_json({"url": url, "expires_at": expires_at})
    else:
        click.echo(url)
    click.echo(f"It works once, for {minutes} minutes.{hint}", err=True)


def _address(settings: Settings) -> tuple[str, str]:
    """Where browsers reach the bridge, without a slash at its end, and what is to be known about it."""
    from app.domain.model.subscription import HOOK_PATH

    if settings.public_url:
        return settings.public_url.removesuffix(HOOK_PATH), ""
    if settings.port == 0:
        base.refuse("PORT=0 takes any free port, so the bridge's address is not known here: set BRIDGE_PUBLIC_URL.")
    bound = [ipaddress.ip_address(each) for each in settings.bind]
    here = next((each for each in bound if each.is_loopback), None)
    if here is None and bound and not any(each.is_unspecified for each in bound):
        hint = f" The bridge listens on {bound[0]} alone (BIND): reach it by HTTPS and set BRIDGE_PUBLIC_URL."
        return f"http://{_host(bound[0])}:{settings.port}", hint
    hint = " Without BRIDGE_PUBLIC_URL it is for a browser on this machine, or an SSH tunnel to it."
    return f"http://{_host(here or ipaddress.ip_address('127.0.0.1'))}:{settings.port}", hint


def _host(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    return f"[{address}]" if address.version == 6 else str(address)


@click.group(short_help="Named tokens for people and scripts.")
def tokens() -> None:
    """Named tokens for people and scripts, and who is logged in to the console."""


@tokens.command(name="list", short_help="List the named tokens, and who is logged in.")
@base.json_option
def list_tokens(as_json: bool) -> None:
    """List the named tokens, those that are revoked too, and who is logged in to the console."""
    with base.open_store() as made:
        known, sessions = made.tokens.all(), made.sessions.all()
    if as_json:
        listed = {"tokens": [_token(one) for one in known], "sessions": [_session(one) for one in sessions]}
        output.as_json(listed)
        return
    output.listing([_token(one) for one in known], False, "No named tokens.", TOKEN_COLUMNS, _token_row)
    if sessions:
        click.echo()
        output.listing([_session(one) for one in sessions], False, "", SESSION_COLUMNS, lambda row: [*row.values()])


def _token(one: "NamedToken") -> dict[str, Any]:
    return asdict(one)


def _token_row(row: Any) -> list[object]:
    named = ("name", "role", "sees_evidence", "created_at", "last_used_at", "revoked_at")
    return [row[name] for name in named]


def _session(one: "ConsoleSession") -> dict[str, Any]:
    who = one.identity
    facts = {"name": who.name, "role": who.role, "sees_evidence": who.sees_evidence}
    return facts | {"created_at": one.created_at, "last_seen_at": one.last_seen_at}


@tokens.command(short_help="Make a token and print it, once.")
@click.argument("name")
@click.option("--role", required=True, type=click.Choice([role.value for role in Role]), help="What it may do.")
@click.option("--evidence", is_flag=True, help="It may read prompts and answers, too.")
@base.json_option
def add(name: str, role: str, evidence: bool, as_json: bool) -> None:
    """Make a token and print it. It is shown once: the store keeps a digest of it."""
    from app.bootstrap.container import user

    with base.open_store() as made, base.refusing(ValueError):
        token = made.tokens.add(name, Role(role), evidence, user(), Way.CLI)
    if token is None:
        base.not_so(f"A token {output.text(name)} is in use: `truthvouch tokens revoke {output.text(name)}` ends it.")
    if as_json:
        output.as_json({"name": name, "role": role, "sees_evidence": evidence, "token": token})
        return
    click.echo(token)
    click.echo("It is not shown again. Log in to the console with it, or send it as Authorization: Bearer.", err=True)


@tokens.command(short_help="Revoke a token, and log out whoever logged in with it.")
@click.argument("name")
@base.json_option
def revoke(name: str, as_json: bool) -> None:
    """Revoke a token, and log out whoever logged in with it.

    NAME may also be one that `truthvouch tokens list` shows as logged in: admin, or link: and a user.
    """
    from app.bootstrap.container import user

    with base.open_store() as made:
        revoked, ended = made.tokens.revoke(name, user(), Way.CLI)
    if as_json:
        output.as_json({"name": name, "revoked": revoked, "sessions_ended": ended})
    elif revoked or ended:
        click.echo(f"{'Revoked' if revoked else 'No such token'}; sessions ended: {ended}.")
    if not revoked and not ended:
        base.not_so(f"There is no token {output.text(name)} in use, and nobody is logged in by that name.")


@click.group(short_help="Evidence links that incidents carry.")
def evidence() -> None:
    """Evidence links that incidents carry (`console.evidence_links`): pages about one incident, without a login."""


@evidence.command(name="revoke", short_help="End evidence links that were made until now.")
@click.argument("wanted", metavar="ALERT_OR_INCIDENT...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Those of every incident.")
@base.json_option
def revoke_evidence(wanted: tuple[str, ...], every: bool, as_json: bool) -> None:
    """End the evidence links of these alerts or incidents (id or #number) that were made until now.

    It takes effect with the next request. An incident that is opened more than two minutes later carries a new link
    that works: until then, the clock of the machine that makes it may differ from this one's.
    """
    if bool(wanted) == every:
        base.refuse("Name alerts or incidents, or say --all.")
    from app.bootstrap.container import user

    with base.open_bridge() as made:
        if every:
            made.revoke_evidence.all(user(), Way.CLI)
        revoked = {one: list(made.revoke_evidence(one, user(), Way.CLI)) for one in wanted}
    unknown = [one for one, alerts in revoked.items() if not alerts]
    if as_json:
        output.as_json({"all": every, "alerts": sorted({alert for found in revoked.values() for alert in found})})
    elif every:
        click.echo("Revoked: every evidence link that was made until now.")
    else:
        for alert in dict.fromkeys(alert for found in revoked.values() for alert in found):
            click.echo(f"Revoked: the evidence links of alert {output.text(alert)}.")
    if unknown:
        base.not_so(f"{base.NOTHING_KNOWN} ({', '.join(map(output.text, unknown))})")
