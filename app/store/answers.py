"""Answers of the API under the idempotency key of their request."""

from datetime import datetime

import sqlalchemy as sa

from app.ports import KeptAnswer, KeyUse, Tx
from app.store.database import connection
from app.store.schema import answers

_named = answers.c.name == sa.bindparam("wanted")
_add = sa.text(
    "INSERT INTO answers (name, digest, began_at) VALUES (:name, :digest, :began_at) ON CONFLICT (name) DO NOTHING"
).bindparams(sa.bindparam("began_at", type_=answers.c.began_at.type))
_known = sa.select(answers).where(_named).with_for_update()
_again = sa.update(answers).where(_named)
_forget = sa.delete(answers).where(_named)


class StoredAnswers:
    """Implements ``ports.AnswerStore``."""

    def begin(self, tx: Tx, name: str, digest: str, now: datetime, alive_since: datetime) -> KeptAnswer | None:
        on = connection(tx)
        if on.execute(_add, {"name": name, "digest": digest, "began_at": now}).rowcount == 1:
            return None
        row = on.execute(_known, {"wanted": name}).one()
        if row.digest != digest:
            return KeptAnswer(KeyUse.OTHER_REQUEST)
        if row.status is not None:
            return KeptAnswer(KeyUse.ANSWERED, row.status, row.body)
        if row.began_at >= alive_since:
            return KeptAnswer(KeyUse.UNDER_WAY)
        on.execute(_again.values(began_at=now), {"wanted": name})
        return None

    def keep(self, tx: Tx, name: str, status: int, body: bytes) -> None:
        connection(tx).execute(_again.values(status=status, body=body), {"wanted": name})

    def forget(self, tx: Tx, name: str) -> None:
        connection(tx).execute(_forget, {"wanted": name})

    def forget_before(self, tx: Tx, at: datetime) -> None:
        connection(tx).execute(sa.delete(answers).where(answers.c.began_at < at))
