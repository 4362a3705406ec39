"""The ``truthvouch`` command. Exit codes: 0 done, 1 the thing asked for is not so, 2 wrong use or configuration.

LAW: a command reads its arguments, asks ``bootstrap`` for what it needs, and prints. What it needs is imported when it
runs: a worker is started by this module and should carry nothing else.
"""

import io
import sys
from collections.abc import Iterator

import click

from app.cli import (
    access,
    audit,
    base,
    config,
    doctor,
    escalation,
    incidents,
    jobs,
    links,
    reconcile,
    reports,
    rules,
    serve,
    silences,
    store,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="truthvouch-pagerduty-bridge", prog_name="truthvouch")
@click.option("--url", metavar="ADDRESS", help="Work on the bridge at this address, over its API.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False),
    help="Holds a token of that bridge: BRIDGE_ADMIN_TOKEN or a named one.",
)
def main(url: str | None, token_file: str | None) -> None:
    """The bridge between TruthVouch alerts and PagerDuty incidents.

    With --url, the commands that look and decide (timeline, links, dead-letters, reconcile, escalation list, now and
    cancel, evidence revoke, rules list and explain, silences, jobs, audit, stats, report) work on a bridge elsewhere;
    all others work where the bridge runs, and say so.
    """
    print_whatever_comes()


def print_whatever_comes() -> None:
    """A sign that a terminal's encoding does not have is written as its number: ids and titles come from outside, and
    half a table with an error helps nobody."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


@click.command(short_help="Print the manual page, for `man -l -`.")
def man() -> None:
    """Print the manual page of all commands as roff: `truthvouch man | man -l -` shows it."""
    from app.cli.man import page

    click.echo(page(main), nl=False)


COMMANDS = (
    serve.serve,
    serve.demo,
    serve.worker,
    serve.migrate,
    config.config,
    incidents.incidents,
    links.timeline,
    doctor.doctor,
    links.dead_letters,
    links.links,
    store.store,
    reconcile.reconcile,
    rules.rules,
    access.console_link,
    access.tokens,
    access.evidence,
    silences.silences,
    escalation.escalation,
    jobs.jobs,
    audit.audit,
    reports.stats,
    reports.report,
    man,
)
for command in COMMANDS:
    main.add_command(command)

FROM_ELSEWHERE = frozenset(
    {"timeline", "reconcile", "stats", "report", "audit list", "evidence revoke", "rules list", "rules explain"}
    | {f"dead-letters {one}" for one in ("list", "show", "replay", "discard")}
    | {f"links {one}" for one in ("list", "show", "thaw", "erase")}
    | {f"silences {one}" for one in ("list", "add", "end")}
    | {f"escalation {one}" for one in ("list", "cancel", "now")}
    | {f"jobs {one}" for one in ("list", "show", "cancel")}
    | {f"jobs start {one}" for one in ("backtest", "report", "replay", "erase")}
    | {"man"}
)
"""The commands that work on a bridge elsewhere; ``man`` is about none."""


def leaves(group: click.Group, *words: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, and how it is called."""
    for name, one in group.commands.items():
        if isinstance(one, click.Group):
            yield from leaves(one, *words, name)
        else:
            yield " ".join((*words, name)), one


for called, command in leaves(main):
    if called not in FROM_ELSEWHERE and command.callback:
        command.callback = base.only_here(command.callback)
