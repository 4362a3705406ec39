"""What the commands share."""

import os
import sys
from typing import NoReturn

import click

from app.domain.rulebook import Rulebook
from app.errors import ConfigFault
from app.settings import Settings

NOT_SO, WRONG_USE = 1, 2
"""Exit codes: the thing asked for is not so; wrong use or configuration."""


def read_settings() -> Settings:
    """The environment, or every fault of it in one message and exit code 2."""
    try:
        return Settings.from_env(os.environ)
    except ConfigFault as fault:
        refuse(str(fault))


def check_config(settings: Settings) -> Rulebook:
    """``bridge.yaml``, or every fault of it in one message and exit code 2."""
    from app import configfile

    try:
        return settings.over(configfile.load(settings.config_path))
    except ConfigFault as fault:
        refuse(str(fault))


def refuse(message: str) -> NoReturn:
    """Say why nothing was done; exit code 2."""
    click.echo(message, err=True)
    sys.exit(WRONG_USE)


def unreadable_store(fault: Exception) -> NoReturn:
    """Say what is wrong with the store and where it was looked for; exit code 2."""
    settings = read_settings()
    where = f"BRIDGE_DATA_DIR, which is {settings.data_dir.absolute()}"
    if settings.database_url:
        where = "DATABASE_URL, which is set, so the store is that database"
    refuse(
        f"The store cannot be used: {fault}\nHas the bridge been started with this {where}? "
        "docs/operating.md says how to run commands with its environment."
    )
