"""The bridge's own tables. What is looked up is a column; the rest of a link is one JSON value.

The migrations in ``migrations/`` create them; a test holds the two against each other.
"""

from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Instant(sa.types.TypeDecorator[datetime]):
    """An aware UTC instant as whole microseconds since 1970: exact, sortable, the same on both stores."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:
        """Microseconds of an aware instant."""
        return None if value is None else (value - EPOCH) // timedelta(microseconds=1)

    def process_result_value(self, value: int | None, dialect: sa.Dialect) -> datetime | None:
        """The instant of that many microseconds."""
        return None if value is None else EPOCH + timedelta(microseconds=value)


RowId = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

bridge = sa.MetaData()
inbox_metadata = sa.MetaData()

OPEN_LINK = sa.text(
    "(status <> 'resolved' OR (paged AND (alert_status <> 'resolved' OR incident_status <> 'resolved')))"
)
"""Links that are not over on both sides. A text: SQLite uses a partial index only for its very words."""
CLOSED_LINK = sa.text(
    "(status = 'resolved' AND (NOT paged OR (coalesce(alert_status, 'resolved') = 'resolved'"
    " AND coalesce(incident_status, 'resolved') = 'resolved')))"
)
"""All others. Not ``NOT``: a side of which nothing is known would make both unknown."""

OPEN_PAGED = sa.text(
    "(paged AND (status <> 'resolved' OR alert_status <> 'resolved' OR incident_status <> 'resolved'))"
)
"""Of the open ones those that an incident is owed."""
OPEN_UNPAGED = sa.text("(NOT paged AND status <> 'resolved')")
"""The others: they owe nobody anything, and TruthVouch may never resolve them."""
OPEN_SILENCED = sa.text("(silenced AND NOT paged AND status <> 'resolved')")
"""Those of them that are decided anew when their silence ends."""


def _partial(name: str, where: sa.TextClause, *columns: str) -> sa.Index:
    return sa.Index(name, *columns, sqlite_where=where, postgresql_where=where)


links = sa.Table(
    "links",
    bridge,
    sa.Column("id", RowId, primary_key=True, autoincrement=True),
    sa.Column("alert_id", sa.Text, nullable=False, unique=True),
    sa.Column("incident_key", sa.Text, nullable=False, unique=True),
    sa.Column("incident_id", sa.Text, index=True),
    sa.Column("first_seen_at", Instant, nullable=False, index=True),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("paged", sa.Boolean, nullable=False),
    sa.Column("truthvouch_since", Instant, comment="since when a delivery is owed; null when none is"),
    sa.Column("pagerduty_since", Instant, comment="since when a delivery is owed; null when none is"),
    sa.Column("state", sa.Text, nullable=False, comment="the whole link as JSON"),
    sa.Column("alert_status", sa.Text, comment="what we last knew of the alert"),
    sa.Column("incident_status", sa.Text, comment="what we last knew of the incident"),
    sa.Column("frozen_at", Instant, comment="since when a ping-pong is not carried any more"),
    sa.Column("incident_number", sa.BigInteger, comment="as PagerDuty shows it to people"),
    sa.Column("silenced", sa.Boolean, nullable=False, server_default=sa.false(), comment="decided by a silence"),
    sa.Index("links_truthvouch_since", "truthvouch_since"),
    sa.Index("links_pagerduty_since", "pagerduty_since"),
    sa.Index("links_status", "status", "id"),
    _partial("links_open", OPEN_LINK, "id"),
    _partial("links_open_paged", OPEN_PAGED, "id"),
    _partial("links_open_unpaged", OPEN_UNPAGED, "id"),
    _partial("links_open_silenced", OPEN_SILENCED, "id"),
    _partial("links_frozen", sa.text("frozen_at IS NOT NULL"), "id"),
    _partial("links_incident_number", sa.text("incident_number IS NOT NULL"), "incident_number"),
    sqlite_autoincrement=True,
)

strays = sa.Table(
    "strays",
    bridge,
    sa.Column("id", RowId, primary_key=True, autoincrement=True),
    sa.Column("incident_id", sa.Text, nullable=False, index=True),
    sa.Column("inbox_id", sa.BigInteger, nullable=False, unique=True),
    sa.Column("at", Instant, nullable=False, index=True),
    sa.Column("word", sa.Text, nullable=False),
)

UNLINKED_LINE = sa.text("link_id IS NULL")
"""Lines about what has no link: parked webhooks, incidents that nobody knows."""

timeline = sa.Table(
    "timeline",
    bridge,
    sa.Column("id", RowId, primary_key=True, autoincrement=True),
    sa.Column("at", Instant, nullable=False, index=True),
    sa.Column("event", sa.Text, nullable=False),
    sa.Column("link_id", sa.BigInteger, index=True),
    sa.Column("alert_id", sa.Text),
    sa.Column("incident_id", sa.Text),
    sa.Column("author", sa.Text),
    sa.Column("facts", sa.Text, nullable=False),
    _partial("timeline_unlinked", UNLINKED_LINE, "alert_id"),
    _partial("timeline_incident_id", sa.text("incident_id IS NOT NULL"), "incident_id"),
)

OPEN_DEAD_LETTER = sa.text("closed_at IS NULL")
"""Dead letters that wait for a decision."""

letters = sa.Table(
    "letters",
    bridge,
    sa.Column("id", RowId, primary_key=True, autoincrement=True),
    sa.Column("kind", sa.Text, nullable=False, comment="event, effect or escalation"),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("link_id", sa.BigInteger, index=True),
    sa.Column("side", sa.Text),
    sa.Column("inbox_id", sa.BigInteger, unique=True),
    sa.Column("closed_at", Instant, comment="replayed or discarded"),
    sa.Column("effect", sa.Text, nullable=False, server_default=""),
    sa.Column("outcome", sa.Text, nullable=False, server_default=""),
    sa.Column("closed_by", sa.Text, nullable=False, server_default=""),
    _partial("letters_open", OPEN_DEAD_LETTER, "id"),
    _partial("letters_closed_at", sa.text("closed_at IS NOT NULL"), "closed_at"),
)

marks = sa.Table(
    "marks",
    bridge,
    sa.Column("name", sa.Text, primary_key=True, comment="intake.cursor, worker.seen, hold.pagerduty, ..."),
    sa.Column("value", sa.Text, nullable=False),
)

UNFINISHED = sa.text("NOT finished")
"""Escalations under way."""

escalations = sa.Table(
    "escalations",
    bridge,
    sa.Column("incident_id", sa.Text, primary_key=True),
    sa.Column("link_id", sa.BigInteger),
    sa.Column("finished", sa.Boolean, nullable=False),
    sa.Column("due_at", Instant, comment="when somebody has to look next; null when nobody has to"),
    sa.Column("letter_id", sa.BigInteger, comment="the open dead letter it became"),
    sa.Column("changed_at", Instant, nullable=False, index=True),
    sa.Column("state", sa.Text, nullable=False, comment="the whole climb as JSON"),
    _partial("escalations_due_at", sa.text("due_at IS NOT NULL"), "due_at"),
    _partial("escalations_letter_id", sa.text("letter_id IS NOT NULL"), "letter_id"),
    _partial("escalations_unfinished", UNFINISHED, "due_at"),
)

budgets = sa.Table(
    "budgets",
    bridge,
    sa.Column("name", sa.Text, primary_key=True, comment="whose calls are counted: pagerduty-rest, ..."),
    sa.Column("spent_until", Instant, nullable=False, comment="GCRA: when the calls made so far are paid for"),
    sa.Column("paused_until", Instant, comment="the partner asked us to wait"),
)

OLD_SECRET = sa.text("secret_index > 0")
"""Rows that a secret other than the newest proved. A text: SQLite uses a partial index only for its very words."""

inbox = sa.Table(
    "inbox",
    inbox_metadata,
    sa.Column("id", RowId, primary_key=True, autoincrement=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("delivery_id", sa.Text, nullable=False),
    sa.Column("received_at", sa.BigInteger, nullable=False, comment="epoch microseconds"),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False, server_default=""),
    sa.Column("content_encoding", sa.Text),
    sa.Column("taken_at", sa.BigInteger),
    sa.Column("secret_index", sa.SmallInteger, nullable=False, server_default="0", comment="0 = newest secret"),
    sa.UniqueConstraint("source", "delivery_id"),
    sa.Index("inbox_source", "source", "id"),
    sa.Index("inbox_received_at", "received_at"),
    _partial("inbox_old_secrets", OLD_SECRET, "source", "received_at"),
    sa.Index("inbox_untaken", "id", postgresql_where=sa.text("taken_at IS NULL")),
    sqlite_autoincrement=True,
)
