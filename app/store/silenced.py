"""The alerts that a silence keeps quiet, as they are, locking nobody out."""

import sqlalchemy as sa

from app.domain.names import AlertId
from app.ports import Tx
from app.store.database import connection
from app.store.schema import OPEN_SILENCED, links

_after = (
    sa.select(links.c.id, links.c.alert_id)
    .where(
        OPEN_SILENCED,
        links.c.id > sa.bindparam("after"),
    )
    .order_by(links.c.id)
    .limit(sa.bindparam("at_most"))
)


class StoredSilenced:
    """Implements ``ports.past.Silenced``."""

    def after(self, tx: Tx, link_id: int, limit: int) -> tuple[tuple[int, AlertId], ...]:
        """Those that are not resolved, numbered above ``link_id``, in order; a few too many is possible."""
        rows = connection(tx).execute(_after, {"after": link_id, "at_most": limit})
        return tuple((row.id, AlertId(row.alert_id)) for row in rows)
