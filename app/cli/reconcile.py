"""``truthvouch reconcile``: read both sides back now, and tell what differs."""

import json
import re
import sys
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import TYPE_CHECKING, cast

import click

from app.cli import base, output
from app.domain.model.types import instant

if TYPE_CHECKING:
    from app.services.reconciliation.context import ReconciliationShown

HEAD = ("side", "alert", "incident", "we knew", "found", "outcome", "meaning")
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
    """Read TruthVouch and PagerDuty back, now, and take in what the webhooks did not tell.

    With --url it is a job of that bridge, which goes on if this command is interrupted.
    """
    found = (_there if base.is_elsewhere() else _here)(dry_run, since, as_json)
    (output.as_json if as_json else _show)(found)
    if not found["readable"]:
        base.refuse("Nothing could be read.")
    sys.exit(base.NOT_SO if dry_run and (found["drift"] or not found["complete"]) else 0)


def _here(dry_run: bool, since: datetime | None, as_json: bool) -> "ReconciliationShown":
    from app.services.reconciliation.context import shown

    settings = base.read_config()[0]
    with base.open_store(settings, base.SILENT) as made:  # everything it has to say is in its answer
        with output.bars(hidden=as_json) as progress:
            found = made.reconcile(since, dry_run, lambda side, done, total: progress(f"{side:<11}", done, total))
        if not dry_run:
            base.leave_in_audit(settings, "reconcile", "reconciliation", "")
        return shown(found, dry_run, made.taken_in(found.posted))


def _there(dry_run: bool, since: datetime | None, as_json: bool) -> "ReconciliationShown":
    from app.ports.jobs import ReconcileWanted

    with base.elsewhere() as there:
        result, job_id = there.start_job(ReconcileWanted(dry_run, since))
        if job_id is None:
            base.not_so(output.text(result.message))
        with output.bars(hidden=as_json) as progress:
            job = there.jobs_overview.followed(job_id, lambda done, total: progress("links", done, total))
        made = there.jobs_overview.result(job_id)
    if made is None:
        base.refuse(f"Job {job_id}: {output.text(job['failure']) or job['state']}")
    return cast("ReconciliationShown", json.loads(made.body))


def _show(found: "ReconciliationShown") -> None:
    rows = found["findings"]
    if rows:
        columns = itemgetter("side", "alert_id", "incident_id", "knew", "found", "outcome", "reason")
        output.table(HEAD, map(columns, rows))
    elif found["in_step"]:
        click.echo("Both sides agree.")
    calls = ", ".join(f"{number} to {side}" for side, number in sorted(found["calls"].items())) or "none"
    left = found["truthvouch_calls_left"]
    click.echo(f"{found['links']} open links; calls: {calls}; TruthVouch calls left for now: {left}.")
    for fault in found["not_read"]:
        click.echo(f"Not read: {output.text(fault)}", err=True)
    for remedy in dict.fromkeys(one["remedy"] for one in rows if one["remedy"]):
        click.echo(f"→ {output.text(remedy)}")
    if found["dry_run"] and rows:
        click.echo("Nothing was changed.")
    if found["status"]:
        click.echo(TAKEN[found["status"]])


TAKEN = {
    "taken_in": "It is taken in; what follows from it is on its way.",
    "waiting": "It is stored; the worker has not taken it in yet.",
    "no_worker": "It is stored; no worker is running, and it is taken in when one runs.",
}
