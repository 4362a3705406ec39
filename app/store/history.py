"""What was stored, read back while nobody is locked out: figures for reports, alerts for backtests a page at a time,
and those that a silence keeps quiet."""

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, cast

import sqlalchemy as sa

from app.domain.model.types import FALSE_ALERT, TRUE_ALERT, Alert, AlertId, Side, Urgency
from app.domain.reports.backtest import PastAlert
from app.domain.reports.figures import IncidentStatus
from app.domain.reports.record import (
    UNKNOWN,
    AlertCount,
    IncidentFigures,
    IncidentTimes,
    ListedIncident,
    Names,
    Record,
    WeeklyCount,
    minutes_of,
    timed,
)
from app.domain.rules.rulebook import Decision
from app.domain.sync.link import HistoryEntry
from app.ports import Tx
from app.ports.history import Scope, Span
from app.store import codec
from app.store.codec import complete
from app.store.database import connection
from app.store.links import LINK_COLUMNS
from app.store.schema import (
    INCOMPLETE,
    OPEN_SILENCED,
    Instant,
    alert_figures,
    incident_figures,
    incident_moments,
    link_titles,
    links,
    timeline,
)

_began = sa.select(sa.func.min(links.c.first_seen_at, type_=Instant))
_alert, _incident = alert_figures.c, incident_figures.c
_with_alert = incident_figures.join(alert_figures, _alert.link_id == _incident.link_id)


def _instant_of(name: str) -> sa.BindParameter[datetime]:
    return sa.bindparam(name, type_=Instant)


_of_service = sa.or_(
    sa.bindparam("service", type_=sa.Text).is_(None),
    sa.func.coalesce(_alert.service_id, sa.bindparam("default", type_=sa.Text)) == sa.bindparam("service"),
)
_as_of = _instant_of("as_of")
_raised = sa.and_(_alert.raised_at >= _instant_of("since"), _alert.raised_at < _instant_of("until"))
_triggered = sa.and_(_incident.triggered_at >= _instant_of("since"), _incident.triggered_at < _instant_of("until"))
_had_happened = sa.or_(_incident.triggered_at <= _as_of, _incident.received_at <= _as_of)
_is_final = _incident.final_at <= _as_of
_had_incident = sa.func.coalesce(_had_happened, sa.false())
_fate = (_alert.reason, _alert.urgency.is_not(None).label("wanted"), _had_incident.label("had"))
_alerts = (
    sa.select(*_fate, sa.func.count().label("count"))
    .select_from(alert_figures.outerjoin(incident_figures, _alert.link_id == _incident.link_id))
    .where(_raised, _alert.raised_at <= _as_of, _of_service)
    .group_by(_alert.reason, sa.text("wanted"), sa.text("had"))
)


def _sum(holds: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.sum(sa.case((holds, 1), else_=0))


_resolved, _acknowledged = _incident.status == IncidentStatus.RESOLVED, _incident.acknowledged_after.is_not(None)
_verdict = sa.func.coalesce(_alert.verdict, "")
_sums: Mapping[str, sa.ColumnElement[int]] = {
    "total": sa.func.count(),
    "acknowledged": _sum(_acknowledged),
    "resolved": _sum(_resolved),
    "open": _sum(sa.not_(_resolved)),
    "never_acknowledged": _sum(sa.and_(_resolved, sa.not_(_acknowledged))),
    "reopened": _sum(_incident.reopened > 0),
    "merged": _sum(_incident.merged),
    "escalated": _sum(_incident.escalated > 0),
    "escalations": sa.func.sum(_incident.escalated),
    "acknowledged_after_escalation": _sum(_incident.acknowledged_after_escalation),
    FALSE_ALERT: _sum(_verdict == FALSE_ALERT),
    TRUE_ALERT: _sum(_verdict == TRUE_ALERT),
    "unjudged": _sum(_verdict.not_in((FALSE_ALERT, TRUE_ALERT))),
    "flaps": sa.func.sum(_alert.flaps),
}
"""``totals.counted``, asked of the store."""
_names = (_alert.rule, _alert.severity, _alert.service_id, _alert.urgency)
_counts = (
    sa.select(*_names, *(counted.label(f"sum_{name}") for name, counted in _sums.items()))
    .select_from(_with_alert)
    .where(_triggered, _is_final, _of_service)
    .group_by(*_names)
)
# Nobody asks how long it has been there of one that is over.
_received = sa.case((_incident.resolved_after.is_(None), _incident.received_at)).label("received_at")
_times = (
    sa.select(*_names, _incident.triggered_at, _received, _incident.acknowledged_after, _incident.resolved_after)
    .select_from(_with_alert)
    .where(_triggered, _is_final, _of_service)
)
_weekly = (
    sa.select(_incident.acknowledged_by, _acknowledged.label("is_acknowledged"), sa.func.count().label("count"))
    .select_from(_with_alert)
    .where(_triggered, _is_final, _of_service)
    .group_by(_incident.acknowledged_by, sa.text("is_acknowledged"))
)
_incomplete = (
    sa.select(_alert.raised_at, sa.case((_had_incident, _incident.triggered_at)).label("triggered_at"))
    .select_from(alert_figures.outerjoin(incident_figures, _alert.link_id == _incident.link_id))
    .where(INCOMPLETE, _of_service)
)
_listed = (
    sa.select(
        *_names, *_alert["link_id", "alert_id", "verdict", "flaps", "incomplete"],
        _incident.triggered_at, _received,
        *_incident["acknowledged_after", "resolved_after", "status", "acknowledged_at", "acknowledged_by"],
        *_incident["resolved_at", "reopened", "escalated", "acknowledged_after_escalation", "merged"],
        *_incident["incident_id", "incident_number", "url"],
        link_titles.c.title, _is_final.label("is_final"),
        *(sa.case((sa.not_(_is_final), at)).label(at.name) for at in (_alert.raised_at, _alert.first_seen_at)),
    )
    .select_from(_with_alert.outerjoin(link_titles, link_titles.c.link_id == _alert.link_id))
    .where(_triggered, _had_happened, _of_service)
    .order_by(_incident.triggered_at, _incident.link_id)
)  # fmt: skip
_changed = _listed.where(sa.not_(_is_final))
_moments = (
    sa.select(incident_moments)
    .where(incident_moments.c.link_id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(incident_moments.c.link_id, incident_moments.c.at)
)


class StoredHistory:
    """Implements ``ports.history.History``."""

    def began_at(self, tx: Tx) -> datetime | None:
        return cast("datetime | None", connection(tx).execute(_began).scalar_one())

    def alerts(self, tx: Tx, raised: Span, scope: Scope) -> tuple[AlertCount, ...]:
        rows = connection(tx).execute(_alerts, _values(raised, scope))
        return tuple(AlertCount(reason, bool(wanted), bool(had), count) for reason, wanted, had, count in rows)

    def counts(self, tx: Tx, triggered: Span, scope: Scope) -> tuple[tuple[Names, Mapping[str, int]], ...]:
        rows = connection(tx).execute(_counts, _values(triggered, scope))
        return tuple((_named(row, scope), dict(zip(_sums, row[len(_names) :], strict=True))) for row in rows)

    def times(self, tx: Tx, triggered: Span, scope: Scope) -> Iterator[tuple[Names, IncidentTimes]]:
        named = _Named(scope)
        for rows in connection(tx).execute(_times, _values(triggered, scope)).partitions(PAGE):
            for *names, at, received_at, acknowledged_after, resolved_after in rows:
                yield named[tuple(names)], _times_of(at, received_at, acknowledged_after, resolved_after)

    def weekly(self, tx: Tx, triggered: Span, scope: Scope) -> tuple[WeeklyCount, ...]:
        rows = connection(tx).execute(_weekly, _values(triggered, scope))
        return tuple(WeeklyCount(by, bool(acknowledged), count) for by, acknowledged, count in rows)

    def incomplete(self, tx: Tx, scope: Scope) -> tuple[tuple[datetime, datetime | None], ...]:
        rows = connection(tx).execute(_incomplete, _values(None, scope))
        return tuple((row.raised_at, row.triggered_at) for row in rows)

    def incidents(self, tx: Tx, triggered: Span, scope: Scope, changed_only: bool = False) -> Iterator[ListedIncident]:
        query, named = _changed if changed_only else _listed, _Named(scope)
        for rows in connection(tx).execute(query, _values(triggered, scope)).partitions(PAGE):
            changed = [row.link_id for row in rows if not row.is_final]
            moments: dict[int, list[HistoryEntry]] = {}
            for moment in connection(tx).execute(_moments, {"ids": changed}) if changed else ():
                entry = HistoryEntry(moment.at, moment.what, Side(moment.side), moment.author, moment.received_at)
                moments.setdefault(moment.link_id, []).append(entry)
            for row in rows:
                yield _incident_of(row, moments.get(row.link_id), named)


def _values(span: Span | None, scope: Scope) -> dict[str, Any]:
    between = {"since": span.since, "until": span.until} if span else {}
    return between | {"as_of": scope.as_of, "default": scope.default_service, "service": scope.service_id}


class _Named(dict[tuple[Any, ...], Names]):
    """The groups by the columns of ``_names``: few of them, for many rows."""

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self._scope = scope

    def __missing__(self, key: tuple[Any, ...]) -> Names:
        self[key] = _named(key, self._scope)
        return self[key]


def _named(row: Any, scope: Scope) -> Names:
    """The groups of a row that begins with ``_names``."""
    rule, severity, service_id, urgency = row[: len(_names)]
    return Names(UNKNOWN if rule is None else rule, severity, service_id or scope.default_service, urgency or UNKNOWN)


_STATUSES = {status.value: status for status in IncidentStatus}


def _incident_of(row: Any, moments: Iterable[HistoryEntry] | None, named: _Named) -> ListedIncident:
    """Of a row of ``_listed``, taken apart at once: a report reads a hundred thousand."""
    (
        rule, severity, service_id, urgency, _, alert_id, verdict, flaps, incomplete, triggered_at, received_at,
        acknowledged_after, resolved_after, status, acknowledged_at, acknowledged_by, resolved_at, reopened, escalated,
        acknowledged_after_escalation, merged, incident_id, number, url, title, _, raised_at, seen_at,
    ) = row  # fmt: skip
    names = named[rule, severity, service_id, urgency]
    figures = IncidentFigures(
        _times_of(triggered_at, received_at, acknowledged_after, resolved_after), _STATUSES[status], acknowledged_at,
        acknowledged_by, resolved_at, reopened, escalated, acknowledged_after_escalation, merged,
    )  # fmt: skip
    changed = None
    if moments:
        changed = Record(
            alert_id, raised_at, names.severity, names.rule, urgency=urgency, service_id=names.service_id,
            verdict=verdict, flaps=flaps, entries=timed(moments, seen_at), incomplete=incomplete,
        )  # fmt: skip
    return ListedIncident(
        names, alert_id, verdict, incomplete, figures, title or alert_id, incident_id, number, url, changed
    )


def _times_of(
    at: datetime, received_at: datetime | None, acknowledged: int | None, resolved: int | None
) -> IncidentTimes:
    return IncidentTimes(at, received_at or at, minutes_of(acknowledged), minutes_of(resolved))


_seen = links.c.first_seen_at
_in_span = sa.and_(_seen >= sa.bindparam("since"), _seen < sa.bindparam("until"))
_count = sa.select(sa.func.count()).select_from(links).where(_in_span)
_page = sa.select(*LINK_COLUMNS, _seen).order_by(_seen, links.c.id).limit(sa.bindparam("at_most"))
_first = _page.where(_in_span)
# Where many were first seen in the same moment, a page may end among them.
_next = _first.where(
    sa.tuple_(_seen, links.c.id)
    > sa.tuple_(sa.bindparam("seen", type_=Instant), sa.bindparam("last", type_=sa.BigInteger))
)

# A read of its own for every page, so that a long run holds no old state of the store open.

PAGE = 1_000

_newest = sa.select(*LINK_COLUMNS).order_by(links.c.id.desc()).limit(PAGE)
_older = _newest.where(links.c.id < sa.bindparam("before"))
_lines = (
    sa.select(timeline.c.id, timeline.c.at, timeline.c.alert_id, timeline.c.facts)
    .where(
        timeline.c.event == sa.bindparam("event"),
        timeline.c.at >= sa.bindparam("since"),
        timeline.c.at < sa.bindparam("until"),
        sa.or_(timeline.c.at > sa.bindparam("since"), timeline.c.id > sa.bindparam("last")),
    )
    .order_by(timeline.c.at, timeline.c.id)
    .limit(PAGE)
)


class StoredPast:
    """Implements ``ports.history.PastAlerts``."""

    def count(self, tx: Tx, since: datetime, until: datetime) -> int:
        return connection(tx).execute(_count, {"since": since, "until": until}).scalar_one()

    def read(self, tx: Tx, since: datetime, until: datetime) -> Iterator[PastAlert]:
        span: dict[str, Any] = {"since": since, "until": until, "at_most": PAGE}
        rows = connection(tx).execute(_first, span).all()
        while rows:
            for row in rows:
                yield past_alert(json.loads(row.state), row.texts, row.first_seen_at)
            span["since"] = rows[-1].first_seen_at  # where a further page begins to look
            rows = connection(tx).execute(_next, span | {"seen": rows[-1].first_seen_at, "last": rows[-1].id}).all()

    def field_names(self, tx: Tx, *, newest_only: bool = False) -> frozenset[str] | None:
        names: set[str] = set()
        rows = connection(tx).execute(_newest).all()
        if not rows:
            return None
        while rows:
            for row in rows:
                alert, texts = json.loads(row.state)["alert"], json.loads(row.texts or "{}")
                names.update(alert.get("extra", ()), texts.get("extra", ()), texts.get("people", ()))
            rows = [] if newest_only else connection(tx).execute(_older, {"before": rows[-1].id}).all()
        return frozenset(names)

    def lines(self, tx: Tx, event: str, since: datetime, until: datetime) -> Iterator[Mapping[str, Any]]:
        wanted: dict[str, Any] = {"event": event, "since": since, "until": until}
        rows = connection(tx).execute(_lines, wanted | {"last": 0}).all()
        while rows:
            for row in rows:
                yield {"at": row.at, "alert_id": row.alert_id, "facts": codec.FACTS.load(row.facts)}
            rows = connection(tx).execute(_lines, wanted | {"since": rows[-1].at, "last": rows[-1].id}).all()


def past_alert(state: Mapping[str, Any], texts: str | None, at: datetime) -> PastAlert:
    """What ``schema`` wrote of a link, as far as it is needed here: whole links take ten times as long to read."""
    stored = state["alert"]
    alert = Alert(**stored | {name: _instant(stored.get(name)) for name in ("created_at", "erased_at")})
    if texts:
        complete(alert, texts)
    return PastAlert(
        alert,
        at,
        _decision(state.get("decision")),
        tuple(map(_history_entry, state.get("history", ()))),
        state.get("verdict"),
        state.get("flaps", 0),
    )


def _decision(stored: Mapping[str, Any] | None) -> Decision | None:
    if stored is None:
        return None
    return Decision(**{**stored, "urgency": Urgency(stored["urgency"]) if stored.get("urgency") else None})


def _history_entry(stored: Mapping[str, Any]) -> HistoryEntry:
    at, received_at = datetime.fromisoformat(stored["at"]), _instant(stored.get("received_at"))
    return HistoryEntry(at, stored["what"], Side(stored["side"]), stored.get("author"), received_at)


def _instant(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


_after = (
    sa.select(links.c.id, links.c.alert_id)
    .where(OPEN_SILENCED, links.c.id > sa.bindparam("after"))
    .order_by(links.c.id)
    .limit(sa.bindparam("at_most"))
)


class StoredSilenced:
    """Implements ``ports.history.Silenced``."""

    def after(self, tx: Tx, link_id: int, limit: int) -> tuple[tuple[int, AlertId], ...]:
        rows = connection(tx).execute(_after, {"after": link_id, "at_most": limit})
        return tuple((row.id, AlertId(row.alert_id)) for row in rows)
