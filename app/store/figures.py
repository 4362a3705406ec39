"""What a link counts for, in narrow rows written with it: for reports and searches, which read no link for that.

A row is written when it changes, not when its link does; the rows of one transaction go out together.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from app.domain.model.types import LinkId
from app.domain.reports.record import figures_of, final_state, record_of
from app.domain.rules.rulebook import Redaction
from app.domain.sync.incident_draft import title_of
from app.domain.sync.link import HistoryEntry, Link
from app.ports import Tx
from app.store.database import connection, upserting
from app.store.prepared import Prepared
from app.store.schema import alert_figures, incident_figures, incident_moments, link_titles

MAX_CHARS = 255
"""Of a kind, model, category or author: they are words, whatever a sender made of them."""
MAX_NUMBER = 2**63 - 1
"""A number that no column holds is one that nobody looks for."""
TABLES = (alert_figures, incident_figures, incident_moments, link_titles)


@dataclass(frozen=True, slots=True)
class Change:
    """A link as it is saved, and as it was."""

    before: Link | None
    """None: it is new, or nobody knows."""
    link: Link
    is_new: bool = False


_write: Mapping[sa.Table, Prepared] = {table: upserting(table) for table in TABLES}
_moment_key = [column == sa.bindparam(f"its_{column.name}") for column in incident_moments.primary_key]
_drop_moment = Prepared(sa.delete(incident_moments).where(*_moment_key))
_drop_moments = Prepared(sa.delete(incident_moments).where(incident_moments.c.link_id == sa.bindparam("its_link_id")))
_drop_titles = sa.delete(link_titles).where(link_titles.c.link_id.in_(sa.bindparam("ids", expanding=True)))


def write_figures(tx: Tx, changes: Iterable[Change], redaction: Callable[[], Redaction]) -> None:
    """Bring the rows of these links up to date, in the transaction that saves them. ``redaction``: what may be in a
    title."""
    rows: dict[sa.Table, list[dict[str, Any]]] = {table: [] for table in TABLES}
    gone: list[dict[str, Any]] = []
    unknown: list[dict[str, Any]] = []
    for change in changes:
        before, link = change.before, change.link
        if _alert_changed(before, link):
            rows[alert_figures] += _if_other(_alert_row, before, link)
        if before is None or before.alert != link.alert or before.decision != link.decision:
            rows[link_titles].append(_title_row(link, redaction()))
        if before is None or before.history is not link.history or _incident(before) != _incident(link):
            rows[incident_figures] += _if_other(_incident_row, before, link)
            if before is None and not change.is_new:
                unknown.append({"its_link_id": link.link_id})
            came, went = _moments(before, link)
            rows[incident_moments] += came
            gone += went
    writes = [(_drop_moments, unknown), (_drop_moment, gone), *((_write[table], some) for table, some in rows.items())]
    for statement, some in writes:
        statement.run(tx, some)


def erase_titles(tx: Tx, link_ids: Collection[LinkId]) -> None:
    """Remove what these links are called. A search finds them by their ids alone then."""
    connection(tx).execute(_drop_titles, {"ids": list(link_ids)})


def _alert_changed(before: Link | None, link: Link) -> bool:
    """Whether a row may be another: asked of every save, so only what costs nothing is looked at."""
    return (
        before is None
        or before.alert is not link.alert
        or before.decision is not link.decision
        or (before.verdict, before.flaps) != (link.verdict, link.flaps)
        or (before.history_dropped > 0) != (link.history_dropped > 0)
        or before.paged != link.paged
    )


def _if_other(row_of: Any, before: Link | None, link: Link) -> list[dict[str, Any]]:
    row = row_of(link)
    return [] if row is None or (before is not None and row == row_of(before)) else [row]


def _alert_row(link: Link) -> dict[str, Any]:
    record, decision, alert = record_of(link), link.decision, link.alert
    return {
        "link_id": link.link_id,
        "alert_id": alert.alert_id,
        "first_seen_at": link.first_seen_at,
        "raised_at": record.raised_at,
        "severity": record.severity,
        "kind": _word(alert.kind),
        "model": _word(alert.model),
        "category": _word(alert.category),
        "rule": decision.rule if decision else None,
        "rulebook_version": decision.version if decision else None,
        "reason": record.reason,
        "urgency": record.urgency,
        "service_id": (decision.service_id if decision else None) or None,
        "verdict": record.verdict,
        "flaps": record.flaps,
        "paged": link.paged,
        "incomplete": record.incomplete,
    }


def _incident_row(link: Link) -> dict[str, Any] | None:
    """None: no incident was ever opened."""
    is_opened = any(entry.what == "triggered" for entry in link.history)
    found = final_state(record_of(link)) if is_opened else None
    if found is None:
        return None
    state, final_at = found
    incident_id, number, url = _incident(link)
    figures = figures_of(state)
    return {
        "link_id": link.link_id,
        "triggered_at": figures.times.triggered_at,
        "received_at": figures.times.received_at,
        "final_at": final_at,
        "status": figures.status,
        "acknowledged_at": figures.acknowledged_at,
        "acknowledged_by": figures.acknowledged_by,
        "acknowledged_after": state.acknowledged_after,
        "resolved_at": figures.resolved_at,
        "resolved_after": state.resolved_after,
        "reopened": figures.reopened,
        "escalated": figures.escalated,
        "acknowledged_after_escalation": figures.acknowledged_after_escalation,
        "merged": figures.merged,
        "incident_id": incident_id,
        "incident_number": number,
        "url": url,
    }


def _incident(link: Link) -> tuple[str | None, int | None, str | None]:
    number = link.incident_number or 0
    return link.incident_id, link.incident_number if 0 <= number <= MAX_NUMBER else None, link.incident_url


def _title_row(link: Link, redaction: Redaction) -> dict[str, Any]:
    title = title_of(link.alert, link.decision, redaction)
    return {"link_id": link.link_id, "title": title, "folded": folded(title)}


def folded(text: str) -> str:
    """The text as searches compare it."""
    return text.casefold()


def _word(text: str | None) -> str | None:
    return text[:MAX_CHARS] if text else None


# Moments are kept as the link has them, so that a report reads from either the same. Where there is no incident none is
# kept, and none where it was triggered and nothing else happened: no report looks at them.


def _moments(before: Link | None, link: Link) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows that came, and the keys of those that went."""
    old, new = (_opened(before) if before else ()), _opened(link)
    same = 0
    while same < min(len(old), len(new)) and old[same] is new[same]:
        same += 1
    if same == len(old) == len(new):
        return [], []
    had, has = ({(entry.at, entry.what, entry.side): entry for entry in some[same:]} for some in (old, new))
    came = [_moment_row(link, entry) for key, entry in has.items() if had.get(key) != entry]
    columns = ("its_at", "its_what", "its_side")
    went = [dict(zip(columns, key, strict=True)) | {"its_link_id": link.link_id} for key in had if key not in has]
    return came, went


def _opened(link: Link) -> tuple[HistoryEntry, ...]:
    is_more = len(link.history) > 1 and any(entry.what == "triggered" for entry in link.history)
    return link.history if is_more else ()


def _moment_row(link: Link, entry: HistoryEntry) -> dict[str, Any]:
    columns = {"at": entry.at, "what": entry.what, "side": entry.side, "received_at": entry.received_at}
    return {"link_id": link.link_id, "author": entry.author, **columns}
