"""``truthvouch audit``: who did what, by which way."""

from datetime import datetime
from operator import itemgetter

import click

from app.cli import base, output
from app.cli.output import Moment

HEAD = ("at", "actor", "way", "action", "about", "subject", "outcome")


@click.group(short_help="What people did, and by which way.")
def audit() -> None:
    """What people did: by console, link, API, command line or program. Never what they wrote."""


@audit.command(name="list", short_help="List what people did, newest first.")
@click.option("--since", type=Moment(), help="From then on: 7d, or a day.")
@click.option("--subject", default="", help="About this alert, incident, dead letter, silence, draft or job.")
@click.option("--by", "actor", default="", help="By this person.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, help="At most so many.")
@base.json_option
def list_audit(since: datetime | None, subject: str, actor: str, limit: int, as_json: bool) -> None:
    """List what people did, newest first. It is kept `retention.audit_days`, a year by default."""
    from app.ports.console import AuditFilter

    with base.open_bridge() as made:
        found = made.audit_log.rows(AuditFilter(since, actor, subject, None, limit))
    names = ("at", "actor", "way", "action", "subject_kind", "subject", "outcome")
    output.listing(found, as_json, "Nobody did anything.", HEAD, itemgetter(*names))
