"""Commands that run the bridge."""

import os
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

import click

from app.cli import base
from app.config.settings import Settings

ROOT = Path(__file__).resolve().parent.parent.parent
"""Where ``gunicorn.conf.py`` and ``wsgi.py`` stand."""

SWITCH_SECONDS = 0.002
"""A worker's threads mostly wait for the store and the partners; with Python's default of 5 ms whoever comes back from
there waits longer for the interpreter than it was away."""


@click.command()
def serve() -> None:
    """Run the whole bridge: web processes and one worker.

    Without a credential of either partner it runs against the sandbox: see `truthvouch demo`.
    """
    settings = base.read_settings()
    if not settings.has_partner_credentials:
        click.echo("No credential of TruthVouch or PagerDuty is set, so this is the sandbox.")
        click.echo("docs/configuration.md names the variables that make it the real bridge.\n")
        _demo(settings, None)
    base.check_config(settings)
    # As they were meant here, where the other commands look for them.
    os.environ |= {
        "BRIDGE_CONFIG": str(settings.config_path.resolve()),
        "BRIDGE_DATA_DIR": str(settings.data_dir.resolve()),
    }
    os.chdir(ROOT)
    os.execv(sys.executable, [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"])  # noqa: S606


@click.command()
@click.option("--config", type=click.Path(path_type=Path), help="Use this bridge.yaml; without it, the defaults.")
@click.option("--first-alert/--no-first-alert", default=True, help="Send a first alert through and show what happens.")
@click.option("--chaos", is_flag=True, help="Simulate outages: failing partners, and a worker killed again and again.")
@click.option("--seconds", type=click.FloatRange(1), help="How long that lasts; without it, until Ctrl-C.")
@click.option("--seed", type=int, help="The seed of the rehearsal's random choices; it is printed at the start.")
def demo(config: Path | None, first_alert: bool, chaos: bool, seconds: float | None, seed: int | None) -> None:
    """Run the bridge against simulated partners on this machine. Needs no accounts; keeps nothing.

    With --chaos it ends with a verdict: exit code 0 if nothing was lost or doubled and both sides agree, else 1.
    """
    if not chaos and (seconds is not None or seed is not None):
        raise click.UsageError("--seconds and --seed belong to --chaos.")
    _demo(base.read_settings(), config, first_alert=first_alert, chaos=chaos, seconds=seconds, seed=seed)


def _demo(settings: Settings, config: Path | None, **options: Any) -> NoReturn:
    from app import demo as demonstration

    sys.exit(demonstration.run(settings, ROOT, config, demonstration.Play(**options), click.echo))


@click.command()
def worker() -> None:
    """Run one worker process: takes events in and delivers them. On SQLite a second one waits for the first's lease."""
    from app import logs, metrics
    from app.process import startup  # first: it keeps structlog from loading what a worker never uses

    settings, rulebook = base.read_config()
    from app.config.environment import PARENT_FD
    from app.process.metrics_server import MetricsServer, listen
    from app.process.watch import keep_watch
    from app.process.worker import Worker, watch_signals, when_stored

    startup.few_arenas()
    sys.setswitchinterval(SWITCH_SECONDS)
    logs.configure(settings.log_format, settings.log_level, for_good=True)
    logs.conceal(logs.hidden_in(settings))
    is_alone = PARENT_FD not in os.environ
    listener = listen(*settings.metrics_listener) if is_alone and settings.metrics_listener else None
    if listener:
        metrics.count_alone()  # a web on the same machine must not tell the same counts once more
    else:
        metrics.join(settings.data_dir)
    stop = threading.Event()
    watch_signals(stop)
    # The bulk of the imports: behind the log's configuration and the signals, which count from the first second.
    from app.bootstrap import StoreRefused, migrate_stores
    from app.bootstrap.worker import WorkerBridge

    keep_watch(settings, stop)  # also while it waits for a store, or for a lease
    try:
        bridge = when_stored(lambda: WorkerBridge(settings), stop)
        if bridge is None:
            return
        if listener:
            MetricsServer(listener, metrics.once_a_second(bridge.metrics_text)).start()
        if is_alone:
            when_stored(lambda: migrate_stores(settings), stop)
            startup.remark(settings, rulebook)
        Worker(bridge).run(stop)
    except StoreRefused as refusal:
        logs.refuse("start.refused", str(refusal))
        sys.exit(base.WRONG_USE)


@click.command()
def migrate() -> None:
    """Create or upgrade the stores. The start command does this by itself; running it twice is harmless."""
    from app.process import startup

    startup.main()
