"""Silences and drafts of rules that live in the store.

The mark is a short hash of what concerns alerts. It is written in the transaction of every change, so a reader sees
either both or neither, and a store of an older version, which has no mark, is never asked for tables it does not have.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from app.domain.model.types import Urgency
from app.domain.rules.rulebook import Origin, Silence
from app.ports import Tx
from app.ports.rules import StoredDraft, StoredPart
from app.store.database import KEY_VALUES, Database, check_made, connection, readable, upsert
from app.store.schema import rule_drafts, stored_silences

MARK = "rules.stored"
"""Key: the mark. Never cleared."""
SHADOW = "rules.shadow"
"""Key: the name of the draft that is asked beside the rules in force."""
MARK_CHARS = 6
"""Of a hash in hexadecimal: few people change rules, and a version is read aloud."""

_silences = sa.select(stored_silences).order_by(stored_silences.c.name)
_drafts = sa.select(rule_drafts).order_by(rule_drafts.c.name)
_draft = _drafts.where(rule_drafts.c.name == sa.bindparam("wanted"))


@dataclass(eq=False)
class RulesInStore:
    """Implements ``ports.rules.StoredRules`` and ``StoredPartReader``."""

    database: Callable[[], Database]
    """Opens it: a folder is made by that."""
    data_dir: Path
    database_url: str | None

    def mark(self) -> str:
        check_made(self.data_dir, self.database_url)  # looking for silences must not make a store
        with readable(self.database().engine) as reader:
            return KEY_VALUES.read(Tx(reader), MARK) or ""

    def part(self) -> StoredPart:
        with readable(self.database().engine) as reader:
            tx = Tx(reader)
            mark = KEY_VALUES.read(tx, MARK) or ""
            return StoredPart(mark, self.silences(tx), self.shadow(tx)) if mark else StoredPart()

    def silences(self, tx: Tx) -> tuple[Silence, ...]:
        return tuple(
            Silence(
                row.name,
                row.match,
                row.owner,
                row.reason,
                row.until,
                row.starts,
                Origin.STORE,
                Urgency(row.up_to) if row.up_to else None,
            )
            for row in connection(tx).execute(_silences)
        )

    def put_silence(self, tx: Tx, silence: Silence) -> None:
        values: dict[str, Any] = {"match": silence.match, "owner": silence.owner, "reason": silence.reason}
        values |= {"starts": silence.starts, "until": silence.until, "up_to": silence.up_to and silence.up_to.value}
        upsert(connection(tx), stored_silences, {"name": silence.name}, values)
        self._put_mark(tx)

    def remove_silence(self, tx: Tx, name: str) -> bool:
        gone = connection(tx).execute(sa.delete(stored_silences).where(stored_silences.c.name == name)).rowcount > 0
        self._put_mark(tx)
        return gone

    def drafts(self, tx: Tx) -> Sequence[StoredDraft]:
        return tuple(StoredDraft(*row) for row in connection(tx).execute(_drafts))

    def draft(self, tx: Tx, name: str) -> StoredDraft | None:
        row = connection(tx).execute(_draft, {"wanted": name}).one_or_none()
        return None if row is None else StoredDraft(*row)

    def put_draft(self, tx: Tx, draft: StoredDraft) -> None:
        values = {"text": draft.text, "saved_by": draft.saved_by, "saved_at": draft.saved_at}
        upsert(connection(tx), rule_drafts, {"name": draft.name}, values)
        self._put_mark(tx)

    def remove_draft(self, tx: Tx, name: str) -> bool:
        gone = connection(tx).execute(sa.delete(rule_drafts).where(rule_drafts.c.name == name)).rowcount > 0
        if self.shadow(tx) == name:
            KEY_VALUES.clear(tx, SHADOW)
        self._put_mark(tx)
        return gone

    def shadow(self, tx: Tx) -> str | None:
        return KEY_VALUES.read(tx, SHADOW)

    def put_shadow(self, tx: Tx, name: str | None) -> None:
        KEY_VALUES.put(tx, SHADOW, name) if name else KEY_VALUES.clear(tx, SHADOW)
        self._put_mark(tx)

    def _put_mark(self, tx: Tx) -> None:
        shadow = self.shadow(tx)
        draft = self.draft(tx, shadow) if shadow else None
        rows = [[str(value) for value in row] for row in connection(tx).execute(_silences)]
        content = json.dumps([rows, shadow, draft.text if draft else None])
        KEY_VALUES.put(tx, MARK, hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:MARK_CHARS])
