"""``truthvouch config``: look at the configuration, write PagerDuty's part of it, test it."""

import sys

import click

from app.cli import tables
from app.cli.asking import json_option
from app.cli.base import NOT_SO, check_config, read_settings
from app.cli.config_pagerduty import pagerduty


@click.group()
def config() -> None:
    """Look at the configuration, and set up PagerDuty."""


@config.command(short_help="Tell every fault, what is missing and what is misspelt.")
@json_option
def check(as_json: bool) -> None:
    """Read environment and bridge.yaml as a start would, and tell every fault, everything that is missing, and every
    word that is misspelt. Exit code 1 if anything is missing or misspelt, 2 for faults."""
    from app.bootstrap.rules_check import misspelt_faults
    from app.configfile import keys

    settings = read_settings()
    rulebook = check_config(settings)
    missing, degraded = settings.missing(rulebook), settings.degraded(rulebook)
    misspelt = misspelt_faults(settings)
    exposed = keys.exposed(settings.config_path)
    if as_json:
        found = {"missing": missing, "degraded": degraded, "misspelt": misspelt, "exposed": exposed or None}
        of_file = {"file": str(settings.config_path), "rules": len(rulebook.rules), "version": rulebook.version}
        tables.as_json(found | of_file)
    else:
        for words in missing:
            click.echo(f"missing   {words}")
        for words in degraded:
            click.echo(f"degraded  {words}")
        for fault in misspelt:
            click.echo(f"misspelt  {fault}")
        if exposed:
            click.echo(f"exposed   {exposed}")
        click.echo(f"rulebook  {settings.config_path}: {len(rulebook.rules)} rules, version {rulebook.version}")
    sys.exit(NOT_SO if missing or misspelt else 0)


config.add_command(pagerduty)
