"""What webhook secrets proved and did not prove.

When an old one last proved a delivery is the evidence that it can be removed. Deliveries proved by the newest secret,
nearly all, are not in the index that is read here: neither the look nor the index costs anything while no secret is
being changed.
"""

from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from app.domain.names import Side
from app.domain.proof import RefusedDeliveries
from app.ports import StoreUnavailable
from app.store.database import Database, connection
from app.store.marks import StoredMarks
from app.store.schema import OLD_SECRET, Instant, inbox, marks

REFUSED = "refused."
"""How the names of the marks begin that hold the newest refused deliveries; the side and the reason follow."""


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


def refusals(facts: Mapping[str, str], side: Side) -> tuple[RefusedDeliveries, ...]:
    """What is known of the refused deliveries of one side, among all marks: one for each reason."""
    told = [RefusedDeliveries.from_text(text) for name, text in facts.items() if name.startswith(f"{REFUSED}{side}")]
    return tuple(refused for refused in told if refused)


class StoredRefusals:
    """Writes down the deliveries whose signature proved nothing. Never their bodies: anybody can send those."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, side: Side, refused: RefusedDeliveries) -> None:
        """Add to what is known of that side and reason. Raises ``StoreUnavailable``."""
        name = f"{REFUSED}{side}.{refused.reason}"
        with self._database.begin() as tx:
            row = sa.select(marks.c.value).where(marks.c.name == name).with_for_update()
            known = RefusedDeliveries.from_text(connection(tx).execute(row).scalar_one_or_none())
            StoredMarks().put(tx, name, (known.followed_by(refused) if known else refused).as_text())
