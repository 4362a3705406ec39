"""The ``truthvouch`` command. Exit codes: 0 done, 1 the thing asked for is not so, 2 wrong use or configuration.

What a command needs is imported when it runs: a worker is started by this module and should carry nothing else.
"""

import io
import sys

import click

from app.cli import (
    config,
    doctor,
    escalation,
    incidents,
    letters,
    links,
    reconcile,
    report,
    rules,
    serve,
    silences,
    stats,
    timeline,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="truthvouch-pagerduty-bridge", prog_name="truthvouch")
def main() -> None:
    """The bridge between TruthVouch alerts and PagerDuty incidents."""
    print_whatever_comes()


def print_whatever_comes() -> None:
    """A sign that a terminal's encoding does not have is written as its number: ids and titles come from outside, and
    half a table with an error helps nobody."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


COMMANDS = (
    serve.serve,
    serve.demo,
    serve.worker,
    serve.migrate,
    config.config,
    incidents.incidents,
    timeline.timeline,
    doctor.doctor,
    letters.dead_letters,
    links.links,
    reconcile.reconcile,
    rules.rules,
    silences.silences,
    escalation.escalation,
    stats.stats,
    report.report,
)
for command in COMMANDS:
    main.add_command(command)
