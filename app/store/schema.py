"""The bridge's own tables, and how values are written into them.

What is looked up is a column; the rest of a link is one JSON value. The migrations in ``migrations/`` create the
tables; a test holds the two against each other.
"""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import sqlalchemy as sa

from app.domain.model.types import EPOCH as EPOCH
from app.domain.model.types import MICROSECOND, instant_of

T = TypeVar("T")


class Instant(sa.types.TypeDecorator[datetime]):
    """An aware UTC instant as whole microseconds since 1970: exact, sortable, the same on both stores."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> int | None:
        return None if value is None else (value - EPOCH) // MICROSECOND

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[int | None], datetime | None]:
        """As ``process_result_value`` would be, in one call for each of the hundred thousands that a report reads."""
        return instant_of


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
    sa.Column("state", sa.Text, nullable=False, comment="the link as JSON, without its alert's evidence"),
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
    # How ids begin. On PostgreSQL alone: SQLite's unique index has the order of bytes already.
    sa.Index(
        "links_alert_id_prefix",
        "alert_id",
        postgresql_ops={"alert_id": "text_pattern_ops"},
        postgresql_where=sa.text("alert_id IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)

# ``store/figures.py`` writes the next four, each with its link.

PAGED = sa.text("paged")
"""Alerts that have to do with an incident."""
INCOMPLETE = sa.text("incomplete")
"""Alerts whose oldest moments had to make room."""

alert_figures = sa.Table(
    "alert_figures",
    bridge,
    sa.Column("link_id", RowId, primary_key=True, autoincrement=False),
    sa.Column("alert_id", sa.Text, nullable=False),
    sa.Column("first_seen_at", Instant, nullable=False),
    sa.Column("raised_at", Instant, nullable=False, index=True),
    sa.Column("severity", sa.Text, nullable=False, comment="in lower case"),
    sa.Column("kind", sa.Text),
    sa.Column("model", sa.Text),
    sa.Column("category", sa.Text),
    sa.Column("rule", sa.Text),
    sa.Column("rulebook_version", sa.Text),
    sa.Column("reason", sa.Text, comment="null: nothing was decided yet"),
    sa.Column("urgency", sa.Text, comment="null: no incident is wanted"),
    sa.Column("service_id", sa.Text, comment="null: the default one"),
    sa.Column("verdict", sa.Text),
    sa.Column("flaps", sa.Integer, nullable=False),
    sa.Column("paged", sa.Boolean, nullable=False),
    sa.Column("incomplete", sa.Boolean, nullable=False),
    sa.Index("alert_figures_severity", "severity", "link_id"),
    _partial("alert_figures_paged", PAGED, "link_id"),
    _partial("alert_figures_incomplete", INCOMPLETE, "link_id"),
)

incident_figures = sa.Table(
    "incident_figures",
    bridge,
    sa.Column("link_id", RowId, primary_key=True, autoincrement=False),
    sa.Column("triggered_at", Instant, nullable=False, index=True),
    sa.Column("received_at", Instant, nullable=False, comment="when we learned that, by our clock"),
    sa.Column("final_at", Instant, nullable=False, comment="since when it stands as this row says"),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("acknowledged_at", Instant),
    sa.Column("acknowledged_by", sa.Text),
    sa.Column("acknowledged_after", sa.BigInteger, comment="microseconds"),
    sa.Column("resolved_at", Instant),
    sa.Column("resolved_after", sa.BigInteger, comment="microseconds"),
    sa.Column("reopened", sa.Integer, nullable=False),
    sa.Column("escalated", sa.Integer, nullable=False),
    sa.Column("acknowledged_after_escalation", sa.Boolean, nullable=False),
    sa.Column("merged", sa.Boolean, nullable=False),
    sa.Column("incident_id", sa.Text),
    sa.Column("incident_number", sa.BigInteger),
    sa.Column("url", sa.Text),
)
"""Incidents that were triggered, as they stand with all that is known of them."""

incident_moments = sa.Table(
    "incident_moments",
    bridge,
    sa.Column("link_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", Instant, primary_key=True, autoincrement=False),
    sa.Column("what", sa.Text, primary_key=True),
    sa.Column("side", sa.Text, primary_key=True),
    sa.Column("author", sa.Text),
    sa.Column("received_at", Instant),
    sqlite_with_rowid=False,
)
"""What happened to them, for reports as of an instant before ``final_at``."""

link_titles = sa.Table(
    "link_titles",
    bridge,
    sa.Column("link_id", RowId, primary_key=True, autoincrement=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("folded", sa.Text, nullable=False, comment="the same for searches in any case"),
)
evidence = sa.Table(
    "evidence",
    bridge,
    sa.Column("link_id", RowId, primary_key=True, autoincrement=False),
    sa.Column("texts", sa.Text, nullable=False, comment="the texts and people of its alert as JSON"),
)

kept_bodies = sa.Table(
    "kept_bodies",
    bridge,
    sa.Column("inbox_id", RowId, primary_key=True, autoincrement=False),
    sa.Column("subject", sa.Text, primary_key=True, comment="the alert id or incident id that the body is about"),
    sa.Column("due", sa.Boolean, nullable=False, server_default=sa.false(), comment="to be erased now"),
    sa.Index("kept_bodies_subject", "subject"),
    _partial("kept_bodies_due", sa.text("due"), "inbox_id"),
    sqlite_with_rowid=False,
)

unmatched_events = sa.Table(
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

dead_letters = sa.Table(
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

key_values = sa.Table(
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
    sa.Column("state", sa.Text, nullable=False, comment="the whole escalation as JSON"),
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

answers = sa.Table(
    "answers",
    bridge,
    sa.Column("name", sa.Text, primary_key=True, comment="of a request of the API: digest of caller, route and key"),
    sa.Column("digest", sa.Text, nullable=False, comment="of the request itself"),
    sa.Column("began_at", Instant, nullable=False),
    sa.Column("status", sa.SmallInteger, comment="null: under way"),
    sa.Column("body", sa.LargeBinary),
    sa.Index("answers_began_at", "began_at"),
)

access_tokens = sa.Table(
    "access_tokens",
    bridge,
    sa.Column("id", RowId, primary_key=True, autoincrement=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("sees_evidence", sa.Boolean, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("last_used_at", Instant),
    sa.Column("revoked_at", Instant),
    sa.Index(
        "access_tokens_in_use",
        "name",
        unique=True,
        sqlite_where=sa.text("revoked_at IS NULL"),
        postgresql_where=sa.text("revoked_at IS NULL"),
    ),
    sqlite_autoincrement=True,
)

console_sessions = sa.Table(
    "console_sessions",
    bridge,
    sa.Column("digest", sa.Text, primary_key=True, comment="of the random id in the cookie"),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("sees_evidence", sa.Boolean, nullable=False),
    sa.Column("token_id", sa.BigInteger, comment="the named token behind it; null for the admin token and a link"),
    sa.Column("proof", sa.Text, nullable=False, comment="of the admin token it was made with; empty for all others"),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("last_seen_at", Instant, nullable=False),
    sa.Index("console_sessions_created_at", "created_at"),
)

console_links = sa.Table(
    "console_links",
    bridge,
    sa.Column("digest", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, comment="who made it"),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("spent_at", Instant),
)

wrong_guesses = sa.Table(
    "wrong_guesses",
    bridge,
    sa.Column("source", sa.Text, primary_key=True, comment="an address; of IPv6 its /64"),
    sa.Column("guesses", sa.Integer, nullable=False),
    sa.Column("last_at", Instant, nullable=False),
    sa.Index("wrong_guesses_last_at", "last_at"),
)

JOB_WAITS = sa.text("state = 'waiting'")
"""Jobs that nobody has begun."""
JOB_RUNS = sa.text("state = 'running'")
"""The job that is run: one at a time over all machines, which the index on it sees to."""

jobs = sa.Table(
    "jobs",
    bridge,
    sa.Column("id", RowId, primary_key=True, autoincrement=True),
    sa.Column("key", sa.Text, nullable=False, unique=True, comment="chosen by whoever asked"),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("parameters", sa.Text, nullable=False, comment="JSON"),
    sa.Column("asked_at", Instant, nullable=False),
    sa.Column("asked_by", sa.Text, nullable=False),
    sa.Column("asked_way", sa.Text, comment="console, link, api, cli, handler"),
    sa.Column("state", sa.Text, nullable=False, comment="waiting, running, done, failed, cancelled"),
    sa.Column("run_id", sa.Text, comment="of the run that may write here"),
    sa.Column("starts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("started_at", Instant),
    sa.Column("seen_at", Instant, comment="the newest sign of life of its process"),
    sa.Column("progress_done", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("progress_total", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("cancel_asked_at", Instant),
    sa.Column("finished_at", Instant),
    sa.Column("failure", sa.Text, nullable=False, server_default=""),
    sa.Column("result_name", sa.Text),
    sa.Column("result_type", sa.Text),
    sa.Column("result", sa.LargeBinary),
    _partial("jobs_waiting", JOB_WAITS, "id"),
    sa.Index("jobs_running", "state", unique=True, sqlite_where=JOB_RUNS, postgresql_where=JOB_RUNS),
    _partial("jobs_finished_at", sa.text("finished_at IS NOT NULL"), "finished_at"),
    sqlite_autoincrement=True,
)

audit = sa.Table(
    "audit",
    bridge,
    sa.Column("id", RowId, primary_key=True, autoincrement=True),
    sa.Column("at", Instant, nullable=False, index=True),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("way", sa.Text, nullable=False, comment="console, link, api, cli, handler"),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("subject_kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False, comment="an id, a number or a name; never text"),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Index("audit_actor", "actor", "id"),
    sa.Index("audit_subject", "subject", "id"),
    sqlite_autoincrement=True,
)

stored_silences = sa.Table(
    "stored_silences",
    bridge,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("match", sa.Text, nullable=False),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("starts", Instant),
    sa.Column("until", Instant, nullable=False, index=True),
    sa.Column("up_to", sa.Text, comment="the highest urgency that it silences; null = any"),
)

revoked_evidence = sa.Table(
    "revoked_evidence",
    bridge,
    sa.Column("link_id", RowId, primary_key=True, autoincrement=False, comment="0 = of every link"),
    sa.Column("at", Instant, nullable=False, comment="evidence links made until then work no more"),
)

rule_drafts = sa.Table(
    "rule_drafts",
    bridge,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("text", sa.Text, nullable=False, comment="as bridge.yaml would have it"),
    sa.Column("saved_by", sa.Text, nullable=False),
    sa.Column("saved_at", Instant, nullable=False),
)

claims = sa.Table(
    "claims",
    bridge,
    sa.Column("link_id", RowId, primary_key=True, autoincrement=False),
    sa.Column("side", sa.Text, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("priority", sa.SmallInteger, nullable=False, comment="1 = first"),
    sa.Column("executor_id", sa.Text, nullable=False, comment="the worker that makes this delivery"),
    sqlite_with_rowid=False,
)

worker_configurations = sa.Table(
    "worker_configurations",
    bridge,
    sa.Column("worker", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("rules", sa.Text, nullable=False, comment="the version of bridge.yaml"),
    sa.Column("since", Instant, nullable=False),
    sa.Column("seen_at", Instant, nullable=False),
    sa.Column("content", sa.Text, nullable=False, comment="JSON; no secret"),
)

OLD_SECRET = sa.text("secret_index > 0")
"""Rows that a secret other than the newest proved. A text: SQLite uses a partial index only for its very words."""

inbox = sa.Table(
    "inbox",
    inbox_metadata,
    sa.Column("id", RowId, primary_key=True, autoincrement=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("delivery_id", sa.Text, nullable=False),
    sa.Column("received_at", Instant, nullable=False, comment="epoch microseconds"),
    sa.Column("body", sa.LargeBinary, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False, server_default=""),
    sa.Column("content_encoding", sa.Text),
    sa.Column("taken_at", Instant),
    sa.Column("secret_index", sa.SmallInteger, nullable=False, server_default="0", comment="0 = newest secret"),
    sa.Column("erased_sha256", sa.Text, comment="of a body that was erased: its digest; null while it is kept"),
    sa.Column("trace", sa.Text, comment="W3C trace id and flags"),
    sa.UniqueConstraint("source", "delivery_id"),
    sa.Index("inbox_source", "source", "id"),
    sa.Index("inbox_received_at", "received_at"),
    _partial("inbox_old_secrets", OLD_SECRET, "source", "received_at"),
    sa.Index("inbox_untaken", "id", postgresql_where=sa.text("taken_at IS NULL")),
    sqlite_autoincrement=True,
)
