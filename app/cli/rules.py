"""``truthvouch rules``: what the rules are, what is wrong with them, what they do, and what others would have done.

What is printed is made as plain values first, which ``--json`` shows as they are.
"""

import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli import base, output
from app.cli.backtest import backtest, shadow
from app.cli.drafts import drafts
from app.config.settings import Settings
from app.domain.rules.decide import SEVERITY_MAP
from app.domain.rules.rulebook import Decision
from app.errors import ConfigFault

if TYPE_CHECKING:
    from app.domain.model.types import Alert
    from app.services.rules.overview import ExplanationShown, RulesShown


MAX_BODY_BYTES = 1024 * 1024
NOTHING_STORED = "There are no stored alerts, so the names of fields were not checked."
WHY_NOT = {
    "not_json": "is no JSON",
    "not_an_object": "is no JSON object",
    "ping": "is a ping, about no alert",
    "not_an_alert": "is about no alert",
    "no_alert_id": "names no alert",
}

draft_option = click.option(
    "--config", "draft", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Use this draft instead."
)


@click.group()
def rules() -> None:
    """List, check, explain and try out the rules."""


rules.add_command(backtest)
rules.add_command(shadow)
rules.add_command(drafts)


@rules.command(name="list", short_help="List the rules and how often each decided.")
@base.json_option
def list_rules(as_json: bool) -> None:
    """List the rules in order, how often each decided in the last 30 days, the silences in force, the severity map."""
    (output.as_json if as_json else show_list)(_listed())


def _listed() -> "RulesShown":
    if base.is_elsewhere():
        with base.elsewhere() as there:
            return there.rules_overview.listed()
    from app.bootstrap.container import if_stored
    from app.services.rules.overview import COUNTED, listed_rules

    settings, now = base.read_config()[0], datetime.now(UTC)
    # The rules are what they are without any store.
    rulebook = base.rulebook_in_force(settings)
    return listed_rules(rulebook, if_stored(settings, lambda made: made.backtests.hits(now - COUNTED, now)), now)


@rules.command(short_help="Name every fault of a file, each with its line.")
@base.draft_argument
@base.json_option
def check(file: Path | None, draft: Path | None, as_json: bool) -> None:
    """Name every fault of FILE (bridge.yaml if left out), each with its line: also rules that can never match, fields
    no alert ever had, services without an integration key. Exit code 1 if there is any."""
    from app.bootstrap.container import Container
    from app.bootstrap.rules import faults
    from app.ports import StoreUnavailable

    settings = base.read_settings()
    path, known, note = base.named_once(file, draft) or settings.config_path, None, ""
    try:
        with Container.existing(settings) as made:
            known = made.backtests.field_names()
        note = NOTHING_STORED if known is None else ""
    except StoreUnavailable as fault:
        note = f"The names of fields were not checked: {fault}"
    with base.refusing(ConfigFault):
        found = faults(settings, path, known, datetime.now(UTC))
    if as_json:
        shown = [{"path": f.path, "line": f.line, "problem": f.problem, "remedy": f.remedy} for f in found]
        output.as_json({"file": str(path), "faults": shown, "note": note or None})
    else:
        for one in found:
            click.echo(f"{path}: {one}")
        click.echo(note or "The names of fields were checked against all stored alerts.", err=True)
        click.echo(f"{len(found)} fault{'' if len(found) == 1 else 's'} in {path}.")
    sys.exit(base.NOT_SO if found else 0)


@rules.command(short_help="Show what the rules do with an alert, and why.")
@click.argument("alert", metavar="ALERT.json|ALERT_ID|-")
@draft_option
@base.json_option
def explain(alert: str, draft: Path | None, as_json: bool) -> None:
    """Show what the rules do with an alert: every rule tried and why it matched or not, and the incident that would
    be opened.

    ALERT.json is a TruthVouch webhook's body or an alert alone, - is standard input, ALERT_ID an alert in the store.
    """
    shown = _explained_elsewhere(alert, draft) if base.is_elsewhere() else _explained(alert, draft)
    (output.as_json if as_json else show_explanation)(shown)


def _explained(alert: str, draft: Path | None) -> "ExplanationShown":
    from app.services.rules.overview import explanation
    from app.services.rules.rulebook import explained

    settings, live = base.read_config()
    rulebook = base.read_draft(settings, draft, live) if draft else base.rulebook_in_force(settings)
    found, recorded = _alert(settings, alert)
    return explanation(explained(rulebook, found, datetime.now(UTC)), recorded)


def _explained_elsewhere(alert: str, draft: Path | None) -> "ExplanationShown":
    if draft:
        base.refuse("--config does not go with --url: the rules are those of that bridge.")
    body = _body(alert)
    with base.elsewhere() as there:
        shown = there.rules_overview.explained(alert) if body is None else there.rules_overview.explained_body(body)
    if shown is None:
        base.not_so(f"That bridge knows no alert {output.text(alert)}, and there is no such file here.")
    return shown


def _is_file(path: Path) -> bool:
    """An alert's id may be longer than any file's name."""
    try:
        return path.is_file()
    except OSError:
        return False


def _alert(settings: Settings, named: str) -> "tuple[Alert, Decision | None]":
    from app.bootstrap.rules import alert_in

    body = _body(named)
    if body is not None:
        found = alert_in(body)
        if isinstance(found, str):
            base.refuse(f"{_called(named)} {WHY_NOT.get(found, f'cannot be read ({found})')}.")
        return found, None
    with base.open_store(settings) as made:
        stored = made.stored_alerts(named)
    if stored is None:
        base.not_so(f"The bridge knows no alert {output.text(named)}, and there is no such file.")
    return stored


def _body(named: str) -> bytes | None:
    """What the file or standard input holds; None for what is no file, and so an alert's id."""
    path = Path(named)
    if named == "-" or _is_file(path):
        body = sys.stdin.buffer.read(MAX_BODY_BYTES + 1) if named == "-" else path.read_bytes()[: MAX_BODY_BYTES + 1]
        if len(body) > MAX_BODY_BYTES:
            base.refuse(f"{_called(named)} is larger than 1 MiB.")
        return body
    if path.suffix == ".json":
        base.refuse(f"There is no file {named}.")
    return None


def _called(named: str) -> str:
    return "Standard input" if named == "-" else named


def show_list(shown: "RulesShown") -> None:
    """Rules, silences in force, severity map."""
    if shown["fault"]:
        click.echo(f"The file is not in force as it is now: {output.text(shown['fault'])}\n")
    head = ("#", "rule", "trigger", "action", "urgency", "service", "holds resolve", "30 days", "paged", "flaps")
    rows = [_rule_row(number, rule) for number, rule in enumerate(shown["rules"], start=1)]
    output.table(head, rows) if rows else click.echo("No rules: the severity map decides about every alert.")
    in_force = [one for one in shown["silences"] if one["standing"] == "in_force"]
    if in_force:
        click.echo("\nSilences in force, checked before every rule:")
        show_silences(in_force)
    counts = shown["severity_map_counts"]
    click.echo(f"\nSeverity map, for alerts that no rule matches ({output.text(counts['matched'])} in 30 days):")
    output.facts(shown["severity_map"])
    if shown["not_in_the_file"]:
        click.echo("\nDecided in that time, and not in the file any more:")
        gone = shown["not_in_the_file"].items()
        output.table(("name", "30 days", "paged"), [(name, hit["matched"], hit["paged"]) for name, hit in gone])


def _rule_row(number: int, rule: Mapping[str, Any]) -> tuple[object, ...]:
    suppresses = rule["action"] == "suppress"
    urgency = "none" if suppresses else rule["urgency"] or "by severity"
    held = f"{rule['hold_resolve_minutes']:g} min" if rule["hold_resolve_minutes"] else None
    counts = (rule["matched"], rule["paged"], rule["flaps"])
    return (number, rule["name"], rule["trigger"], rule["action"], urgency, rule["service_id"], held, *counts)


def show_silences(silences: Sequence[Mapping[str, Any]]) -> None:
    """A table of silences."""
    names = ("name", "match", "owner", "reason", "until", "standing", "origin", "matched")
    head = (*names[:-1], "silenced")
    output.table(head, [[one[name] for name in names] for one in silences])


def show_explanation(shown: "ExplanationShown") -> None:
    """What was tried, and the answer."""
    decided, recorded = shown["decision"], shown["recorded"]
    click.echo(f"Alert {output.text(shown['alert_id'])}, rulebook {decided['rulebook']}\n")
    kinds = {"silence": "silence ", "rule": "rule ", SEVERITY_MAP: ""}
    for one in shown["tried"]:
        name = "the severity map" if one["kind"] == SEVERITY_MAP else f"{kinds[one['kind']]}{output.text(one['name'])}"
        click.echo(f"{'✔' if one['matched'] else '·'} {name}: {output.text(one['why'])}")
    click.echo(f"\n{output.text(shown['message'])}")
    if (incident := shown["incident"]) is not None:
        click.echo(f"\nPagerDuty would see:\nTitle  {output.text(incident['title'])}")
        output.facts(incident["details"])
    if recorded is not None:
        said = " ".join(f"{name}={output.text(value)}" for name, value in recorded.items())
        same = (recorded["urgency"], recorded["rule"]) == (decided["urgency"], decided["rule"])
        click.echo(f"\nDecided when it came: {said}{'' if same else '  (otherwise than now)'}")
