"""The stored alerts, read back in order: of each link only what a backtest needs, a page at a time.

A look of its own for every page, so that a long run holds no old state of the store open.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.domain.alert import Alert
from app.domain.backtest import PastAlert
from app.domain.link import Moment
from app.domain.names import AlertId, Side, Urgency
from app.domain.rulebook import Decision
from app.ports import Tx
from app.store import codec
from app.store.database import connection
from app.store.schema import links, timeline

PAGE = 1_000

_seen = links.c.first_seen_at
_in_span = sa.and_(_seen >= sa.bindparam("since"), _seen < sa.bindparam("until"))
_count = sa.select(sa.func.count()).select_from(links).where(_in_span)
_first = sa.select(links.c.id, _seen, links.c.state).where(_in_span).order_by(_seen, links.c.id).limit(PAGE)
# The span of a further page begins where the last one ended: many may have been first seen in that same moment.
_next = _first.where(sa.or_(_seen > sa.bindparam("since"), links.c.id > sa.bindparam("last")))
_newest = sa.select(links.c.id, links.c.state).order_by(links.c.id.desc()).limit(PAGE)
_older = _newest.where(links.c.id < sa.bindparam("before"))
_lines = (
    sa.select(timeline.c.id, timeline.c.at, timeline.c.alert_id, timeline.c.facts)
    .where(
        timeline.c.event == sa.bindparam("event"),
        timeline.c.at >= sa.bindparam("since"),
        timeline.c.at < sa.bindparam("until"),
        timeline.c.id > sa.bindparam("last"),
    )
    .order_by(timeline.c.id)
    .limit(PAGE)
)


class StoredPast:
    """Implements ``ports.past.PastAlerts``."""

    def count(self, tx: Tx, since: datetime, until: datetime) -> int:
        """How many alerts were first heard of in that time."""
        counted: int = connection(tx).execute(_count, {"since": since, "until": until}).scalar_one()
        return counted

    def read(self, tx: Tx, since: datetime, until: datetime) -> Iterator[PastAlert]:
        """Each of them, oldest first."""
        span: dict[str, Any] = {"since": since, "until": until}
        rows = connection(tx).execute(_first, span).all()
        while rows:
            for row in rows:
                yield past_alert(json.loads(row.state), row.first_seen_at)
            span |= {"since": rows[-1].first_seen_at, "last": rows[-1].id}
            rows = connection(tx).execute(_next, span).all()

    def field_names(self, tx: Tx, *, newest_only: bool = False) -> frozenset[str] | None:
        """Of all stored alerts, or of one page of the newest, the fields of TruthVouch's own; None without any."""
        names: set[str] = set()
        rows = connection(tx).execute(_newest).all()
        if not rows:
            return None
        while rows:
            for row in rows:
                alert = json.loads(row.state)["alert"]
                names.update(alert.get("extra", ()), alert.get("people", ()))
            rows = [] if newest_only else connection(tx).execute(_older, {"before": rows[-1].id}).all()
        return frozenset(names)

    def lines(self, tx: Tx, event: str, since: datetime, until: datetime) -> Iterator[Mapping[str, Any]]:
        """The time line entries of one kind, oldest first."""
        wanted: dict[str, Any] = {"event": event, "since": since, "until": until}
        rows = connection(tx).execute(_lines, wanted | {"last": 0}).all()
        while rows:
            for row in rows:
                yield {"at": row.at, "alert_id": row.alert_id, "facts": codec.load_facts(row.facts)}
            rows = connection(tx).execute(_lines, wanted | {"last": rows[-1].id}).all()


def past_alert(state: Mapping[str, Any], at: datetime) -> PastAlert:
    """What ``codec`` wrote of a link, as far as it is needed here: whole links take ten times as long to read."""
    return PastAlert(
        _alert(state["alert"]),
        at,
        _decision(state.get("decision")),
        tuple(map(_moment, state.get("history", ()))),
        state.get("verdict"),
        state.get("flaps", 0),
    )


def _alert(told: Mapping[str, Any]) -> Alert:
    return Alert(**{**told, "alert_id": AlertId(told["alert_id"]), "created_at": _instant(told.get("created_at"))})


def _decision(told: Mapping[str, Any] | None) -> Decision | None:
    if told is None:
        return None
    return Decision(**{**told, "urgency": Urgency(told["urgency"]) if told.get("urgency") else None})


def _moment(told: Mapping[str, Any]) -> Moment:
    at = datetime.fromisoformat(told["at"])
    return Moment(at, told["what"], Side(told["side"]), told.get("author"), _instant(told.get("received_at")))


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
