"""``truthvouch config pagerduty``: write keys and ids into ``bridge.yaml``, and prove that they work."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli import tables
from app.cli.base import NOT_SO, check_config, read_settings, refuse

if TYPE_CHECKING:
    from app.services.doctor import Finding
    from app.settings import Settings

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
@click.option("--test", is_flag=True, help="Prove each thing by using it: opens a test incident and resolves it.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def pagerduty(test: bool, as_json: bool, webhook_secrets: tuple[str, ...], **values: str | None) -> None:
    """Write PagerDuty's keys and ids into bridge.yaml (BRIDGE_CONFIG), and test the connection.

    The file is made with mode 0600; comments and order are kept. The environment beats the file.
    Exit code 0: done, and nothing is wrong (warnings allowed); 1: the test found a fault; 2: wrong use.
    """
    given = _given({**values, "webhook_secrets": webhook_secrets or None})
    if not given and not test:
        raise click.UsageError("Nothing to set: name --integration-key and --service-id, for example, or --test.")
    settings = read_settings()
    told: dict[str, Any] = _write(settings.config_path, given) if given else {}
    if given and not as_json:
        _tell_changes(told)
    if test:
        _test(told, as_json)
    elif as_json:
        tables.as_json(told)


# ------------------------------------------------------------------------------------------------ writing


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
    from app.configfile import edit, keys
    from app.errors import ConfigFault

    try:
        if secrets := given.get("pagerduty.webhook_secrets"):
            kept = keys.held_in(path).webhook_secrets
            given["pagerduty.webhook_secrets"] = list(dict.fromkeys((*secrets, *kept)))
        changed = edit.set_values(path, given)
    except ConfigFault as fault:
        refuse(f"{fault}\n{path} was left as it is.")
    return {"file": str(path), "changed": list(changed), "overridden": keys.overridden(given, os.environ)}


def _tell_changes(told: Mapping[str, Any]) -> None:
    for words in told["changed"]:
        click.echo(f"set       {tables.text(words)}")
    if not told["changed"]:
        click.echo(f"unchanged {told['file']}: everything was so already")
    for path, variable in told["overridden"].items():
        click.echo(f"note      {variable} is set in the environment and beats {path} in the file")
    if told["changed"]:
        click.echo(f"written   {told['file']}. {RESTART}")


# ------------------------------------------------------------------------------------------------ testing


def _test(told: dict[str, Any], as_json: bool) -> None:
    settings = read_settings()
    rulebook = check_config(settings)
    from app import logs
    from app.bootstrap.connection_test import connection_test_of
    from app.cli.doctor import concealed, line
    from app.services.doctor import is_well

    logs.configure(settings.log_format, "CRITICAL")  # what went wrong is in the list
    logs.conceal(logs.hidden_in(settings))
    findings: list[Finding] = []
    with _ended_in_order(), connection_test_of(settings, rulebook) as connection:
        for found in connection.run(_begin):
            (safe,) = concealed((found,), settings)
            findings.append(safe)
            if not as_json:
                click.echo(line(safe))
    well = is_well(findings)
    if as_json:
        tables.as_json({"well": well, "checks": [asdict(one) for one in findings], **told})
    else:
        click.echo(_sum(findings, settings))
    sys.exit(0 if well else NOT_SO)


def _begin(check: str) -> None:
    """Some checks take seconds: on a terminal it is told which."""
    if sys.stderr.isatty():
        click.echo(f"… {check}\033[K\r", err=True, nl=False)


def _sum(findings: "list[Finding]", settings: "Settings") -> str:
    from app.services.connection_test import UNSEEN
    from app.services.doctor import State

    faults = sum(one.state in (State.WRONG, State.UNKNOWN) for one in findings)
    if not faults and any(one.code == UNSEEN for one in findings):
        return "\nPagerDuty took the event; whether an incident came of it is not known."
    if not faults:
        return "\nThe connection works."
    return f"\n{faults} of {len(findings)} checks failed. docs/connection-test.md says what each means."


@contextmanager
def _ended_in_order() -> Iterator[None]:
    """However the test is stopped, it resolves what it opened, and says that it was stopped."""
    import signal

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        click.echo("\nStopped; what the test had opened was resolved.", err=True)
        sys.exit(NOT_SO)
    finally:
        signal.signal(signal.SIGTERM, before)
