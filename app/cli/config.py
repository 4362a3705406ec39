"""``truthvouch config``: look at the configuration."""

import sys

import click

from app.cli.base import NOT_SO, check_config, read_settings


@click.group()
def config() -> None:
    """Look at the configuration."""


@config.command()
def check() -> None:
    """Read environment and bridge.yaml as a start would, and tell every fault and everything that is missing."""
    settings = read_settings()
    rulebook = check_config(settings)
    missing, degraded = settings.missing(rulebook), settings.degraded(rulebook)
    for words in missing:
        click.echo(f"missing   {words}")
    for words in degraded:
        click.echo(f"degraded  {words}")
    click.echo(f"rulebook  {settings.config_path}: {len(rulebook.rules)} rules, version {rulebook.version}")
    sys.exit(NOT_SO if missing else 0)
