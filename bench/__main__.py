"""``python -m bench``: start everything, measure, print."""

import json
import os
import platform
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

import click

from bench import costs, growth, history, memory, proc, profile, rounds, starts, urgent, workers
from bench.alerts import BODY_BYTES, AlertMill
from bench.figures import Figure, Report
from bench.processes import SECRET, Bare, BenchFault, Bridge, free_port, fresh_database
from bench.rig import FULL, QUICK, Rig, Setup


@click.command()
@click.option("--quick", is_flag=True, help="One short round of each: some four minutes, rough figures.")
@click.option("--only", "wanted", metavar="PART", multiple=True, help="Measure this part; may be repeated.")
@click.option(
    "--growth", "is_growth", is_flag=True, help="An empty store against a million links: minutes, some gigabytes."
)
@click.option(
    "--profile",
    "profiled",
    type=click.Path(path_type=Path),
    help="Measure nothing; write flame graphs into this folder.",
)
@click.option("--record", "recorded", is_flag=True, help="Append to the history, and draw the charts of the docs.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Print the table of docs/performance.md.")
@click.option("--seed", type=int, default=1, show_default=True, help="Of the alerts' texts and ids.")
@click.option("--postgres", default="", metavar="URL", help="A server to measure on instead of SQLite.")
@click.option("--keep", type=click.Path(path_type=Path), help="Keep data and logs in this new folder.")
def main(
    quick: bool, wanted: tuple[str, ...], is_growth: bool, profiled: Path | None, recorded: bool, as_json: bool,
    as_markdown: bool, seed: int, postgres: str, keep: Path | None,
) -> None:  # fmt: skip
    """Measure the bridge on this machine, against the sandbox, in alternating rounds.

    Starts `gunicorn -c gunicorn.conf.py wsgi:app`, its web processes alone, a bare Flask endpoint under the same
    gunicorn settings and the simulated partners, on free loopback ports with a temporary data directory. The generator
    is one process with raw sockets; it shares the processors with what it measures. On PostgreSQL it makes and drops
    databases of its own. Takes some twenty minutes. The figures belong to this machine at this hour: read ratios and
    rounds, and docs/performance.md.

    The parts: accept, calls, burst, idle, console, drain, urgent, start, memory; on PostgreSQL also workers.
    """
    wanted += ("growth",) if is_growth else ()
    if unknown := set(wanted) - {*SHARED, *ALONE, *ASKED}:
        raise click.BadParameter(f"{', '.join(sorted(unknown))}; known: {', '.join([*SHARED, *ALONE])}")
    if "workers" in wanted and not postgres:
        raise click.BadParameter("several workers need --postgres")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started is stopped then, too
    started = time.monotonic()

    def say(line: str) -> None:
        click.echo(f"[{time.monotonic() - started:5.0f} s] {line}", err=True)

    with ExitStack() as stack:
        folder = keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bridge-bench-")))
        say(f"seed {seed}; data and logs in {folder}")
        mill = AlertMill(seed, SECRET, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        setup = Setup(QUICK if quick else FULL, mill, folder, postgres, say)
        report = Report(_setting(setup))
        try:
            if profiled:
                click.echo("\n".join(map(str, profile.profiling(setup, profiled))))
                return
            report.figures += measure(setup, wanted)
        except (BenchFault, OSError) as fault:
            raise click.ClickException(str(fault)) from fault
    if recorded:
        history.record(report)
        for path in history.draw():
            say(f"drawn: {path}")
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=1))
    else:
        click.echo(report.as_markdown() if as_markdown else report.as_text())


def measure(setup: Setup, wanted: Collection[str] = ()) -> list[Figure]:
    """The parts that are wanted, in their order; none named: all that this store has."""
    if not proc.is_readable():
        raise BenchFault("processor time and memory are read from /proc: measure on Linux")
    shared = {name: part for name, part in SHARED.items() if not wanted or name in wanted}
    figures: list[Figure] = []
    if shared:
        with setup.rig("main") as rig:
            setup.say("bridge and sandbox are up")
            for part in shared.values():
                figures += part(rig)
    for name, measured in (ALONE | ASKED).items():
        if name in wanted or (not wanted and name in ALONE and (setup.postgres or name != "workers")):
            figures += measured(setup)
    return figures


def _beside_others(rig: Rig) -> Iterator[Figure]:
    """What is compared with an endpoint that does nothing and with web processes without a worker."""
    with (
        fresh_database(rig.setup.postgres) as database,
        Bridge(rig.folder, free_port(), rig.sandbox.url, "web", database) as web_only,
        Bare(rig.folder) as bare,
    ):
        yield from rounds.accepting(rig, bare, web_only)
        yield from rounds.accepting_beside_a_backlog(rig, bare, web_only)


SHARED: dict[str, Callable[[Rig], Iterable[Figure]]] = {
    "accept": _beside_others,
    "calls": rounds.calling,
    "burst": costs.bursting,
    "idle": costs.idling,
    "console": lambda rig: rounds.beside_the_console(rig, 20),
    "drain": rounds.draining,
}
"""By name, one after the other on one bridge."""
ALONE: dict[str, Callable[[Setup], Iterable[Figure]]] = {
    "workers": workers.working_together,
    "urgent": urgent.urgent,
    "start": starts.starting,
    "memory": memory.weighing,
}
"""Each on bridges of its own."""
ASKED: dict[str, Callable[[Setup], Iterable[Figure]]] = {"growth": growth.growing}
"""Only where somebody asks for it."""


def _setting(setup: Setup) -> dict[str, str]:
    return {
        "when": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, shared with the generator",
        "other work": f"load average {os.getloadavg()[0]:.1f} at the start",
        "store": "PostgreSQL" if setup.postgres else "SQLite",
        "versions": f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}",
        "rounds": str(setup.plan.rounds),
        "load": f"{BODY_BYTES}-byte signed alerts, {setup.plan.connections} keep-alive connections, "
        f"seed {setup.mill.seed}; generator: own, one process, raw sockets",
    }


if __name__ == "__main__":
    main()
