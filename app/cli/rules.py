"""``truthvouch rules``: what the rules are, what is wrong with them, what they do, and what others would have done.

What is printed is made as plain values first, which ``--json`` shows as they are.
"""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from app.cli import base, output
from app.cli.backtest import backtest, shadow
from app.cli.drafts import drafts
from app.config.settings import Settings
from app.domain.reports.backtest import Hit, Hits
from app.domain.rules.decide import SEVERITY_MAP
from app.domain.rules.rulebook import Decision, Rulebook, Silence
from app.errors import ConfigFault

if TYPE_CHECKING:
    from app.domain.model.types import Alert
    from app.services.rules.rulebook import Explanation


COUNTED = timedelta(days=30)
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
    from app.bootstrap.container import if_stored

    settings, now = base.read_config()[0], datetime.now(UTC)
    # The rules are what they are without any store.
    rulebook = base.rulebook_in_force(settings)
    hits = if_stored(settings, lambda made: made.backtests.hits(now - COUNTED, now))
    (output.as_json if as_json else show_list)(listed_rules(rulebook, hits, now))


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

    from app.services.rules.rulebook import explained

    settings, live = base.read_config()
    rulebook = base.read_draft(settings, draft, live) if draft else base.rulebook_in_force(settings)
    found, recorded = _alert(settings, alert)
    shown = explained(rulebook, found, datetime.now(UTC))
    if as_json:
        output.as_json(shown.as_json() | {"recorded": decision(recorded)})
    else:
        show_explanation(shown, recorded)


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
            base.refuse(f"{called} is larger than 1 MiB.")
        found = alert_in(body)
        if isinstance(found, str):
            base.refuse(f"{called} {WHY_NOT.get(found, f'cannot be read ({found})')}.")
        return found, None
    if path.suffix == ".json":
        base.refuse(f"There is no file {named}.")
    with base.open_store(settings) as made:
        stored = made.stored_alerts(named)
    if stored is None:
        base.not_so(f"The bridge knows no alert {output.text(named)}, and there is no such file.")
    return stored


def listed_rules(rulebook: Rulebook, hits: Hits | None, now: datetime) -> dict[str, Any]:
    """The rulebook in order. Counts are None where there is no store."""
    done = hits.by_rule if hits else {}
    names = {rule.name for rule in rulebook.rules} | {silence.name for silence in rulebook.silences} | {SEVERITY_MAP}
    return {
        "version": rulebook.version,
        "rules": [
            {name: value for name, value in asdict(rule).items() if name != "title"}
            | _counts(done.get(rule.name), hits)
            for rule in rulebook.rules
        ],
        "silences": [silence(one, now) | _counts(done.get(one.name), hits) for one in rulebook.silences],
        "severity_map": {name: str(urgency or "none") for name, urgency in rulebook.severity_map.items()},
        "severity_map_counts": _counts(done.get(SEVERITY_MAP), hits),
        "not_in_the_file": {name: _counts(hit, hits) for name, hit in sorted(done.items()) if name not in names},
        "days": 30,
    }


def _counts(hit: Hit | None, hits: Hits | None) -> dict[str, int | None]:
    counts = asdict(hit or Hit())
    return dict.fromkeys(counts) if hits is None else counts


def silence(one: Silence, now: datetime) -> dict[str, Any]:
    """One silence as values."""
    values = asdict(one)
    starts = values.pop("starts")
    return {**values, "from": starts, "standing": one.standing(now)}


def show_list(shown: Mapping[str, Any]) -> None:
    """Rules, silences in force, severity map."""
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


def show_silences(silences: list[dict[str, Any]]) -> None:
    """A table of silences."""
    names = ("name", "match", "owner", "reason", "until", "standing", "origin", "matched")
    head = (*names[:-1], "silenced")
    output.table(head, [[one[name] for name in names] for one in silences])


def decision(shown: Decision | None) -> dict[str, Any] | None:
    """A recorded decision as values."""
    if shown is None:
        return None
    urgency = shown.urgency.value if shown.urgency else "none"
    return {"rule": shown.rule, "reason": shown.reason, "urgency": urgency, "rulebook": shown.version}


def show_explanation(shown: "Explanation", recorded: Decision | None) -> None:
    """What was tried, and the answer."""
    click.echo(f"Alert {output.text(shown.alert_id)}, rulebook {shown.decision.version}\n")
    kinds = {"silence": "silence ", "rule": "rule ", SEVERITY_MAP: ""}
    for one in shown.tried:
        name = "the severity map" if one.kind == SEVERITY_MAP else f"{kinds[one.kind]}{output.text(one.rule)}"
        click.echo(f"{'✔' if one.matched else '·'} {name}: {output.text(one.why)}")
    click.echo(f"\n{output.text(shown.message)}")
    if shown.title is not None:
        click.echo(f"\nPagerDuty would see:\nTitle  {output.text(shown.title)}")
        output.facts(shown.details)
    if recorded is not None:
        facts = decision(recorded) or {}
        said = " ".join(f"{name}={output.text(value)}" for name, value in facts.items())
        same = (recorded.urgency, recorded.rule) == (shown.decision.urgency, shown.decision.rule)
        click.echo(f"\nDecided when it came: {said}{'' if same else '  (otherwise than now)'}")
