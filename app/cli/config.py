"""``truthvouch config``: look at the configuration, write PagerDuty's part of it, test it.

``truthvouch config pagerduty``: write keys and ids into ``bridge.yaml``, and prove that they work.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli import base, output
from app.errors import ConfigFault

if TYPE_CHECKING:
    from app.config.settings import Settings
    from app.services.diagnostics.doctor import Finding


# ---------------------------------------------------------------------------------------------------- config pagerduty

SECRET = "A value - is read from standard input, a line for each."
RESTART = "A running bridge reads rules by itself, and keys when it starts: restart it."


@click.command(short_help="Set up PagerDuty in bridge.yaml, or test it.")
@click.option("--integration-key", metavar="KEY", help=f"Events API v2 key of the service. {SECRET}")
@click.option("--service-id", metavar="ID", help="The service incidents are opened on.")
@click.option("--api-key", metavar="KEY", help=f"REST API key. {SECRET}")
@click.option(
    "--from-email", metavar="EMAIL", help="Login e-mail of a user, in whose name the REST API changes things."
)
@click.option("--region", type=click.Choice(["us", "eu"]), help="PagerDuty's service region.")
@click.option("--escalation-policy-id", metavar="ID", help="Policy of new incidents, unless a rule names another.")
@click.option("--via", type=click.Choice(["rest", "events"]), help="The API that opens incidents.")
@click.option(
    "--webhook-secret",
    "webhook_secrets",
    metavar="SECRET",
    multiple=True,
    help=f"Put before the secrets that are there; may be given several times, the newest first. {SECRET}",
)
@click.option("--test", is_flag=True, help="Test each part by using it: opens a test incident and resolves it.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def pagerduty(test: bool, as_json: bool, webhook_secrets: tuple[str, ...], **values: str | None) -> None:
    """Write PagerDuty's keys and ids into bridge.yaml (BRIDGE_CONFIG), and test the connection.

    The file is made with mode 0600; comments and order are kept. The environment beats the file.
    Exit code 0: done, and nothing is wrong (warnings allowed); 1: the test found a fault; 2: wrong use.
    """
    given = _given({**values, "webhook_secrets": webhook_secrets or None})
    if not given and not test:
        raise click.UsageError("Nothing to set: name --integration-key and --service-id, for example, or --test.")
    settings = base.read_settings()
    result: dict[str, Any] = _write(settings.config_path, given) if given else {}
    if given:
        base.leave_in_audit(
            settings, "configure", "configuration", "pagerduty", "changed" if result["changed"] else "unchanged"
        )
    if test:
        base.leave_in_audit(settings, "test_connection", "configuration", "pagerduty")
    if given and not as_json:
        _show_changes(result)
    if test:
        _test(result, as_json)
    elif as_json:
        output.as_json(result)


def _given(options: Mapping[str, str | tuple[str, ...] | None]) -> dict[str, Any]:
    """The values by their path in the file; what stands on standard input is read, and a blank value is wrong use."""
    lines: list[str] = []
    given: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, tuple):
            given[f"pagerduty.{name}"] = [_value("webhook_secret", one, lines) for one in value]
        elif value is not None:
            given[f"pagerduty.{name}"] = _value(name, value, lines)
    return given


def _value(name: str, value: str, lines: list[str]) -> str:
    option = "--" + name.replace("_", "-")
    if value == "-":
        value = _asked(option, lines)
    if not value.strip():
        raise click.UsageError(f"{option} is empty.")
    return value.strip()


def _asked(option: str, lines: list[str]) -> str:
    """A line of standard input; from a terminal it is asked for, and not shown."""
    if sys.stdin.isatty():
        return str(click.prompt(option, hide_input=True, err=True))
    if not lines:
        lines.extend(reversed(sys.stdin.read().splitlines()))
    return lines.pop() if lines else ""


def _write(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    from app.config import edit, schema

    try:
        if secrets := given.get("pagerduty.webhook_secrets"):
            given["pagerduty.webhook_secrets"] = schema.before_others(path, secrets)
        changed = edit.set_values(path, given)
    except ConfigFault as fault:
        base.refuse(f"{fault}\n{path} was left as it is.")
    return {"file": str(path), "changed": list(changed), "overridden": schema.overridden(given, os.environ)}


def _show_changes(result: Mapping[str, Any]) -> None:
    for message in result["changed"]:
        click.echo(f"set       {output.text(message)}")
    if not result["changed"]:
        click.echo(f"unchanged {result['file']}: everything was so already")
    for path, variable in result["overridden"].items():
        click.echo(f"note      {variable} is set in the environment and beats {path} in the file")
    if result["changed"]:
        click.echo(f"written   {result['file']}. {RESTART}")


def _test(result: dict[str, Any], as_json: bool) -> None:
    settings, rulebook = base.read_config()
    from app.bootstrap.diagnostics import Doctor, concealed
    from app.cli.doctor import line
    from app.services.diagnostics.doctor import is_well

    base.log_only(base.SILENT, settings)  # what went wrong is in the list
    findings: list[Finding] = []
    try:
        with base.terminated_as_interrupted(), Doctor(settings, rulebook) as doctor:
            for found in doctor.test(_begin):
                findings += concealed((found,), settings)
                if not as_json:
                    click.echo(line(findings[-1]))
    except KeyboardInterrupt:
        base.not_so("\nStopped; what the test had opened was resolved.")
    well = is_well(findings)
    if as_json:
        output.as_json({"well": well, "checks": [asdict(one) for one in findings], **result})
    else:
        click.echo(_sum(findings, settings))
    sys.exit(0 if well else base.NOT_SO)


def _begin(check: str) -> None:
    """Some checks take seconds: on a terminal it is told which."""
    if sys.stderr.isatty():
        click.echo(f"… {check}\033[K\r", err=True, nl=False)


def _sum(findings: "list[Finding]", settings: "Settings") -> str:
    from app.services.diagnostics.connection_test import UNSEEN
    from app.services.diagnostics.doctor import State

    faults = sum(one.state in (State.WRONG, State.UNKNOWN) for one in findings)
    if not faults and any(one.code == UNSEEN for one in findings):
        return "\nPagerDuty accepted the event; whether an incident came of it is not known."
    if not faults:
        return "\nThe connection works."
    return f"\n{faults} of {len(findings)} checks failed. docs/connection-test.md says what each means."


# -------------------------------------------------------------------------------------------------------------- config


@click.group()
def config() -> None:
    """Look at the configuration, and set up PagerDuty."""


@config.command(short_help="Show every fault, what is missing and what is misspelt.")
@base.json_option
def check(as_json: bool) -> None:
    """Read environment and bridge.yaml as a start would, and show every fault, everything that is missing, and every
    word that is misspelt. Exit code 1 if anything is missing or misspelt, 2 for faults."""
    from app.bootstrap.rules import misspelt_faults
    from app.config import schema

    settings, rulebook = base.read_config()
    missing, degraded = settings.missing(rulebook), settings.degraded(rulebook)
    misspelt = misspelt_faults(settings)
    exposed = schema.exposed(settings.config_path)
    if as_json:
        found = {"missing": missing, "degraded": degraded, "misspelt": misspelt, "exposed": exposed or None}
        of_file = {"file": str(settings.config_path), "rules": len(rulebook.rules), "version": rulebook.version}
        output.as_json(found | of_file)
    else:
        named = {"missing": missing, "degraded": degraded, "misspelt": misspelt, "exposed": filter(None, [exposed])}
        for kind, messages in named.items():
            for message in messages:
                click.echo(f"{kind:<10}{message}")
        click.echo(f"rulebook  {settings.config_path}: {len(rulebook.rules)} rules, version {rulebook.version}")
    sys.exit(base.NOT_SO if missing or misspelt else 0)


config.add_command(pagerduty)
