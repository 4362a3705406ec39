"""``truthvouch reconcile``: read both sides back now, and tell what differs."""

import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from app.cli import tables
from app.cli.asking import json_option
from app.cli.base import NOT_SO, check_config, read_settings, refuse, unreadable_store
from app.domain.names import Side, instant

if TYPE_CHECKING:
    from app.bootstrap.reconcile import ReconcileDesk
    from app.services.reconcile import Findings
    from app.services.reconcile_run import Told

HEAD = ("side", "alert", "incident", "we knew", "found", "outcome", "meaning")
PATIENCE_SECONDS = 10.0
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
    help=("Only tell what would be taken in. Exit code 1 if anything would be, or if not everything could be read."),
)
@click.option(
    "--since",
    metavar="30d|12h|INSTANT",
    callback=_since,
    help="Also take in alerts raised from then on, though this store is younger.",
)
@json_option
def reconcile(dry_run: bool, since: datetime | None, as_json: bool) -> None:
    """Read TruthVouch and PagerDuty back, now, and take in what the webhooks did not tell."""
    from app import logs
    from app.bootstrap.reconcile import reconciliation
    from app.ports import StoreUnavailable

    settings = read_settings()
    check_config(settings)
    logs.configure(settings.log_format, "CRITICAL")  # everything it has to say is in its answer
    try:
        with reconciliation(settings) as desk:
            with _bar(hidden=as_json) as told:
                found = desk.reconcile(since, dry_run, told)
            taken = "" if dry_run or not found.posted else _taken(desk, found)
    except StoreUnavailable as fault:
        unreadable_store(fault)
    if as_json:
        tables.as_json(_plain(found, dry_run, taken))
    else:
        _tell(found, dry_run, taken)
    if not found.readable:
        refuse("Nothing could be read.")
    sys.exit(NOT_SO if dry_run and (found.drift or not found.complete) else 0)


@contextmanager
def _bar(hidden: bool) -> Iterator["Told"]:
    """A bar on standard error for each side, where that is a terminal."""
    shown: dict[Side, Any] = {}
    quiet = hidden or not sys.stderr.isatty()

    def told(side: Side, done: int, total: int) -> None:
        if quiet:
            return
        if side not in shown:
            shown[side] = click.progressbar(length=total, label=f"{side:<11}", file=sys.stderr)
        shown[side].update(done - shown[side].pos)

    yield told
    for bar in shown.values():
        bar.render_finish()


def _taken(desk: "ReconcileDesk", found: "Findings") -> str:
    """Whether what was posted is taken in: ``taken_in``, ``waiting`` or, where nobody works, ``no_worker``."""
    from app.services.health import HEARTBEAT_LIMIT_SECONDS

    deadline = time.monotonic() + PATIENCE_SECONDS
    while not all(desk.post.taken(delivery_id) for delivery_id in found.posted):
        seen_at = desk.post.worker_seen_at()
        if seen_at is None or datetime.now(UTC) - seen_at > timedelta(seconds=HEARTBEAT_LIMIT_SECONDS):
            return "no_worker"
        if time.monotonic() > deadline:
            return "waiting"
        time.sleep(POLL_SECONDS)
    return "taken_in"


def _tell(found: "Findings", dry_run: bool, taken: str) -> None:
    rows = [
        (one.side, one.alert_id, one.incident_id, one.knew, one.found, one.outcome, one.reason)
        for one in found.findings
    ]
    if rows:
        tables.table(HEAD, rows)
    elif found.agreed:
        click.echo("Both sides agree.")
    calls = ", ".join(f"{number} to {side}" for side, number in sorted(found.calls.items())) or "none"
    click.echo(f"{found.links} open links; calls: {calls}; TruthVouch calls left for now: {found.budget_left}.")
    for fault in found.faults:
        click.echo(f"Not read: {tables.text(fault)}", err=True)
    for todo in dict.fromkeys(one.todo for one in found.findings if one.todo):
        click.echo(f"→ {todo}")
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
            {
                "side": one.side.value,
                "alert_id": one.alert_id,
                "incident_id": one.incident_id,
                "knew": one.knew or None,
                "found": one.found,
                "outcome": one.outcome,
                "reason": one.reason,
                "todo": one.todo or None,
            }
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
