"""What the store adds to the rules in force, read by the driver itself: each process looks once a second."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app.domain.model.types import Urgency, instant_of
from app.domain.rules.rulebook import Origin, Silence
from app.ports.rules import StoredPart
from app.store.plain import PlainStore

MARK = "rules.stored"
"""Key: the mark. Never cleared."""
SHADOW = "rules.shadow"
"""Key: the name of the draft that is asked beside the rules in force."""
SILENCES = 'SELECT name, "match", owner, reason, starts, until, up_to FROM stored_silences ORDER BY name'
_DRAFT = "SELECT text FROM rule_drafts WHERE name = ?"


def silence_of(row: Sequence[Any]) -> Silence:
    """A row of ``SILENCES``."""
    name, match, owner, reason, starts, until, up_to = row
    limit = Urgency(up_to) if up_to else None
    return Silence(name, match, owner, reason, instant_of(until), instant_of(starts), Origin.STORE, limit)


@dataclass(frozen=True)
class RulesInForce:
    """Implements ``ports.rules.StoredPartReader``. A store without a mark is never asked for tables it may not have."""

    bridge: PlainStore

    def mark(self) -> str:
        return self.bridge.value(MARK) or ""

    def part(self) -> StoredPart:
        mark = self.mark()  # first: whatever changes meanwhile has another one
        if not mark:
            return StoredPart()
        silences = tuple(map(silence_of, self.bridge.rows(SILENCES)))
        return StoredPart(mark, silences, self.bridge.value(SHADOW))

    def text_of_draft(self, name: str) -> str | None:
        """Of a draft in the store. Raises ``StoreUnavailable``."""
        return next((text for (text,) in self.bridge.rows(_DRAFT, (name,))), None)
