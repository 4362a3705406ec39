"""Links as reports read them: a page at a time in the order they were first seen, locking nobody out."""

from dataclasses import replace
from datetime import datetime

import sqlalchemy as sa

from app.domain.link import Link
from app.domain.names import LinkId
from app.ports import Tx
from app.ports.history import Span
from app.store import codec
from app.store.database import connection
from app.store.schema import Instant, links

_seen = links.c.first_seen_at
_in_span = sa.and_(_seen >= sa.bindparam("since"), _seen < sa.bindparam("until"))
_began = sa.select(sa.func.min(_seen, type_=Instant))
_count = sa.select(sa.func.count()).select_from(links).where(_in_span)
_page = sa.select(links.c.id, links.c.state).order_by(_seen, links.c.id).limit(sa.bindparam("at_most"))
_first = _page.where(_in_span)
# Where many were first seen in the same moment, a page may end among them.
_next = _first.where(
    sa.tuple_(_seen, links.c.id)
    > sa.tuple_(sa.bindparam("seen", type_=Instant), sa.bindparam("last", type_=sa.BigInteger))
)


class StoredHistory:
    """Implements ``ports.history.History``."""

    def began_at(self, tx: Tx) -> datetime | None:
        """When the first link was seen."""
        began: datetime | None = connection(tx).execute(_began).scalar_one()
        return began

    def count(self, tx: Tx, span: Span) -> int:
        """How many links there are in the span."""
        counted: int = connection(tx).execute(_count, _bounds(span)).scalar_one()
        return counted

    def page(self, tx: Tx, span: Span, after: tuple[datetime, LinkId] | None, limit: int) -> tuple[Link, ...]:
        """The next links of the span, oldest first."""
        values = {**_bounds(span), "at_most": limit}
        if after is None:
            rows = connection(tx).execute(_first, values).all()
        else:
            rows = connection(tx).execute(_next, values | {"seen": after[0], "last": after[1]}).all()
        return tuple(replace(codec.load_link(row.state), link_id=LinkId(row.id)) for row in rows)


def _bounds(span: Span) -> dict[str, datetime]:
    return {"since": span.since, "until": span.until}
