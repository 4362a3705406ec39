"""``python -m bench``: start everything, measure, print."""

import json
import os
import platform
import sqlite3
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click

from bench import costs, proc
from bench.alerts import BODY_BYTES, AlertMill
from bench.figures import Figure, Report
from bench.processes import SECRET, Bare, BenchFault, Bridge, Process, Sandbox, free_port, fresh_database
from bench.rig import FULL, QUICK, Plan, Rig
from bench.rounds import Measurements

Running = TypeVar("Running", bound=Process)
Say = Callable[[str], None]

PARTS = ("accept", "calls", "burst", "idle", "console", "drain", "memory")
"""In the order in which they are measured."""


@click.command()
@click.option("--quick", is_flag=True, help="One short round of each: a minute and a half, rough figures.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the table of docs/performance.md.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the alerts' texts and ids.")
@click.option("--postgres", default="", metavar="URL", help="A server to measure on instead of SQLite.")
@click.option("--only", "wanted", type=click.Choice(PARTS), multiple=True, help="This part; may be repeated.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep data and logs in this new folder.")
def main(
    quick: bool, as_json: bool, as_markdown: bool, seed: int, postgres: str, wanted: tuple[str, ...], keep: Path | None
) -> None:
    """Measure the bridge on this machine, against the sandbox, in alternating rounds.

    Starts `gunicorn -c gunicorn.conf.py wsgi:app`, its web processes alone, a bare Flask endpoint under the same
    gunicorn settings and the simulated partners, on free loopback ports with a temporary data directory. The generator
    is one process with raw sockets; it shares the processors with what it measures. On PostgreSQL it makes and drops
    databases of its own. Takes some five minutes. The figures belong to this machine at this hour: read ratios and
    rounds, and docs/performance.md.
    """
    started = time.monotonic()

    def say(line: str) -> None:
        click.echo(f"[{time.monotonic() - started:5.0f} s] {line}", err=True)

    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bridge-bench-")))
        try:
            report = measure(QUICK if quick else FULL, folder, seed, postgres, wanted, stack, say)
        except (BenchFault, OSError) as fault:
            raise click.ClickException(str(fault)) from fault
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=1))
    else:
        click.echo(report.as_markdown() if as_markdown else report.as_text())


def measure(
    plan: Plan, folder: Path, seed: int, postgres: str, wanted: Collection[str], stack: ExitStack, say: Say
) -> Report:
    """Everything that is wanted, from starting the processes to the report."""
    say(f"seed {seed}; data and logs in {folder}")
    if not proc.is_readable():
        raise BenchFault("processor time and memory are read from /proc: measure on Linux")
    mill = AlertMill(seed, SECRET, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
    port = free_port()
    databases = [stack.enter_context(fresh_database(postgres)) for _ in range(2)]
    sandbox = _running(stack, Sandbox(folder, port))
    bridge = _running(stack, Bridge(folder, port, sandbox.url, database_url=databases[0]))
    say("bridge and sandbox are up")
    rig = Rig(plan, mill, sandbox, bridge, say)
    measurements = Measurements(rig)
    report = Report(_setting(plan, seed, postgres))

    def beside_others() -> Iterator[Figure]:
        web_only = _running(stack, Bridge(folder, free_port(), sandbox.url, "web", databases[1]))
        bare = _running(stack, Bare(folder))
        yield from measurements.accepting(bare, web_only)
        bare.stop()
        yield from measurements.accepting_beside_a_backlog(web_only)
        web_only.stop()

    parts: dict[str, Callable[[], Iterable[Figure]]] = {
        "accept": beside_others,
        "calls": measurements.calling,
        "burst": lambda: costs.bursting(rig),
        "idle": lambda: costs.idling(rig),
        "console": lambda: measurements.beside_the_console(20),
        "drain": measurements.draining,
        "memory": lambda: costs.weighing(rig),
    }
    for name in PARTS:
        if not wanted or name in wanted:
            report.figures += parts[name]()
    return report


def _running(stack: ExitStack, process: Running) -> Running:
    stack.callback(process.stop)
    return process


def _setting(plan: Plan, seed: int, postgres: str) -> dict[str, str]:
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, shared with the generator",
        "versions": f"Python {platform.python_version()}, "
        + ("PostgreSQL" if postgres else f"SQLite {sqlite3.sqlite_version}"),
        "load": f"{BODY_BYTES}-byte signed alerts, {plan.connections} keep-alive connections, seed {seed}; "
        "generator: own, one process, raw sockets",
    }


if __name__ == "__main__":
    main()
