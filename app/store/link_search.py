"""Finds links for people: by what they are called, by their ids, by what became of them, the newest first.

The narrow rows of ``figures`` are walked from the newest on; of the links that are shown alone their own row is read,
and their JSON never is. A text is looked up three ways, each with an index of its own; titles alone are read through,
as many as it takes.
"""

import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from app.domain.model.types import number_meant
from app.ports import Tx
from app.ports.console import FoundLink, LinkFilter
from app.store.database import connection
from app.store.figures import MAX_NUMBER, folded
from app.store.links import number_before
from app.store.operator_records import is_storable
from app.store.schema import EPOCH, OPEN_LINK, Instant, alert_figures, link_titles, links

MAX_TEXT_CHARS = 1_024
"""No title is longer, and no id."""
MAX_WORDS = 10
"""Of a title, looked for at once."""
COMMON = 1_000
"""Alerts whose ids begin alike, from which on they are looked for among the newest."""
LAST_CHARACTER = sys.maxunicode
SURROGATES = range(0xD800, 0xE000)

Condition = sa.ColumnElement[bool] | sa.TextClause
Numbers = sa.Select[Any]

HOUR = 3_600_000_000
"""In microseconds."""
_figures, _number = alert_figures.c, alert_figures.c.link_id
_numbers = sa.select(_number)
_titled = _numbers.select_from(link_titles.join(alert_figures, link_titles.c.link_id == _number))
_titles = sa.select(link_titles.c.link_id)
_ids = sa.select(links.c.id)
_shown = sa.select(
    _number, *_figures["alert_id", "severity", "kind", "model", "category", "urgency", "rule", "rulebook_version"],
    *_figures["verdict", "paged", "first_seen_at"], link_titles.c.title,
    *links.c["alert_status", "incident_status", "incident_id", "incident_number", "frozen_at"],
).select_from(
    alert_figures.join(links, links.c.id == _number).outerjoin(link_titles, link_titles.c.link_id == _number)
).where(_number.in_(sa.bindparam("ids", expanding=True))).order_by(_number.desc())  # fmt: skip


class StoredLinkSearch:
    """Implements ``ports.console.LinkSearch``."""

    def find(self, tx: Tx, wanted: LinkFilter) -> tuple[FoundLink, ...]:
        def are_many(ids: Numbers) -> bool:
            some = sa.select(sa.func.count()).select_from(ids.limit(COMMON).subquery())
            return connection(tx).execute(some).scalar_one() >= COMMON

        newest: list[int] = []
        for query in numbers(wanted, connection(tx).dialect.name, are_many):
            if len(newest) == wanted.limit:
                # Of what comes before the last of them nothing would be shown: titles need not be read so far.
                query = query.where(query.selected_columns[0] > newest[-1])
            found = {*newest, *connection(tx).execute(query).scalars()}
            newest = sorted(found, reverse=True)[: wanted.limit]
        return tuple(map(_found, connection(tx).execute(_shown, {"ids": newest}))) if newest else ()

    def per_hour(self, tx: Tx, since: datetime, at_most: int) -> list[tuple[datetime, bool, int]]:
        since = max(since, EPOCH)
        newest = sa.select(_figures.first_seen_at, _figures.paged).where(
            _figures.first_seen_at >= since, _number > number_before(since)
        )
        some = newest.order_by(_number.desc()).limit(at_most).subquery()
        at = sa.type_coerce(some.c.first_seen_at, sa.BigInteger)
        hour = sa.type_coerce(at - at % HOUR, Instant)
        counted = sa.select(hour, some.c.paged, sa.func.count()).group_by(hour, some.c.paged)
        return [(begins, paged, count) for begins, paged, count in connection(tx).execute(counted)]


def numbers(wanted: LinkFilter, dialect: str, are_many: Callable[[Numbers], bool]) -> Iterator[Numbers]:
    """The statements that find the numbers of the links, each of them the newest; what one of them finds counts.
    ``are_many``: whether a statement finds ``COMMON`` or more."""
    text = wanted.text.strip()
    if not text:
        yield _newest(_numbers, wanted, _number)
    elif len(text) <= MAX_TEXT_CHARS and is_storable(text):
        yield _newest(_numbers.where(_number.in_(_with_id(text))), wanted, _number)
        beginning = _ids.where(*_begins(links.c.alert_id, text, dialect))
        # A beginning that many have, as `alert_`, is soon found from the newest on; an index would bring all of them.
        is_so = _begins(_figures.alert_id, text, dialect) if are_many(beginning) else [_number.in_(beginning)]
        yield _newest(_numbers.where(*is_so), wanted, _number)
        words = [link_titles.c.folded.contains(word, autoescape=True) for word in folded(text).split()[:MAX_WORDS]]
        # Where nothing but the words is asked, titles are read without their neighbours.
        titled = _titled if any(True for _ in _conditions(wanted)) else _titles
        yield _newest(titled.where(*words), wanted, link_titles.c.link_id)


def _newest(query: Numbers, wanted: LinkFilter, number: sa.ColumnElement[int]) -> Numbers:
    """So many of them, walked by that number."""
    query = query.where(number < (wanted.before or MAX_NUMBER), *_conditions(wanted))
    return query.order_by(number.desc()).limit(wanted.limit)


def _with_id(text: str) -> Numbers:
    """The links of an alert or an incident of this id or number."""
    incident_number = number_meant(text)
    exactly: list[Condition] = [links.c.alert_id == text, links.c.incident_id == text]
    if incident_number is not None:
        exactly.append(links.c.incident_number == incident_number)
    return _ids.where(sa.or_(*exactly))


def _begins(column: sa.ColumnElement[str], text: str, dialect: str) -> list[Condition]:
    """In the order of bytes, whatever the order of the database is."""
    at_least, below = ("~>=~", "~<~") if dialect == "postgresql" else (">=", "<")
    end = _after(text)
    begins: list[Condition] = [column.op(at_least, is_comparison=True)(text)]
    return [*begins, column.op(below, is_comparison=True)(end)] if end else begins


def _after(prefix: str) -> str:
    """The first text behind all that begin with the prefix; empty where there is none."""
    kept = prefix.rstrip(chr(LAST_CHARACTER))
    if not kept:
        return ""
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(SURROGATES.stop if following in SURROGATES else following)


def _conditions(wanted: LinkFilter) -> Iterator[Condition]:
    if wanted.severity:
        yield _figures.severity == wanted.severity.lower()
    if wanted.paged is not None:
        yield sa.text("alert_figures.paged" if wanted.paged else "NOT alert_figures.paged")
    for asked, which in ((wanted.is_open, OPEN_LINK), (wanted.frozen, links.c.frozen_at.is_not(None))):
        if asked is not None:
            yield _number.in_(_ids.where(which)) if asked else _number.not_in(_ids.where(which))
    if wanted.since is not None:
        since = max(wanted.since, EPOCH)
        yield from (_figures.first_seen_at >= since, _number > number_before(since))


def _found(row: Any) -> FoundLink:
    return FoundLink(
        number=row.link_id,
        alert_id=row.alert_id,
        title=row.title or "",
        severity=row.severity,
        kind=row.kind or "",
        model=row.model or "",
        category=row.category or "",
        alert_status=row.alert_status or "",
        incident_status=row.incident_status or "",
        incident_id=row.incident_id or "",
        incident_number=row.incident_number,
        urgency=row.urgency or "",
        paged=row.paged,
        rule=row.rule or "",
        rulebook_version=row.rulebook_version or "",
        verdict=row.verdict or "",
        frozen=row.frozen_at is not None,
        first_seen_at=row.first_seen_at,
    )
