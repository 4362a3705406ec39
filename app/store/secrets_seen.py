"""When an old webhook secret last proved a delivery: the evidence that it can be removed.

Deliveries proved by the newest secret, nearly all, are not in the index that is read here: neither the look nor the
index costs anything while no secret is being changed.
"""

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from app.domain.names import Side
from app.ports import StoreUnavailable
from app.store.schema import OLD_SECRET, Instant, inbox


class StoredSecretsSeen:
    """Reads the inbox of either store."""

    def __init__(self, inbox_engine: sa.Engine) -> None:
        self._inbox = inbox_engine

    def old_ones(self, since: datetime) -> Mapping[str, datetime]:
        """By source: when a secret that was not the newest at that time last proved a delivery, from ``since`` on.

        Raises ``StoreUnavailable``.
        """
        received_at = sa.type_coerce(inbox.c.received_at, Instant)
        newest = sa.select(sa.func.max(received_at)).where(OLD_SECRET, received_at >= since)
        seen: dict[Side, datetime | None]
        try:
            with self._inbox.connect() as reader:
                # Each by itself: of all at once every delivery of that time would be looked at.
                seen = {side: reader.execute(newest.where(inbox.c.source == side)).scalar_one() for side in Side}
        except sa.exc.DBAPIError as fault:
            raise StoreUnavailable(str(fault.orig)) from fault
        return {side: at for side, at in seen.items() if at is not None}
