"""Links as reconciliation reads them: a batch at a time, as they are, locking nobody out."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from app.domain.link import Link
from app.domain.names import AlertId, IncidentId, IncidentKey, LinkId
from app.ports import OpenKind, Tx
from app.store import codec
from app.store.database import connection
from app.store.schema import EPOCH, OPEN_PAGED, OPEN_SILENCED, OPEN_UNPAGED, links

DISORDER = timedelta(hours=1)
"""By so much a link may have been seen first before one of a lower number: several workers, a clock that was set."""

_select = sa.select(links.c.id, links.c.state)
_above = links.c.id > sa.bindparam("after")
_words = {OpenKind.PAGED: OPEN_PAGED, OpenKind.SILENCED: OPEN_SILENCED, OpenKind.UNPAGED: OPEN_UNPAGED}
_pages: Mapping[OpenKind, sa.Select[Any]] = {
    kind: _select.where(words, _above).order_by(links.c.id).limit(sa.bindparam("at_most"))
    for kind, words in _words.items()
}
_counts: Mapping[OpenKind, sa.Select[Any]] = {
    kind: sa.select(sa.func.count()).select_from(links).where(words, _above) for kind, words in _words.items()
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

    def open_after(self, tx: Tx, kind: OpenKind, link_id: LinkId, limit: int) -> tuple[Link, ...]:
        """Open links of this kind, numbered above ``link_id``, in order."""
        return _read(tx, _pages[kind], {"after": link_id, "at_most": limit})

    def count_open(self, tx: Tx, kind: OpenKind, link_id: LinkId) -> int:
        """How many open links of this kind have a number above ``link_id``."""
        counted: int = connection(tx).execute(_counts[kind], {"after": link_id}).scalar_one()
        return counted

    def last_before(self, tx: Tx, at: datetime) -> LinkId:
        """A number that is below those of all links first heard of since then; 0 where all were."""
        return LinkId(connection(tx).execute(sa.select(number_before(at))).scalar_one())

    def on_incidents(self, tx: Tx, ids: Collection[IncidentId], keys: Collection[IncidentKey]) -> tuple[Link, ...]:
        """Every link on one of these incidents or with one of these keys, oldest first."""
        return _read(tx, _on_incidents, {"ids": list(ids), "keys": list(keys)})

    def of_alerts(self, tx: Tx, ids: Collection[AlertId]) -> Mapping[AlertId, Link]:
        """The links of these alerts."""
        return {link.alert.alert_id: link for link in _read(tx, _of_alerts, {"ids": list(ids)})}


def number_before(at: datetime) -> sa.ColumnElement[int]:
    """``last_before`` as a part of a statement. Numbers follow the times, nearly."""
    before = max(at, EPOCH + DISORDER) - DISORDER
    older = sa.select(links.c.id).where(links.c.first_seen_at < before)
    newest = older.order_by(links.c.first_seen_at.desc(), links.c.id.desc()).limit(1)
    return sa.func.coalesce(newest.scalar_subquery(), 0)


def _read(tx: Tx, query: sa.Select[Any], values: Mapping[str, Any]) -> tuple[Link, ...]:
    rows = connection(tx).execute(query, values).all()
    return tuple(replace(codec.load_link(row.state), link_id=LinkId(row.id)) for row in rows)
