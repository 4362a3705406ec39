"""``truthvouch store``: backups, the way from SQLite to PostgreSQL, and files without what is free in them."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import click

from app.cli import base, output
from app.config.settings import Settings
from app.errors import ConfigFault

FOLLOW_SECONDS = 0.5
"""Between two looks at whether the bridge has been stopped."""
MEGABYTE = 1_000_000
ON_POSTGRES = "DATABASE_URL is set, so the store is a PostgreSQL database"


@click.group(short_help="Back up the store, restore, compact or move it.")
def store() -> None:
    """Back up the store, restore or compact it, or move it to PostgreSQL.

    For stores on SQLite, on the bridge's machine.
    """


@store.command(short_help="Copy the store into a folder while the bridge runs.")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@base.json_option
def backup(folder: Path, as_json: bool) -> None:
    """Copy bridge.db and inbox.db into FOLDER, a new one for each backup, while the bridge runs.

    The copies are checked before they get their names. They hold what alerts say: protect them as the store itself.
    """
    settings = _on_sqlite("back it up with PostgreSQL's own tools (pg_dump).")
    from app.bootstrap import stores

    with _refusing(), output.bars(as_json) as progress:
        rows = stores.back_up(settings, folder, lambda done, total: progress("backup", done, total))
    if as_json:
        output.as_json({"folder": str(folder.absolute()), "rows": rows})
        return
    click.echo(f"Backed up to {output.text(folder.absolute())}, and checked: {_counted(rows)}.")


@store.command(short_help="Put a backup in the place of the store.")
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--keep-inbox", is_flag=True, help="Restore bridge.db alone: what arrived since is taken in once more.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@base.json_option
def restore(folder: Path, keep_inbox: bool, yes: bool, as_json: bool) -> None:
    """Put the backup in FOLDER in the place of the store. The bridge must not run.

    What was there is kept in a folder beside it. Where inbox.db is sound, --keep-inbox loses no delivery.
    """
    settings = _on_sqlite("restore it with PostgreSQL's own tools.")
    if not yes:
        question = (
            f"Put {output.text(folder)} in the place of the store in {output.text(settings.data_dir.absolute())}?"
        )
        base.confirm(question, as_json, "Say --yes: --json asks nothing.")
    from app.bootstrap import stores

    with _refusing(), output.bars(as_json) as progress:
        rows, aside = stores.restore(settings, folder, keep_inbox, lambda done, total: progress("restore", done, total))
    if as_json:
        output.as_json({"rows": rows, "before": str(aside.absolute()) if aside else None})
        return
    click.echo(f"Restored: {_counted(rows)}. Start the bridge.")
    if aside:
        click.echo(f"What was there before is in {output.text(aside.absolute())}: delete it when all is well.")


@store.command(short_help="Write the files anew, without what is free in them.")
@base.json_option
def compact(as_json: bool) -> None:
    """Write bridge.db and inbox.db anew, without what is free in them. The bridge must not run.

    Needed once for files that an older version of the bridge made: from then on retention gives space back by itself.
    Takes free disk for twice the larger file, for as long as it works.
    """
    settings = _on_sqlite("PostgreSQL's autovacuum does this.")
    from app.bootstrap import stores

    with _refusing():
        sizes = stores.compact(settings)
    if as_json:
        output.as_json({name: {"before": before, "after": after} for name, (before, after) in sizes.items()})
        return
    for name, (before, after) in sizes.items():
        click.echo(f"{name}: {before / MEGABYTE:,.1f} MB before, {after / MEGABYTE:,.1f} MB now.")


@store.command(short_help="Copy the store to PostgreSQL while the bridge runs.")
@click.option("--to", metavar="POSTGRES_URL", help="An empty database; - reads its address from standard input.")
@click.option("--undo", is_flag=True, help="Give up a copy, or open the store again that was copied.")
@base.json_option
def copy(to: str | None, undo: bool, as_json: bool) -> None:
    """Copy everything from SQLite to PostgreSQL while the bridge runs, and then close the old store.

    It says when to stop the bridge; the rest takes seconds. Interrupted, it goes on where it was. The engine's own
    tables stay behind: the first worker on PostgreSQL sees to what is owed.
    """
    if undo == bool(to):
        raise click.UsageError("Say either --to POSTGRES_URL or --undo.")
    settings = _on_sqlite("unset it here: the copy is made from the SQLite files.")
    from app.bootstrap import stores

    if to is None:
        with _refusing():
            undone = stores.undo_copy(settings)
        if as_json:
            output.as_json({"undone": undone})
        if not undone:
            base.not_so("This store was not copied.")
        if not as_json:
            click.echo("The bridge may work on this store again. Never run one on the copy, too.")
        return
    url = _address(sys.stdin.readline() if to == "-" else to)
    with _refusing(), output.bars(as_json) as progress:
        ask, wait = _ask_to_stop, lambda: time.sleep(FOLLOW_SECONDS)
        rows, where = stores.copy_store(settings, url, lambda done, total: progress("copy", done, total), ask, wait)
    if as_json:
        output.as_json({"to": where, "rows": rows})
        return
    click.echo(f"Copied to {output.text(where)}, and compared: {_counted(rows)}. This store is closed.")
    click.echo("Start the bridge with DATABASE_URL.")


def _ask_to_stop() -> None:
    click.echo(
        "\nAll but the newest is copied. Stop the bridge now, its web processes too: the rest follows at once.",
        err=True,
    )


def _address(text: str) -> str:
    with base.refusing(ConfigFault):
        url = Settings.from_env({"DATABASE_URL": text.strip()}).database_url
    if url is None:
        base.refuse("--to wants the address of a PostgreSQL database: postgresql://…")
    return url


def _on_sqlite(otherwise: str) -> Settings:
    """The settings of a store on SQLite on this machine; exit code 2 for any other."""
    if base.is_elsewhere():
        base.refuse("This command works on the bridge's files, so --url does not go with it.")
    settings = base.read_settings()
    if settings.database_url:
        base.refuse(f"{ON_POSTGRES}: {otherwise}")
    base.log_only(base.QUIET, settings)
    return settings


@contextmanager
def _refusing() -> Iterator[None]:
    from app.bootstrap import StoreRefused
    from app.ports import StoreUnavailable

    try:
        yield
    except StoreRefused as refusal:
        base.refuse(str(refusal))
    except StoreUnavailable as fault:
        base.refuse(f"The store cannot be read or written: {fault}")


COUNTED: Mapping[str, str] = {"links": "links", "timeline": "lines of the time line", "inbox": "deliveries"}


def _counted(rows: Mapping[str, int]) -> str:
    return ", ".join(f"{words}: {rows[name]}" for name, words in COUNTED.items() if name in rows)
