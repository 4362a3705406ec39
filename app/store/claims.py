"""Deliveries that a worker makes at once: by whom. The table holds what is in hand, and what has ended just now."""

from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from app.domain.model.types import LinkId, Side
from app.ports import DeliveryRef, Order, Tx
from app.store.database import connection, upserting
from app.store.prepared import Prepared
from app.store.schema import claims

_claim = upserting(claims)
_key = [claims.c[name] == sa.bindparam(f"its_{name}") for name in ("link_id", "side", "seq")]
_release = Prepared(sa.delete(claims).where(*_key))
_of = (
    sa.select(claims.c.link_id, claims.c.side, claims.c.seq)
    .where(claims.c.executor_id == sa.bindparam("wanted"))
    .order_by(claims.c.priority, claims.c.link_id)
)
_claimants = sa.select(claims.c.executor_id).distinct()
_claimed = sa.select(claims.c.link_id, claims.c.side, claims.c.seq).where(
    claims.c.link_id.in_(sa.bindparam("ids", expanding=True))
)


class StoredClaims:
    """Implements ``ports.Claims``."""

    def claim(self, tx: Tx, executor_id: str, orders: Sequence[Order]) -> None:
        rows = [
            {"link_id": one.link_id, "side": one.side.value, "seq": one.seq, "priority": one.priority}
            | {"executor_id": executor_id}
            for one in orders
        ]
        _claim.run(tx, rows)

    def release(self, tx: Tx, deliveries: Sequence[DeliveryRef]) -> None:
        keys = [{"its_link_id": link, "its_side": side.value, "its_seq": seq} for link, side, seq in deliveries]
        _release.run(tx, keys)

    def of(self, tx: Tx, executor_id: str) -> tuple[DeliveryRef, ...]:
        return tuple(map(_ref, connection(tx).execute(_of, {"wanted": executor_id})))

    def claimants(self, tx: Tx) -> frozenset[str]:
        return frozenset(connection(tx).execute(_claimants).scalars())

    def claimed(self, tx: Tx, deliveries: Collection[DeliveryRef]) -> frozenset[DeliveryRef]:
        rows = connection(tx).execute(_claimed, {"ids": [link_id for link_id, _, _ in deliveries]})
        return frozenset(map(_ref, rows)) & frozenset(deliveries)


def _ref(row: Any) -> DeliveryRef:
    return LinkId(row.link_id), Side(row.side), row.seq
