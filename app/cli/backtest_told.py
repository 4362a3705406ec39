"""What backtests and drafts print: first as plain values, which ``--json`` shows as they are, then for people."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from app.cli import tables
from app.domain.backtest import Backtest
from app.domain.backtest_record import ShadowTally

MAX_DAYS_SHOWN = 31


def backtested(found: Backtest, since: datetime, until: datetime, live: str, draft: str) -> dict[str, Any]:
    """A backtest as values."""
    return {
        "since": since,
        "until": until,
        "live": {"file": live, "version": found.live.version},
        "draft": {"file": draft, "version": found.draft.version},
        "alerts": found.alerts,
        "left_out": found.undecided,
        "pages": {"live": found.total.live, "draft": found.total.draft},
        "differences": {
            kind: {"count": group.count, "by_rule": dict(group.by_rule.most_common()), "examples": group.examples}
            for kind, group in found.groups.items()
        },
        "moved_in": dict(found.moved_in.most_common()),
        "noise_saved": {"count": sum(found.saved().values()), "by": dict(found.saved())},
        "cost": {"count": sum(found.costs().values()), "by": dict(found.costs())},
        "still_open": found.still_open,
        "rules": {
            name: {
                "matched": {"live": matched.live, "draft": matched.draft},
                "pages": {"live": found.by_rule[name].live, "draft": found.by_rule[name].draft},
            }
            for name, matched in found.matched.items()
        },
        "days": {day: {"live": pages.live, "draft": pages.draft} for day, pages in sorted(found.by_day.items())},
        "recorded_differs": dict(found.recorded_differs),
    }


def show_backtest(told: Mapping[str, Any]) -> None:
    """A backtest for people."""
    live, draft, pages = told["live"], told["draft"], told["pages"]
    click.echo(
        f"{draft['file']} (version {draft['version']}) against {live['file']} (version {live['version']}): both were "
        f"asked now\nabout the {told['alerts']} alerts that came from {tables.text(told['since'])} until "
        f"{tables.text(told['until'])}, without silences."
    )
    change = pages["draft"] - pages["live"]
    click.echo(f"\nPages: {pages['live']} with the rules in force, {pages['draft']} with the draft ({change:+d}).")
    _show_differences(told["differences"], told["moved_in"])
    lost = told["differences"]["lost"]["count"]
    if lost:
        click.echo(f"\nOf the {lost} lost pages")
        click.echo(f"  noise saved   {_counted(told['noise_saved'])}")
        click.echo(f"  cost          {_counted(told['cost'])}")
        if told["still_open"]:
            click.echo(f"  still open    {told['still_open']}  (nobody can tell yet)")
    _show_counts(told)
    _show_notes(told)


def _show_differences(differences: Mapping[str, Any], moved_in: Mapping[str, int]) -> None:
    for kind, group in differences.items():
        about = f" ({_listed(moved_in)})" if kind == "moved" and moved_in else ""
        click.echo(f"\n{kind.capitalize()}: {group['count']}{about}")
        for rule, count in list(group["by_rule"].items())[:20]:
            click.echo(f"  {count:>7}  {tables.text(rule)}")
        if group["examples"]:
            click.echo(f"  for example {', '.join(map(tables.text, group['examples']))}")


def _show_counts(told: Mapping[str, Any]) -> None:
    click.echo()
    head = ("rule", "decided", "with the draft", "pages", "with the draft")
    pairs = [(name, *rule["matched"].values(), *rule["pages"].values()) for name, rule in told["rules"].items()]
    tables.table(head, pairs)
    days = list(told["days"].items())[-MAX_DAYS_SHOWN:]
    click.echo()
    tables.table(("day (UTC)", "pages", "with the draft"), [(day, *pages.values()) for day, pages in days])
    if len(days) < len(told["days"]):
        click.echo(f"The last {MAX_DAYS_SHOWN} of {len(told['days'])} days; --json has all.")


def _show_notes(told: Mapping[str, Any]) -> None:
    if told["recorded_differs"]:
        count = sum(told["recorded_differs"].values())
        why = _listed(told["recorded_differs"])
        click.echo(f"\nAbout {count} alerts the rules in force say otherwise today than was decided then ({why}).")
    if told["left_out"]:
        click.echo(f"{told['left_out']} stored alerts never asked for an incident and were left out.")


def _counted(group: Mapping[str, Any]) -> str:
    return f"{group['count']}" + (f"  ({_listed(group['by'])})" if group["by"] else "")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


# ----------------------------------------------------------------------------------------------------- shadow


def shadowed(tally: ShadowTally, since: datetime, draft: str | None, version: str | None, fault: str) -> dict[str, Any]:
    """What a draft beside the rules said otherwise, as values."""
    return {
        "since": since,
        "draft": draft,
        "version": version,
        "fault": fault or None,
        "differences": {
            kind: {"count": group.count, "by_rule": dict(group.by_rule.most_common()), "examples": group.examples}
            for kind, group in tally.groups.items()
        },
        "moved_in": dict(tally.moved_in),
        "days": dict(sorted(tally.by_day.items())),
        "versions": dict(tally.by_version),
    }


def show_shadow(told: Mapping[str, Any]) -> None:
    """The same for people."""
    if told["fault"]:
        click.echo(f"The draft {told['draft']} is not asked: {told['fault']}")
    elif told["draft"] is None:
        click.echo("No draft is asked: bridge.yaml has no `shadow:`.")
    else:
        click.echo(f"The draft {told['draft']} (version {told['version']}) is asked about every alert that is created.")
    total = sum(group["count"] for group in told["differences"].values())
    click.echo(f"Since {tables.text(told['since'])} a draft decided {total} alerts otherwise.")
    if total:
        _show_differences(told["differences"], told["moved_in"])
        click.echo(f"\nBy version of the draft: {_listed(told['versions'])}. By day: {_listed(told['days'])}.")
