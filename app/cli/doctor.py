"""``truthvouch doctor``: the health of the whole installation in one list."""

import os
import shlex
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli import base, output
from app.config.settings import Settings
from app.errors import ConfigFault

if TYPE_CHECKING:
    from app.bootstrap.diagnostics import Doctor
    from app.services.diagnostics.doctor import Finding

SIGNS = {"fine": ("✔", "green"), "warning": ("!", "yellow"), "wrong": ("✘", "red"), "unknown": ("?", "red")}
WEBHOOK_SECRETS = "pagerduty.webhook_secrets"
NOT_IN_FORCE = "not in force until the bridge is restarted"


@click.command(short_help="Examine the whole installation: each fault, and what to do.")
@click.option("--repair", is_flag=True, help="Switch PagerDuty's webhook subscription on again and fill the gap.")
@click.option("--create-subscription", is_flag=True, help="Create PagerDuty's webhook subscription.")
@click.option("--yes", is_flag=True, help="Create it without asking.")
@click.option("--write-secret", is_flag=True, help="Write the new secret into bridge.yaml, before the others.")
@click.option("--secret-file", type=click.Path(path_type=Path), help="Write the new secret here, not to the screen.")
@click.option("--self-test", is_flag=True, help="Open a test incident by the bridge's own key, and resolve it.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def doctor(
    repair: bool,
    create_subscription: bool,
    yes: bool,
    write_secret: bool,
    secret_file: Path | None,
    self_test: bool,
    as_json: bool,
) -> None:
    """Examine everything: configuration, store, worker, both partners, the webhook subscription.

    Exit code 0: nothing is wrong (warnings allowed); 1: something is, or could not be checked; 2: wrong use.
    """
    if (secret_file or write_secret) and not create_subscription:
        base.refuse("--secret-file and --write-secret belong to --create-subscription.")
    if secret_file and write_secret:
        base.refuse("Choose one: --secret-file or --write-secret.")
    settings = base.read_settings()
    if self_test and not settings.self_integration_key:
        base.refuse("BRIDGE_SELF_INTEGRATION_KEY is not set: there is nothing to test.")
    from app.bootstrap.diagnostics import Doctor, concealed, rulebook_or_fault
    from app.services.diagnostics.doctor import not_in_force

    base.log_only(base.SILENT, settings)  # what went wrong is in the list
    rulebook, broken = rulebook_or_fault(settings)
    with Doctor(settings, rulebook, broken) as examiner:
        extra: dict[str, Any] = {}
        if create_subscription:
            _check_writable(settings, broken, write_secret)
            _confirm(examiner, settings, yes, as_json)
            asks = not (yes or as_json or secret_file or write_secret or broken)
            write_secret = write_secret or (asks and _offer(settings))
            extra["created"] = _create(examiner, settings, write_secret, secret_file, as_json)
            base.leave_in_audit(settings, "create_subscription", "configuration", extra["created"]["subscription_id"])
        if repair:
            extra |= _repair(examiner, settings)
            base.leave_in_audit(settings, "repair_subscription", "configuration", "subscription")
        findings = examiner.examine()
        if self_test and settings.self_integration_key:
            findings += examiner.self_test(settings.self_integration_key)
        if extra.get("mended"):
            findings += examiner.ping()
        if create_subscription:
            made = extra["created"]
            pending = not_in_force(made["subscription_id"], _next_step(made, settings))
            findings = (*(found for found in findings if found.message != pending.message), pending)
    _show(concealed(findings, settings), extra, as_json)


def _repair(examiner: "Doctor", settings: Settings) -> dict[str, Any]:
    from app.ports import StoreUnavailable

    if not settings.pagerduty.api_key:
        base.refuse("PAGERDUTY_API_KEY is not set: nothing can be repaired without it.")
    try:
        return {"mended": list(examiner.repair().mended)}
    except StoreUnavailable as fault:
        return {"mended": ["unknown"], "not_reconciled": f"Run `truthvouch reconcile`: {fault}"}


def _show(findings: "tuple[Finding, ...]", extra: dict[str, Any], as_json: bool) -> None:
    from app.services.diagnostics.doctor import SECRET_NOT_IN_FORCE, is_well

    well = is_well(findings)
    if as_json:
        output.as_json({"well": well, "checks": [asdict(finding) for finding in findings], **extra})
    else:
        for code in extra.get("mended", ()):
            click.echo(f"mended    {code}; a reconciliation fills the gap")
        if "not_reconciled" in extra:
            click.echo(extra["not_reconciled"], err=True)
        for finding in findings:
            click.echo(line(finding))
        pending = any(finding.code == SECRET_NOT_IN_FORCE for finding in findings)
        good = f"A new secret is {NOT_IN_FORCE}. Nothing else is wrong." if pending else "Nothing is wrong."
        bad = "Something is wrong, or could not be checked."
        click.echo("\n" + (output.coloured(good, "green") if well else output.coloured(bad, "red")))
    sys.exit(0 if well else base.NOT_SO)


def line(finding: "Finding") -> str:
    """A finding for people: a sign, the check, and what to do."""
    code = "" if finding.state == "fine" else f"{finding.code}: "
    sign, colour = SIGNS[finding.state]
    head = f"{sign} {finding.check}"
    shown = output.hanging("  ", f"{finding.check}  {code}{finding.message}")[len(head) :]
    remedy = "\n" + output.hanging("      → ", finding.remedy) if finding.remedy else ""
    return output.coloured(head, colour) + shown + remedy


def _create(
    examiner: "Doctor", settings: Settings, write_secret: bool, secret_file: Path | None, as_json: bool
) -> dict[str, Any]:
    """Create it, and let go of its secret exactly once."""
    from app.domain.model.outcome import Done

    kept = _SecretFile(secret_file) if secret_file else None  # first: a secret is shown once, so it needs its place
    reply = examiner.create()
    if not isinstance(reply, Done):
        if kept:
            kept.give_back()
        unclear = " It may exist all the same: look before trying again." if getattr(reply, "unclear", False) else ""
        why = ": ".join(filter(None, (reply.reason, getattr(reply, "detail", ""))))
        base.not_so(f"The subscription was not created ({why}).{unclear}")
    made: dict[str, Any] = {"subscription_id": reply.value.subscription.subscription_id}
    if kept:
        kept.take(reply.value.secret)
        made["secret_file"] = str(secret_file)
    elif write_secret:
        made |= _written(settings.config_path, reply.value.secret)
    else:
        made["secret"] = reply.value.secret
    if not as_json:
        _show_creation(made, settings)
    return made


def _written(path: Path, secret: str) -> dict[str, Any]:
    """Put it before the others in ``bridge.yaml``. Should that fail, the screen is its last place."""
    from app.config import edit, schema

    try:
        changed = edit.set_values(path, {WEBHOOK_SECRETS: schema.before_others(path, [secret])})
    except ConfigFault as fault:
        click.echo(fault, err=True)
        return {"secret": secret}
    return {"written_to": str(path), "changed": list(changed)}


def _check_writable(settings: Settings, broken: str, write_secret: bool) -> None:
    """Exit code 2 for a secret that could not be written, or would not be in force where it was written."""
    if write_secret and broken:
        base.refuse(f"{broken}\nNothing is written into a broken file, so no subscription was created.")
    if write_secret and (variable := _variable()):
        base.refuse(
            f"{variable} is set in the environment and beats {WEBHOOK_SECRETS} in {settings.config_path}: a secret "
            f"written there would not be in force. Use --secret-file, and put it first where {variable} has the others."
        )


def _variable() -> str:
    """What beats the secrets in ``bridge.yaml``; empty where nothing does."""
    from app.config import schema

    return schema.overridden([WEBHOOK_SECRETS], os.environ).get(WEBHOOK_SECRETS, "")


def _offer(settings: Settings) -> bool:
    """Whether somebody at a terminal wants it written; not asked where it would not be in force."""
    if _variable() or not sys.stdin.isatty():
        return False
    where = f"into {settings.config_path}, before the others"
    return click.confirm(f"Write its secret {where}?", default=_belongs_in_file(settings), err=True)


def _confirm(examiner: "Doctor", settings: Settings, yes: bool, as_json: bool) -> None:
    if not settings.pagerduty.api_key:
        base.refuse("PAGERDUTY_API_KEY is not set: a subscription cannot be created without it.")
    if examiner.wanted.url is None:
        base.refuse("BRIDGE_PUBLIC_URL is not set: PagerDuty has to be told where to send its webhooks.")
    there = [one.subscription_id for one in examiner.ours()]
    if there:
        click.echo(
            f"PagerDuty sends here already ({', '.join(there)}); a second one is for changing a secret.", err=True
        )
    if not yes:
        question = f"Create a webhook subscription that sends to {examiner.wanted.url}?"
        base.confirm(question, as_json, "--json asks nothing: add --yes.")


def _show_creation(made: dict[str, Any], settings: Settings) -> None:
    click.echo(f"created   subscription {made['subscription_id']}")
    for change in made.get("changed", ()):
        click.echo(f"set       {output.text(change)}")
    if "secret" in made:
        click.echo(f"secret    {made['secret']}")
        click.echo("          It is shown this once and kept nowhere.")
    else:
        click.echo(f"secret    in {made.get('written_to') or made['secret_file']}")
    click.echo(f"          It is {NOT_IN_FORCE}. {_next_step(made, settings)}\n")


def _next_step(made: dict[str, Any], settings: Settings) -> str:
    """Where the secret goes: to the others. The variable would beat the file, and with it the secrets in it."""
    if "written_to" in made:
        return "Restart it: it reads keys when it starts."
    if _belongs_in_file(settings):
        source = f" < {shlex.quote(made['secret_file'])}" if "secret_file" in made else ""
        command = f"truthvouch config pagerduty --webhook-secret -{source}"
        return f"Run `{command}`, which puts it first in bridge.yaml, and restart."
    variable = _variable() or "PAGERDUTY_WEBHOOK_SECRETS"
    where = f"the file that {variable} names" if variable.endswith("_FILE") else variable
    return f"Put it first in {where}, keep the others behind it, and restart."


def _belongs_in_file(settings: Settings) -> bool:
    """Whether the other secrets stand in ``bridge.yaml``, or where there are none, the other keys."""
    keys_are = not settings.pagerduty.webhook_secrets and "pagerduty.api_key" in settings.in_file
    return WEBHOOK_SECRETS in settings.in_file or keys_are


class _SecretFile:
    """A new file that only we can read. Exits with wrong use when it is there already."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        except FileExistsError:
            base.refuse(f"{path} is there already and is not written over.")
        except OSError as fault:
            base.refuse(f"{path} cannot be written: {fault.strerror}")

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
