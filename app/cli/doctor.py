"""``truthvouch doctor``: the health of the whole installation in one list."""

import json
import os
import shlex
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli.base import NOT_SO, read_settings, refuse
from app.domain.rulebook import Rulebook
from app.settings import Settings

if TYPE_CHECKING:
    from app.bootstrap.doctor import Doctor
    from app.services.doctor import Finding

TICKS = {"fine": "✔", "warning": "!", "wrong": "✘", "unknown": "?"}
MIN_HIDDEN_CHARS = 6
"""A shorter secret is part of too many words, and none worth the name."""


@click.command(short_help="Examine the whole installation: each fault, and what to do.")
@click.option("--repair", is_flag=True, help="Switch PagerDuty's webhook subscription on again and fill the gap.")
@click.option("--create-subscription", is_flag=True, help="Create PagerDuty's webhook subscription.")
@click.option("--yes", is_flag=True, help="Create it without asking.")
@click.option("--secret-file", type=click.Path(path_type=Path), help="Write the new secret here, not to the screen.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def doctor(repair: bool, create_subscription: bool, yes: bool, secret_file: Path | None, as_json: bool) -> None:
    """Examine everything: configuration, store, worker, both partners, the webhook subscription.

    Exit code 0: nothing is wrong (warnings allowed); 1: something is, or could not be looked at; 2: wrong use.
    """
    if secret_file and not create_subscription:
        refuse("--secret-file belongs to --create-subscription.")
    settings = read_settings()
    from app import logs
    from app.bootstrap.doctor import doctor as open_doctor

    logs.configure(settings.log_format, "CRITICAL")  # what went wrong is in the list
    logs.conceal(logs.hidden_in(settings))
    rulebook, broken = _rulebook(settings)
    with open_doctor(settings, rulebook, broken) as examiner:
        told: dict[str, Any] = {}
        if create_subscription:
            told["created"] = _create(examiner, settings, yes, secret_file, as_json)
        if repair:
            told |= _repair(examiner, settings)
        findings = examiner.examine()
        if told.get("mended"):
            findings += examiner.ping()
        if create_subscription:
            findings += (_not_in_force(told["created"], settings),)
    _tell(concealed(findings, settings), told, as_json)


def concealed(findings: "tuple[Finding, ...]", settings: Settings) -> "tuple[Finding, ...]":
    """The findings without any secret that a partner or a driver may have quoted."""
    from app import logs

    hidden = [secret for secret in logs.hidden_in(settings) if len(secret) >= MIN_HIDDEN_CHARS]

    def conceal(text: str) -> str:
        for secret in hidden:
            text = text.replace(secret, "***")
        return text

    return tuple(replace(found, words=conceal(found.words), todo=conceal(found.todo)) for found in findings)


def _rulebook(settings: Settings) -> tuple[Rulebook, str]:
    """``bridge.yaml``, or the defaults and why it was refused."""
    from app import configfile
    from app.errors import ConfigFault

    try:
        return settings.over(configfile.load(settings.config_path)), ""
    except ConfigFault as fault:
        return settings.over(Rulebook()), str(fault)


def _repair(examiner: "Doctor", settings: Settings) -> dict[str, Any]:
    from app.ports import StoreUnavailable

    if not settings.pagerduty.api_key:
        refuse("PAGERDUTY_API_KEY is not set: nothing can be repaired without it.")
    try:
        return {"mended": list(examiner.repair().mended)}
    except StoreUnavailable as fault:
        return {"mended": ["unknown"], "not_reconciled": f"Run `truthvouch reconcile`: {fault}"}


def _tell(findings: "tuple[Finding, ...]", told: dict[str, Any], as_json: bool) -> None:
    from app.services.doctor import is_well

    well = is_well(findings)
    if as_json:
        shown = [asdict(finding) for finding in findings]
        click.echo(json.dumps({"well": well, "checks": shown, **told}, default=str))
    else:
        for code in told.get("mended", ()):
            click.echo(f"mended    {code}; a reconciliation fills the gap")
        if "not_reconciled" in told:
            click.echo(told["not_reconciled"], err=True)
        for finding in findings:
            click.echo(line(finding))
        good = "Nothing else is wrong." if "created" in told else "Nothing is wrong."
        click.echo(f"\n{good}" if well else "\nSomething is wrong, or could not be looked at.")
    sys.exit(0 if well else NOT_SO)


def line(finding: "Finding") -> str:
    """A finding for people: a sign, the check, and what to do."""
    code = "" if finding.state == "fine" else f"{finding.code}: "
    todo = f"\n      → {finding.todo}" if finding.todo else ""
    return f"{TICKS[finding.state]} {finding.check}  {code}{finding.words}{todo}"


# ------------------------------------------------------------------------------------------------ a new subscription


def _create(
    examiner: "Doctor", settings: Settings, yes: bool, secret_file: Path | None, as_json: bool
) -> dict[str, str]:
    """Create it, and let go of its secret exactly once."""
    from app.domain.outcome import Done

    if not settings.pagerduty.api_key:
        refuse("PAGERDUTY_API_KEY is not set: a subscription cannot be created without it.")
    if examiner.wanted.url is None:
        refuse("BRIDGE_PUBLIC_URL is not set: PagerDuty has to be told where to send its webhooks.")
    _confirm(examiner, yes, as_json)
    kept = _SecretFile(secret_file) if secret_file else None  # first: a secret is shown once, so it needs its place
    reply = examiner.create()
    if not isinstance(reply, Done):
        if kept:
            kept.give_back()
        unclear = " It may exist all the same: look before trying again." if getattr(reply, "unclear", False) else ""
        click.echo(f"The subscription was not created ({_why(reply)}).{unclear}", err=True)
        sys.exit(NOT_SO)
    made = {"subscription_id": reply.value.subscription.subscription_id}
    if kept:
        kept.take(reply.value.secret)
        made["secret_file"] = str(secret_file)
    else:
        made["secret"] = reply.value.secret
    if not as_json:
        _tell_creation(made, settings)
    return made


def _why(reply: Any) -> str:
    detail = getattr(reply, "detail", "")
    return f"{reply.reason}: {detail}" if detail else str(reply.reason)


def _confirm(examiner: "Doctor", yes: bool, as_json: bool) -> None:
    there = [one.subscription_id for one in examiner.ours()]
    if there:
        click.echo(
            f"PagerDuty sends here already ({', '.join(there)}); a second one is for changing a secret.", err=True
        )
    if yes:
        return
    if as_json:
        refuse("--json asks nothing: add --yes.")
    click.confirm(f"Create a webhook subscription that sends to {examiner.wanted.url}?", abort=True, err=True)


def _tell_creation(made: dict[str, str], settings: Settings) -> None:
    click.echo(f"created   subscription {made['subscription_id']}")
    if "secret" in made:
        click.echo(f"secret    {made['secret']}")
        click.echo("          It is shown this once and kept nowhere.")
    else:
        click.echo(f"secret    in {made['secret_file']}")
    click.echo(f"          {_next_step(made, settings)}\n")


def _next_step(made: dict[str, str], settings: Settings) -> str:
    """Where the secret goes: to the others. The variable would beat the file, and with it the secrets in it."""
    secrets_are_in_file = "pagerduty.webhook_secrets" in settings.in_file
    keys_are = not settings.pagerduty.webhook_secrets and "pagerduty.api_key" in settings.in_file
    if secrets_are_in_file or keys_are:
        source = f" < {shlex.quote(made['secret_file'])}" if "secret_file" in made else ""
        command = f"truthvouch config pagerduty --webhook-secret -{source}"
        return f"Run `{command}`, which puts it first in bridge.yaml, and restart."
    return "Put it first in PAGERDUTY_WEBHOOK_SECRETS, keep the others behind it, and restart."


def _not_in_force(made: dict[str, str], settings: Settings) -> "Finding":
    """PagerDuty signs with the new secret at once; no process knows it before it is in its place and restarted."""
    from app.services.doctor import Finding, State

    words = (
        f"The secret of subscription {made['subscription_id']} is not in force yet: until it is, its deliveries are "
        "refused, and three of them make PagerDuty switch it off."
    )
    return Finding("pagerduty_secrets", State.WARNING, "secret_not_in_force", words, _next_step(made, settings))


class _SecretFile:
    """A new file that only we can read. Exits with wrong use when it is there already."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            refuse(f"{path} is there already and is not written over.")
        except OSError as fault:
            refuse(f"{path} cannot be written: {fault.strerror}")

    def take(self, secret: str) -> None:
        """Write it. Should that fail, the screen is its last place."""
        try:
            with os.fdopen(self._descriptor, "w", encoding="utf-8") as file:
                file.write(secret + "\n")
        except OSError as fault:
            click.echo(f"{self._path} could not be written ({fault.strerror}), so here it is:\n{secret}")

    def give_back(self) -> None:
        """There is nothing to keep after all."""
        os.close(self._descriptor)
        self._path.unlink(missing_ok=True)
