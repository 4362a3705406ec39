"""Backups of this installation's store, and its way to PostgreSQL."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from app.config.settings import Settings
from app.ports import utc_now
from app.store import backup, copy

Progress = Callable[[int, int], None]


def back_up(settings: Settings, folder: Path, progress: Progress) -> Mapping[str, int]:
    """Copy the SQLite files into a folder; the rows of each table. Raises ``StoreUnavailable`` and ``StoreRefused``, as
    all do here."""
    return backup.back_up(settings.data_dir, folder, progress)


def restore(
    settings: Settings, folder: Path, keep_inbox: bool, progress: Progress
) -> tuple[Mapping[str, int], Path | None]:
    """Put a backup in the place of the SQLite files; the rows of each table, and where the old ones went."""
    return backup.restore(settings.data_dir, folder, keep_inbox, progress, datetime.now(UTC))


def compact(settings: Settings) -> Mapping[str, tuple[int, int]]:
    """Write the SQLite files anew, without what is free in them; the bytes of each before and after."""
    return backup.compact(settings.data_dir)


def copy_store(
    settings: Settings, url: str, progress: Progress, ask_to_stop: Callable[[], None], wait: Callable[[], None]
) -> tuple[Mapping[str, int], str]:
    """Copy the SQLite store into PostgreSQL and close it; the rows of each table, and where they are, for people."""
    made = copy.StoreCopy(settings.data_dir, url, progress, utc_now)
    try:
        return made.run(ask_to_stop, wait), made.where
    finally:
        made.dispose()


def undo_copy(settings: Settings) -> bool:
    """Open the SQLite store again, or give up a copy; False where there is neither."""
    return copy.undo(settings.data_dir)
