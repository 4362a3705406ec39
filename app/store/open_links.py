"""Links as reconciliation reads them: a batch at a time, as they are, locking nobody out."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from app.domain.link import Link
from app.domain.names import AlertId, IncidentId, IncidentKey, LinkId
from app.ports import Tx
from app.store import codec
from app.store.database import connection
from app.store.schema import OPEN_LINK, OPEN_PAGED, OPEN_UNPAGED, links

_select = sa.select(links.c.id, links.c.state)
_page = _select.where(links.c.id > sa.bindparam("after")).order_by(links.c.id).limit(sa.bindparam("at_most"))
_open_and: Mapping[bool | None, sa.Select[Any]] = {
    None: _page.where(OPEN_LINK),
    True: _page.where(OPEN_PAGED),
    False: _page.where(OPEN_UNPAGED),
}
_on_incidents = _select.where(
    sa.or_(
        links.c.incident_id.in_(sa.bindparam("ids", expanding=True)),
        links.c.incident_key.in_(sa.bindparam("keys", expanding=True)),
    )
).order_by(links.c.id)
_of_alerts = _select.where(links.c.alert_id.in_(sa.bindparam("ids", expanding=True)))


class StoredOpenLinks:
    """Implements ``ports.OpenLinks``."""

    def open_after(self, tx: Tx, link_id: LinkId, limit: int, paged: bool | None = None) -> tuple[Link, ...]:
        """Links not over on both sides, numbered above ``link_id``, in order."""
        return _read(tx, _open_and[paged], {"after": link_id, "at_most": limit})

    def on_incidents(self, tx: Tx, ids: Collection[IncidentId], keys: Collection[IncidentKey]) -> tuple[Link, ...]:
        """Every link on one of these incidents or with one of these keys, oldest first."""
        return _read(tx, _on_incidents, {"ids": list(ids), "keys": list(keys)})

    def of_alerts(self, tx: Tx, ids: Collection[AlertId]) -> Mapping[AlertId, Link]:
        """The links of these alerts."""
        return {link.alert.alert_id: link for link in _read(tx, _of_alerts, {"ids": list(ids)})}


def _read(tx: Tx, query: sa.Select[Any], values: Mapping[str, Any]) -> tuple[Link, ...]:
    rows = connection(tx).execute(query, values).all()
    return tuple(replace(codec.load_link(row.state), link_id=LinkId(row.id)) for row in rows)
