"""``truthvouch config``: look at the configuration, write PagerDuty's part of it, test it."""

import sys

import click

from app.cli.base import NOT_SO, check_config, read_settings
from app.cli.config_pagerduty import pagerduty


@click.group()
def config() -> None:
    """Look at the configuration, and set up PagerDuty."""


@config.command()
def check() -> None:
    """Read environment and bridge.yaml as a start would, and tell every fault, everything that is missing, and every
    word that is misspelt. Exit code 1 if anything is missing or misspelt."""
    from app.bootstrap.rules_check import misspelt_faults
    from app.configfile import keys

    settings = read_settings()
    rulebook = check_config(settings)
    missing, degraded = settings.missing(rulebook), settings.degraded(rulebook)
    for words in missing:
        click.echo(f"missing   {words}")
    for words in degraded:
        click.echo(f"degraded  {words}")
    misspelt = misspelt_faults(settings)
    for fault in misspelt:
        click.echo(f"misspelt  {fault}")
    if words := keys.exposed(settings.config_path):
        click.echo(f"exposed   {words}")
    click.echo(f"rulebook  {settings.config_path}: {len(rulebook.rules)} rules, version {rulebook.version}")
    sys.exit(NOT_SO if missing or misspelt else 0)


config.add_command(pagerduty)
