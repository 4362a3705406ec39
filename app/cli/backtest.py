"""``truthvouch rules backtest`` and ``rules shadow``: what a draft would have done, and what it says of what comes.

What is printed is made as plain values first, which ``--json`` shows as they are.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from app.cli import base, output
from app.cli.output import Moment
from app.config.settings import Settings


@click.command(short_help="Show what a draft would have paged.")
@click.option("--since", type=Moment(), default="30d", show_default=True, help="From then on: 30d, or a day.")
@click.option("--until", type=Moment(), help="Before then; now if it is left out.")
@base.draft_argument
@click.option("--job", "as_job", is_flag=True, help="Have the worker do it; `truthvouch jobs show` has the result.")
@base.json_option
def backtest(
    since: datetime, until: datetime | None, file: Path | None, draft: Path | None, as_job: bool, as_json: bool
) -> None:
    """Run a draft over the stored alerts and tell which pages it would have gained, lost and moved, what noise that
    saves and what it costs. The rules in force are asked about the same alerts, now.

    FILE is the draft; without it the one that `shadow:` names, and without that the rules in force.
    """
    from app.cli import jobs
    from app.ports.jobs import BacktestWanted
    from app.services.rules.rulebook import backtested

    (settings, live), now = base.read_config(), datetime.now(UTC)
    until = until or now
    if since >= until:
        base.refuse("--since has to be before --until.")
    path = base.named_once(file, draft) or _beside(settings, live.shadow)
    other = base.read_draft(settings, path, live) if path else live
    if as_job:
        jobs.start_wanted(BacktestWanted(since, until, text=path.read_text("utf-8-sig") if path else ""), as_json)
        return
    path = path or settings.config_path
    with base.open_store(settings) as made, output.bars(hidden=as_json) as progress:
        found = made.backtests.run(live, other, since, until, partial(progress, "Reading"))
    shown = backtested(found, since, until, str(settings.config_path), str(path))
    (output.as_json if as_json else show_backtest)(shown)


def _beside(settings: Settings, named: str | None) -> Path | None:
    """The draft that ``shadow:`` names; one that is not there is no draft, as the bridge has it."""
    from app.bootstrap.container import fingerprint
    from app.services.rules.rulebook import MISSING

    path = settings.config_path.parent / named if named else None
    if path and fingerprint(path) is None:
        base.refuse(f"The draft {path} (shadow:) cannot be tested: {MISSING}. Write it, or name another with --config.")
    return path


@click.command(short_help="Show where the draft beside the rules decided otherwise.")
@click.option("--since", type=Moment(), default="7d", show_default=True, help="From then on: 7d, or a day.")
@base.json_option
def shadow(since: datetime, as_json: bool) -> None:
    """Show where the draft beside the rules (`shadow:` in bridge.yaml, or one of the store) decided otherwise."""
    from app.bootstrap.rules import shadow_of
    from app.services.rules.rulebook import shadowed

    settings = base.read_config()[0]
    with base.open_store(settings) as made:
        tally = made.backtests.shadow(since, datetime.now(UTC))
        base.log_only(base.SILENT, settings)  # what is wrong with the draft, the answer says
        draft = shadow_of(settings, made.rulebook, stored=made.text_of_draft)
        current, named = draft.current(), made.rulebook.current().shadow
        shown = shadowed(tally, since, named, current.version if current else None, draft.fault)
    (output.as_json if as_json else show_shadow)(shown)


MAX_DAYS_SHOWN = 31


def show_backtest(result: Mapping[str, Any]) -> None:
    """A backtest for people."""
    live, draft, pages = result["live"], result["draft"], result["pages"]
    click.echo(
        f"{draft['file']} (version {draft['version']}) against {live['file']} (version {live['version']}): both were "
        f"evaluated now\nfor the {result['alerts']} alerts that came from {output.text(result['since'])} until "
        f"{output.text(result['until'])}, without silences."
    )
    change = pages["draft"] - pages["live"]
    click.echo(f"\nPages: {pages['live']} with the rules in force, {pages['draft']} with the draft ({change:+d}).")
    _show_differences(result["differences"], result["moved_in"])
    lost = result["differences"]["lost"]["count"]
    if lost:
        click.echo(f"\nOf the {lost} lost pages")
        click.echo(f"  noise saved   {_counted(result['noise_saved'])}")
        click.echo(f"  cost          {_counted(result['cost'])}")
        if result["still_open"]:
            click.echo(f"  still open    {result['still_open']}  (nobody can tell yet)")
    _show_counts(result)
    _show_notes(result)


def _show_differences(differences: Mapping[str, Any], moved_in: Mapping[str, int]) -> None:
    for kind, group in differences.items():
        about = f" ({_listed(moved_in)})" if kind == "moved" and moved_in else ""
        click.echo(f"\n{kind.capitalize()}: {group['count']}{about}")
        for rule, count in list(group["by_rule"].items())[:20]:
            click.echo(f"  {count:>7}  {output.text(rule)}")
        if group["examples"]:
            click.echo(f"  for example {', '.join(map(output.text, group['examples']))}")


def _show_counts(result: Mapping[str, Any]) -> None:
    click.echo()
    head = ("rule", "decided", "with the draft", "pages", "with the draft")
    pairs = [(name, *rule["matched"].values(), *rule["pages"].values()) for name, rule in result["rules"].items()]
    output.table(head, pairs)
    days = list(result["days"].items())[-MAX_DAYS_SHOWN:]
    click.echo()
    output.table(("day (UTC)", "pages", "with the draft"), [(day, *pages.values()) for day, pages in days])
    if len(days) < len(result["days"]):
        click.echo(f"The last {MAX_DAYS_SHOWN} of {len(result['days'])} days; --json has all.")


def _show_notes(result: Mapping[str, Any]) -> None:
    if result["recorded_differs"]:
        count = sum(result["recorded_differs"].values())
        why = _listed(result["recorded_differs"])
        click.echo(f"\nAbout {count} alerts the rules in force say otherwise today than was decided then ({why}).")
    if result["left_out"]:
        click.echo(f"{result['left_out']} stored alerts had no create event and were left out.")
    lost = result["not_decidable"]
    if lost["count"]:
        by = ", ".join(f"{output.text(rule)} {count}" for rule, count in lost["by_rule"].items())
        click.echo(
            f"{lost['count']} alerts are not decidable and were left out: a rule reads texts that are erased ({by})."
        )


def _counted(group: Mapping[str, Any]) -> str:
    return f"{group['count']}" + (f"  ({_listed(group['by'])})" if group["by"] else "")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def show_shadow(result: Mapping[str, Any]) -> None:
    """The same for people."""
    if result["fault"]:
        click.echo(f"The draft {result['draft']} is not asked: {result['fault']}")
    elif result["draft"] is None:
        click.echo("There is no draft: bridge.yaml has no `shadow:`.")
    else:
        click.echo(f"The draft {result['draft']} (version {result['version']}) is compared for every created alert.")
    total = sum(group["count"] for group in result["differences"].values())
    click.echo(f"Since {output.text(result['since'])} a draft decided {total} alerts otherwise.")
    if total:
        _show_differences(result["differences"], result["moved_in"])
        click.echo(f"\nBy version of the draft: {_listed(result['versions'])}. By day: {_listed(result['days'])}.")
