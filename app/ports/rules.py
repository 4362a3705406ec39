"""Silences and drafts that live in the store, so that every machine has the same and none needs a writable file."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from app.domain.rules.rulebook import Silence
from app.ports.store import Tx

STORED_PREFIX = "store:"
"""How ``Rulebook.shadow`` begins where it names a stored draft and no file."""

MAX_SILENCES = 200
"""In the store, those that are over not counted."""


@dataclass(frozen=True, slots=True)
class StoredDraft:
    """A draft of rules under a name."""

    name: str
    text: str
    """As ``bridge.yaml`` would have it."""
    saved_by: str
    saved_at: datetime


@dataclass(frozen=True, slots=True)
class StoredPart:
    """What the store adds to the rulebook of the file."""

    mark: str = ""
    """Changes with anything here, and with the text of the shadow draft; empty where nothing was ever stored."""
    silences: tuple[Silence, ...] = ()
    """In the order of their names."""
    shadow: str | None = None
    """The name of the stored draft that is asked beside the rules in force."""


class StoredPartReader(Protocol):
    """What the store adds to the rulebook, read again and again. Both raise ``StoreUnavailable``."""

    def mark(self) -> str:
        """The mark alone: one short read."""

    def part(self) -> StoredPart:
        """Everything that concerns alerts."""


class StoredRules(Protocol):
    """Silences and drafts in the store. Every change also writes a new mark."""

    def silences(self, tx: Tx) -> tuple[Silence, ...]: ...

    def put_silence(self, tx: Tx, silence: Silence) -> None:
        """Write it, new or not."""

    def remove_silence(self, tx: Tx, name: str) -> bool:
        """False where there is none of that name."""

    def drafts(self, tx: Tx) -> Sequence[StoredDraft]:
        """In the order of their names."""

    def draft(self, tx: Tx, name: str) -> StoredDraft | None: ...
    def put_draft(self, tx: Tx, draft: StoredDraft) -> None: ...

    def remove_draft(self, tx: Tx, name: str) -> bool:
        """False where there is none of that name. One that was asked beside the rules is asked no more."""

    def shadow(self, tx: Tx) -> str | None:
        """The name of the draft that is asked beside the rules in force."""

    def put_shadow(self, tx: Tx, name: str | None) -> None:
        """None: no stored draft is asked any more."""
