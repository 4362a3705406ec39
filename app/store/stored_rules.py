"""Silences and drafts of rules that live in the store.

The mark is a short hash of what concerns alerts. It is written in the transaction of every change, so a reader sees
either both or neither, and a store of an older version, which has no mark, is never asked for tables it does not have.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from app.domain.rules.rulebook import Silence
from app.ports import Tx
from app.ports.rules import StoredDraft
from app.store.database import KEY_VALUES, connection, upsert
from app.store.rules_in_force import MARK, SHADOW, SILENCES, silence_of
from app.store.schema import rule_drafts, stored_silences

MARK_CHARS = 6
"""Of a hash in hexadecimal: few people change rules, and a version is read aloud."""

_drafts = sa.select(rule_drafts).order_by(rule_drafts.c.name)
_draft = _drafts.where(rule_drafts.c.name == sa.bindparam("wanted"))


class RulesInStore:
    """Implements ``ports.rules.StoredRules``."""

    def silences(self, tx: Tx) -> tuple[Silence, ...]:
        return tuple(map(silence_of, connection(tx).exec_driver_sql(SILENCES)))

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
        rows = [[str(value) for value in row] for row in connection(tx).exec_driver_sql(SILENCES)]
        content = json.dumps([rows, shadow, draft.text if draft else None])
        KEY_VALUES.put(tx, MARK, hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:MARK_CHARS])
