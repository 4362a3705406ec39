"""What the commands about rules print: first as plain values, which ``--json`` shows as they are, then for people."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from app.cli import tables
from app.domain.backtest_record import Hit, Hits
from app.domain.rulebook import Decision, Rulebook
from app.domain.rules import SEVERITY_MAP
from app.domain.silences import Silence

if TYPE_CHECKING:
    from app.services.explain import Explanation

# ------------------------------------------------------------------------------------------------------- list


def listed(rulebook: Rulebook, hits: Hits | None, now: datetime) -> dict[str, Any]:
    """The rulebook in order. Counts are None where there is no store."""
    done = hits.by_rule if hits else {}
    names = {rule.name for rule in rulebook.rules} | {silence.name for silence in rulebook.silences} | {SEVERITY_MAP}
    return {
        "version": rulebook.version,
        "rules": [
            {
                "name": rule.name,
                "trigger": rule.trigger,
                "action": rule.action.value,
                "urgency": rule.urgency.value if rule.urgency else None,
                "service_id": rule.service_id,
                "escalation_policy_id": rule.escalation_policy_id,
                "hold_resolve_minutes": rule.hold_resolve_minutes,
                **_counts(done.get(rule.name), hits),
            }
            for rule in rulebook.rules
        ],
        "silences": [silence(one, now) | _counts(done.get(one.name), hits) for one in rulebook.silences],
        "severity_map": {name: str(urgency or "none") for name, urgency in rulebook.severity_map.items()},
        "severity_map_counts": _counts(done.get(SEVERITY_MAP), hits),
        "not_in_the_file": {name: _counts(hit, hits) for name, hit in sorted(done.items()) if name not in names},
        "days": 30,
    }


def _counts(hit: Hit | None, hits: Hits | None) -> dict[str, int | None]:
    if hits is None:
        return {"matched": None, "paged": None, "flaps": None}
    hit = hit or Hit()
    return {"matched": hit.matched, "paged": hit.paged, "flaps": hit.flaps}


def silence(one: Silence, now: datetime) -> dict[str, Any]:
    """One silence as values."""
    return {
        "name": one.name,
        "match": one.match,
        "owner": one.owner,
        "reason": one.reason,
        "from": one.starts,
        "until": one.until,
        "standing": one.standing(now),
    }


def show_list(told: Mapping[str, Any]) -> None:
    """Rules, silences in force, severity map."""
    head = ("#", "rule", "trigger", "action", "urgency", "service", "holds resolve", "30 days", "paged", "flaps")
    rows = [_rule_row(number, rule) for number, rule in enumerate(told["rules"], start=1)]
    tables.table(head, rows) if rows else click.echo("No rules: every alert goes by the severity map.")
    in_force = [one for one in told["silences"] if one["standing"] == "in_force"]
    if in_force:
        click.echo("\nSilences in force, asked before every rule:")
        show_silences(in_force)
    counts = told["severity_map_counts"]
    click.echo(f"\nSeverity map, for alerts that no rule matches ({tables.text(counts['matched'])} in 30 days):")
    tables.facts(told["severity_map"])
    if told["not_in_the_file"]:
        click.echo("\nDecided in that time, and not in the file any more:")
        gone = told["not_in_the_file"].items()
        tables.table(("name", "30 days", "paged"), [(name, hit["matched"], hit["paged"]) for name, hit in gone])


def _rule_row(number: int, rule: Mapping[str, Any]) -> tuple[object, ...]:
    suppresses = rule["action"] == "suppress"
    urgency = "none" if suppresses else rule["urgency"] or "by severity"
    held = f"{rule['hold_resolve_minutes']:g} min" if rule["hold_resolve_minutes"] else None
    counts = (rule["matched"], rule["paged"], rule["flaps"])
    return (number, rule["name"], rule["trigger"], rule["action"], urgency, rule["service_id"], held, *counts)


def show_silences(silences: list[dict[str, Any]]) -> None:
    """A table of silences."""
    names = ("name", "match", "owner", "reason", "until", "standing", "matched")
    head = (*names[:-1], "silenced")
    tables.table(head, [[one[name] for name in names] for one in silences])


# ---------------------------------------------------------------------------------------------------- explain


def decision(told: Decision | None) -> dict[str, Any] | None:
    """A recorded decision as values."""
    if told is None:
        return None
    urgency = told.urgency.value if told.urgency else "none"
    return {"rule": told.rule, "reason": told.reason, "urgency": urgency, "rulebook": told.version}


def show_explanation(told: "Explanation", recorded: Decision | None) -> None:
    """What was tried, and the answer."""
    click.echo(f"Alert {tables.text(told.alert_id)}, rulebook {told.decision.version}\n")
    kinds = {"silence": "silence ", "rule": "rule ", SEVERITY_MAP: ""}
    for one in told.tried:
        name = "the severity map" if one.kind == SEVERITY_MAP else f"{kinds[one.kind]}{tables.text(one.rule)}"
        click.echo(f"{'✔' if one.matched else '·'} {name}: {tables.text(one.why)}")
    click.echo(f"\n{tables.text(told.words)}")
    if told.title is not None:
        click.echo(f"\nPagerDuty would see:\nTitle  {tables.text(told.title)}")
        tables.facts(told.details)
    if recorded is not None:
        facts = decision(recorded) or {}
        said = " ".join(f"{name}={tables.text(value)}" for name, value in facts.items())
        same = (recorded.urgency, recorded.rule) == (told.decision.urgency, told.decision.rule)
        click.echo(f"\nDecided when it came: {said}{'' if same else '  (otherwise than now)'}")
