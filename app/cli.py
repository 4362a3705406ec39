"""The ``truthvouch`` command. Exit codes: 0 done, 1 the thing asked for is not so, 2 wrong use or configuration.

What a command needs is imported when it runs: a worker is started by this module and should carry nothing else.
"""

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from app.domain.rulebook import Rulebook
from app.errors import ConfigFault
from app.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
"""Where ``gunicorn.conf.py`` and ``wsgi.py`` stand."""

WRONG_USE = 2

SWITCH_SECONDS = 0.002
"""A worker's threads mostly wait for the store and the partners; with Python's default of 5 ms whoever comes back from
there waits longer for the interpreter than it was away."""

Records = Sequence[Mapping[str, Any]]


def read_settings() -> Settings:
    """The environment, or every fault of it in one message and exit code 2."""
    try:
        return Settings.from_env(os.environ)
    except ConfigFault as fault:
        _refuse(str(fault))


def _refuse(message: str) -> NoReturn:
    click.echo(message, err=True)
    sys.exit(WRONG_USE)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """The bridge between TruthVouch alerts and PagerDuty incidents."""


@main.command()
def serve() -> None:
    """Run the whole bridge: web processes and one worker.

    Without a credential of either partner it runs against the sandbox: see ``truthvouch demo``.
    """
    settings = read_settings()
    if not settings.has_partner_credentials:
        click.echo("No credential of TruthVouch or PagerDuty is set, so this is the sandbox.")
        click.echo("docs/configuration.md names the variables that make it the real bridge.\n")
        _demo(settings, None, story=True)
    _check_config(settings)
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"])  # noqa: S606


@main.command()
@click.option("--config", type=click.Path(path_type=Path), help="Use this bridge.yaml; without it, the defaults.")
@click.option("--story/--no-story", default=True, help="Send a first alert through and tell what happens.")
def demo(config: Path | None, story: bool) -> None:
    """Run the bridge against simulated partners on this machine. Needs no accounts; keeps nothing."""
    _demo(read_settings(), config, story)


def _demo(settings: Settings, config: Path | None, story: bool) -> NoReturn:
    from app import demo as demonstration

    sys.exit(demonstration.run(settings, ROOT, config, story, click.echo))


@main.command()
def worker() -> None:
    """Run one worker process: takes events in and delivers them. On SQLite a second one waits for the first's seat."""
    from app import logs, memory, metrics  # first: it keeps structlog from loading what a worker never uses

    settings = read_settings()
    _check_config(settings)
    from app.bootstrap import build_worker, migrate_stores
    from app.environment import PARENT_FD
    from app.worker import Worker, watch_signals

    memory.few_arenas()
    sys.setswitchinterval(SWITCH_SECONDS)
    logs.configure(settings.log_format, settings.log_level)
    logs.conceal(logs.hidden_in(settings))
    metrics.join(settings.data_dir)
    stop = threading.Event()
    watch_signals(stop)
    if PARENT_FD not in os.environ:
        migrate_stores(settings)
    Worker(build_worker(settings)).run(stop)


@main.command()
def migrate() -> None:
    """Create or upgrade the stores. The start command does this by itself; running it twice is harmless."""
    from app import startup

    startup.main()


@main.group()
def config() -> None:
    """Look at the configuration."""


@config.command()
def check() -> None:
    """Read environment and bridge.yaml as a start would, and tell every fault and everything that is missing."""
    settings = read_settings()
    rulebook = _check_config(settings)
    missing, degraded = settings.missing(rulebook), settings.degraded(rulebook)
    for words in missing:
        click.echo(f"missing   {words}")
    for words in degraded:
        click.echo(f"degraded  {words}")
    click.echo(f"rulebook  {settings.config_path}: {len(rulebook.rules)} rules, version {rulebook.version}")
    sys.exit(1 if missing else 0)


def _check_config(settings: Settings) -> Rulebook:
    from app import configfile

    try:
        return settings.over(configfile.load(settings.config_path))
    except ConfigFault as fault:
        _refuse(str(fault))


@main.command()
@click.argument("alert_or_incident")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def timeline(alert_or_incident: str, as_json: bool) -> None:
    """Tell everything that happened to an alert or an incident: why somebody was paged, or was not."""
    from app import bootstrap

    lines = _read(lambda: bootstrap.timeline(read_settings(), alert_or_incident))
    if as_json:
        click.echo(json.dumps(lines, default=str))
    for line in () if as_json else lines:
        facts = " ".join(f"{name}={value}" for name, value in line["facts"].items())
        by = f" by {line['author']}" if line["author"] else ""
        click.echo(f"{line['at']:%Y-%m-%d %H:%M:%S.%f}Z  {line['event']:<24}{by} {facts}")
    if not lines:
        click.echo("The bridge knows no such alert or incident.", err=True)
        sys.exit(1)


@main.group(name="dead-letters")
def dead_letters() -> None:
    """What could not be read or delivered and waits for a person."""


@dead_letters.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def list_dead_letters(as_json: bool) -> None:
    """List them, oldest first."""
    from app import bootstrap

    letters = _read(lambda: bootstrap.dead_letters(read_settings()))
    if as_json:
        click.echo(json.dumps(letters, default=str))
    for letter in () if as_json else letters:
        about = letter["alert_id"] or (f"inbox row {letter['inbox_id']}" if letter["inbox_id"] else "")
        words = (str(letter["id"]), f"{letter['at']:%Y-%m-%d %H:%M:%S}Z", letter["kind"], letter["side"] or "")
        click.echo("  ".join((*words, letter["reason"], about)))
    if not letters and not as_json:
        click.echo("No dead letters.")


def _read(look: Callable[[], Records]) -> Records:
    from app.ports import StoreUnavailable

    try:
        return look()
    except StoreUnavailable as fault:
        _refuse(f"The store cannot be read: {fault}\nHas the bridge been started with this BRIDGE_DATA_DIR?")


if __name__ == "__main__":
    main()
