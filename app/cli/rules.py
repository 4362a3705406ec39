"""``truthvouch rules``: what the rules are, what is wrong with them, what they do, and what others would have done."""

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from app.cli import tables
from app.cli.asking import json_option
from app.cli.backtest import backtest, shadow
from app.cli.base import NOT_SO, check_config, read_settings, refuse
from app.cli.rules_desk import desk, draft_argument, named_once, read_draft
from app.settings import Settings

if TYPE_CHECKING:
    from app.domain.alert import Alert
    from app.domain.rulebook import Decision

COUNTED = timedelta(days=30)
MAX_BODY_BYTES = 1024 * 1024
NOTHING_STORED = "No stored alert can tell which fields there are: their names were not checked."
WHY_NOT = {
    "not_json": "is no JSON",
    "not_an_object": "is no JSON object",
    "ping": "is a ping, about no alert",
    "not_an_alert": "is about no alert",
    "no_alert_id": "names no alert",
}

draft_option = click.option(
    "--config", "draft", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Ask this draft instead."
)


@click.group()
def rules() -> None:
    """List, check, explain and try out the rules."""


rules.add_command(backtest)
rules.add_command(shadow)


@rules.command(name="list", short_help="List the rules and how often each decided.")
@json_option
def list_rules(as_json: bool) -> None:
    """List the rules in order, how often each decided in the last 30 days, the silences in force, the severity map."""
    from app.bootstrap.rules import rules_desk
    from app.cli import rules_told
    from app.ports import StoreUnavailable

    settings = read_settings()
    rulebook, now = check_config(settings), datetime.now(UTC)
    try:
        with rules_desk(settings) as opened:
            hits = opened.backtests.hits(now - COUNTED, now)
    except StoreUnavailable:
        hits = None  # the rules are what they are without any store
    listed = rules_told.listed(rulebook, hits, now)
    if as_json:
        tables.as_json(listed)
    else:
        rules_told.show_list(listed)


@rules.command(short_help="Name every fault of a file, each with its line.")
@draft_argument
@json_option
def check(file: Path | None, draft: Path | None, as_json: bool) -> None:
    """Name every fault of FILE (bridge.yaml if left out), each with its line: also rules that can never match, fields
    no alert ever had, services without an integration key. Exit code 1 if there is any."""
    from app.bootstrap.rules import rules_desk
    from app.bootstrap.rules_check import faults
    from app.errors import ConfigFault
    from app.ports import StoreUnavailable

    settings = read_settings()
    path, known, note = named_once(file, draft) or settings.config_path, None, ""
    try:
        with rules_desk(settings) as opened:
            known = opened.backtests.field_names()
        note = NOTHING_STORED if known is None else ""
    except StoreUnavailable as fault:
        note = f"The names of fields were not checked: {fault}"
    try:
        found = faults(settings, path, known, datetime.now(UTC))
    except ConfigFault as unreadable:
        refuse(str(unreadable))
    if as_json:
        shown = [{"path": f.path, "line": f.line, "problem": f.problem, "remedy": f.remedy} for f in found]
        tables.as_json({"file": str(path), "faults": shown, "note": note or None})
    else:
        for one in found:
            click.echo(f"{path}: {one}")
        click.echo(note or "The names of fields were checked against all stored alerts.", err=True)
        click.echo(f"{len(found)} fault{'' if len(found) == 1 else 's'} in {path}.")
    sys.exit(NOT_SO if found else 0)


@rules.command(short_help="Tell what the rules do with an alert, and why.")
@click.argument("alert", metavar="ALERT.json|ALERT_ID|-")
@draft_option
@json_option
def explain(alert: str, draft: Path | None, as_json: bool) -> None:
    """Tell what the rules do with an alert: every rule tried and why it matched or not, and the incident that would
    be opened.

    ALERT.json is a TruthVouch webhook's body or an alert alone, - is standard input, ALERT_ID an alert in the store.
    """
    from app.cli import rules_told
    from app.services.explain import explained

    settings = read_settings()
    live = check_config(settings)
    rulebook = read_draft(settings, draft, live) if draft else live
    found, recorded = _alert(settings, alert)
    told = explained(rulebook, found, datetime.now(UTC))
    if as_json:
        tables.as_json(told.as_json() | {"recorded": rules_told.decision(recorded)})
    else:
        rules_told.show_explanation(told, recorded)


def _is_file(path: Path) -> bool:
    """An alert's id may be longer than any file's name."""
    try:
        return path.is_file()
    except OSError:
        return False


def _alert(settings: Settings, named: str) -> "tuple[Alert, Decision | None]":
    from app.bootstrap.rules import alert_in

    path, called = Path(named), "Standard input" if named == "-" else named
    if named == "-" or _is_file(path):
        body = sys.stdin.buffer.read(MAX_BODY_BYTES + 1) if named == "-" else path.read_bytes()[: MAX_BODY_BYTES + 1]
        if len(body) > MAX_BODY_BYTES:
            refuse(f"{called} is larger than 1 MiB.")
        found = alert_in(body)
        if isinstance(found, str):
            refuse(f"{called} {WHY_NOT.get(found, f'cannot be read ({found})')}.")
        return found, None
    if path.suffix == ".json":
        refuse(f"There is no file {named}.")
    with desk(settings) as opened:
        stored = opened.stored(named)
    if stored is None:
        click.echo(f"The bridge knows no alert {tables.text(named)}, and there is no such file.", err=True)
        sys.exit(NOT_SO)
    return stored
