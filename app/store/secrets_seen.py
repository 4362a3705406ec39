"""Which webhook secrets are in use, and which new ones no bridge has been started with.

When an old one last proved a delivery is the evidence that it can be removed. Deliveries proved by the newest secret,
nearly all, are not in the index that is read here: neither the read nor the index costs anything while no secret is
being changed.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from app.domain.model.types import Side
from app.ports import Tx
from app.store.database import KEY_VALUES, Database, readable
from app.store.schema import OLD_SECRET, inbox

PENDING = "secret_pending."
"""How the keys begin that hold the digest of a new secret which no bridge has been started with; the
subscription's id follows."""


@dataclass(eq=False)
class StoredSecretsSeen:
    """Reads the inbox of either store."""

    inbox_engine: sa.Engine

    def old_ones(self, since: datetime) -> Mapping[str, datetime]:
        """By source: when a secret that was not the newest at that time last proved a delivery, from ``since`` on.

        Raises ``StoreUnavailable``.
        """
        newest = sa.select(sa.func.max(inbox.c.received_at)).where(OLD_SECRET, inbox.c.received_at >= since)
        with readable(self.inbox_engine) as reader:
            # Each by itself: of all at once every delivery of that time would be looked at.
            seen: dict[Side, datetime | None] = {
                side: reader.execute(newest.where(inbox.c.source == side)).scalar_one() for side in Side
            }
        return {side: at for side, at in seen.items() if at is not None}


def add_pending(tx: Tx, subscription_id: str, secret: str) -> None:
    """Remember a new secret, by its digest, until a bridge starts with it."""
    KEY_VALUES.put(tx, f"{PENDING}{subscription_id}", _digest(secret))


def pending(tx: Tx) -> Mapping[str, str]:
    """The digests of the secrets that no bridge has been started with, by the id of their subscription."""
    facts = KEY_VALUES.all(tx)
    return {name.removeprefix(PENDING): digest for name, digest in facts.items() if name.startswith(PENDING)}


def confirm(database: Database, secrets: Sequence[str]) -> None:
    """A bridge starts with these secrets: they are pending no more. Raises ``StoreUnavailable``."""
    digests = set(map(_digest, secrets))
    with database.read() as tx:
        known = [name for name, digest in pending(tx).items() if digest in digests]
    if known:
        with database.begin() as tx:
            for name in known:
                KEY_VALUES.clear(tx, f"{PENDING}{name}")


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
