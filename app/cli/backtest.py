"""``truthvouch rules backtest`` and ``rules shadow``: what a draft would have done, and what it says of what comes."""

from datetime import UTC, datetime
from pathlib import Path

import click

from app.cli import tables
from app.cli.asking import json_option
from app.cli.base import check_config, read_settings, refuse
from app.cli.rules_desk import desk, draft_argument, named_once, read_draft
from app.cli.spans import Moment
from app.settings import Settings


@click.command(short_help="Tell what a draft would have paged.")
@click.option("--since", type=Moment(), default="30d", show_default=True, help="From then on: 30d, or a day.")
@click.option("--until", type=Moment(), help="Before then; now if it is left out.")
@draft_argument
@json_option
def backtest(since: datetime, until: datetime | None, file: Path | None, draft: Path | None, as_json: bool) -> None:
    """Run a draft over the stored alerts and tell which pages it would have gained, lost and moved, what noise that
    saves and what it costs. The rules in force are asked about the same alerts, now.

    FILE is the draft; without it the one that `shadow:` names, and without that the rules in force.
    """
    from app.cli import backtest_told
    from app.cli.periods import bar

    settings = read_settings()
    live, now = check_config(settings), datetime.now(UTC)
    until = until or now
    if since >= until:
        refuse("--since has to be before --until.")
    path = named_once(file, draft) or _beside(settings, live.shadow)
    other = read_draft(settings, path, live) if path else live
    path = path or settings.config_path
    with desk(settings) as opened, bar(hidden=as_json) as told:
        found = opened.backtests.run(live, other, since, until, told)
    shown = backtest_told.backtested(found, since, until, str(settings.config_path), str(path))
    if as_json:
        tables.as_json(shown)
    else:
        backtest_told.show_backtest(shown)


def _beside(settings: Settings, named: str | None) -> Path | None:
    """The draft that ``shadow:`` names; one that is not there is no draft, as the bridge has it."""
    from app.bootstrap.common import fingerprint
    from app.services.shadow import MISSING

    path = settings.config_path.parent / named if named else None
    if path and fingerprint(path) is None:
        refuse(f"The draft {path} (shadow:) cannot be tested: {MISSING}. Write it, or name another with --config.")
    return path


@click.command(short_help="Tell where the draft beside the rules decided otherwise.")
@click.option("--since", type=Moment(), default="7d", show_default=True, help="From then on: 7d, or a day.")
@json_option
def shadow(since: datetime, as_json: bool) -> None:
    """Tell where the draft beside the rules (`shadow:` in bridge.yaml) decided otherwise."""
    from app import logs
    from app.bootstrap.rules import Fixed, shadow_of
    from app.cli import backtest_told

    settings = read_settings()
    rulebook = check_config(settings)
    with desk(settings) as opened:
        tally = opened.backtests.shadow(since, datetime.now(UTC))
    logs.configure(settings.log_format, "CRITICAL")  # what is wrong with the draft, the answer says
    draft = shadow_of(settings, Fixed(rulebook))
    current = draft.current()
    shown = backtest_told.shadowed(tally, since, rulebook.shadow, current.version if current else None, draft.fault)
    if as_json:
        tables.as_json(shown)
    else:
        backtest_told.show_shadow(shown)
