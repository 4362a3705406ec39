"""The ``truthvouch`` command. Exit codes: 0 done, 1 the thing asked for is not so, 2 wrong use or configuration.

LAW: a command reads its arguments, asks ``bootstrap`` for what it needs, and prints. What it needs is imported when it
runs: a worker is started by this module and should carry nothing else.
"""

import io
import sys

import click

from app.cli import (
    access,
    audit,
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

    With --url, the commands that look and decide (timeline, links, dead-letters, escalation list, now and cancel,
    evidence revoke, rules list and explain, silences, jobs, audit, stats, report) work on a bridge elsewhere; all
    others work where the bridge runs.
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
