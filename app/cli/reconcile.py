"""``truthvouch reconcile``: read both sides back now, and tell what differs."""

import re
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from app.cli import base, output
from app.domain.model.types import instant

if TYPE_CHECKING:
    from app.bootstrap.container import Container
    from app.services.reconciliation.context import Findings

HEAD = ("side", "alert", "incident", "we knew", "found", "outcome", "meaning")
INTAKE_TIMEOUT_SECONDS = 10.0
POLL_SECONDS = 0.05
UNITS = {"d": "days", "h": "hours", "m": "minutes"}


def _since(_ctx: click.Context, _param: click.Parameter, value: str | None) -> datetime | None:
    """The instant meant; never one to come."""
    if value is None:
        return None
    now, ago = datetime.now(UTC), re.fullmatch(r"(\d{1,5})([dhm])", value.strip())
    at = now - timedelta(**{UNITS[ago[2]]: int(ago[1])}) if ago else instant(value)
    if at is None or at > now:
        raise click.BadParameter("write a past instant such as 2026-05-04T09:00:00Z, or a time ago such as 30d or 12h.")
    return at


@click.command(short_help="Read TruthVouch and PagerDuty back, now.")
@click.option(
    "--dry-run",
    is_flag=True,
    help=("Only show what would be taken in. Exit code 1 if anything would be, or if not everything could be read."),
)
@click.option(
    "--since",
    metavar="30d|12h|INSTANT",
    callback=_since,
    help="Also take in alerts raised from then on, even before this store existed.",
)
@base.json_option
def reconcile(dry_run: bool, since: datetime | None, as_json: bool) -> None:
    """Read TruthVouch and PagerDuty back, now, and take in what the webhooks did not tell."""
    settings = base.read_config()[0]
    with base.open_store(settings, base.SILENT) as made:  # everything it has to say is in its answer
        with output.bars(hidden=as_json) as progress:
            found = made.reconcile(since, dry_run, lambda side, done, total: progress(f"{side:<11}", done, total))
        if not dry_run:
            base.leave_in_audit(settings, "reconcile", "reconciliation", "")
        taken = "" if dry_run or not found.posted else _taken(made, found)
    if as_json:
        output.as_json(_plain(found, dry_run, taken))
    else:
        _show(found, dry_run, taken)
    if not found.readable:
        base.refuse("Nothing could be read.")
    sys.exit(base.NOT_SO if dry_run and (found.drift or not found.complete) else 0)


def _taken(made: "Container", found: "Findings") -> str:
    """Whether what was posted is taken in: ``taken_in``, ``waiting`` or, where nobody works, ``no_worker``."""
    from app.services.diagnostics.health import HEARTBEAT_LIMIT_SECONDS

    deadline = time.monotonic() + INTAKE_TIMEOUT_SECONDS
    while not all(made.command_status.taken(delivery_id) for delivery_id in found.posted):
        seen_at = made.command_status.worker_seen_at()
        if seen_at is None or datetime.now(UTC) - seen_at > timedelta(seconds=HEARTBEAT_LIMIT_SECONDS):
            return "no_worker"
        if time.monotonic() > deadline:
            return "waiting"
        time.sleep(POLL_SECONDS)
    return "taken_in"


def _show(found: "Findings", dry_run: bool, taken: str) -> None:
    rows = [
        (one.side, one.alert_id, one.incident_id, one.knew, one.found, one.outcome, one.reason)
        for one in found.findings
    ]
    if rows:
        output.table(HEAD, rows)
    elif found.agreed:
        click.echo("Both sides agree.")
    calls = ", ".join(f"{number} to {side}" for side, number in sorted(found.calls.items())) or "none"
    click.echo(f"{found.links} open links; calls: {calls}; TruthVouch calls left for now: {found.budget_left}.")
    for fault in found.faults:
        click.echo(f"Not read: {output.text(fault)}", err=True)
    for remedy in dict.fromkeys(one.remedy for one in found.findings if one.remedy):
        click.echo(f"→ {remedy}")
    if dry_run and rows:
        click.echo("Nothing was changed.")
    if taken:
        click.echo(TAKEN[taken])


TAKEN = {
    "taken_in": "It is taken in; what follows from it is on its way.",
    "waiting": "It is stored; the worker has not taken it in yet.",
    "no_worker": "It is stored; no worker is running, and it is taken in when one runs.",
}


def _plain(found: "Findings", dry_run: bool, taken: str) -> dict[str, object]:
    return {
        "findings": [
            asdict(one) | {"knew": one.knew or None, "reason": one.reason, "remedy": one.remedy or None}
            for one in found.findings
        ],
        "dry_run": dry_run,
        "posted": len(found.posted),
        "status": taken or None,
        "confirmed": found.confirmed,
        "links": found.links,
        "calls": {side.value: number for side, number in found.calls.items()},
        "truthvouch_calls_left": found.budget_left,
        "complete": found.complete,
        "not_read": list(found.faults),
    }
