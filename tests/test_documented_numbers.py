"""Each number that a page names is the number in the code: whoever changes one changes both, and the row here."""

import runpy
from collections.abc import Sequence
from datetime import timedelta
from importlib import import_module
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest

from app.config.settings import Settings
from app.domain.rules.rulebook import Rulebook

DOCS = Path(__file__).parents[1] / "docs"
SECOND, MINUTE, HOUR, DAY = (timedelta(**{unit: 1}) for unit in ("seconds", "minutes", "hours", "days"))
LATE_READS = (30, 60, 120, 240)
Row = tuple[str, Any, str, str]
"""Where the number is, the number, the page, and what stands there."""

SYNC: Sequence[Row] = (
    ("domain.sync.side_state.MAX_AHEAD", 15 * MINUTE, "architecture", "more than fifteen minutes ahead of its receipt"),
    ("domain.sync.side_state.SETTLING", 5 * SECOND, "what-moves", "For the first five seconds that is `stale`"),
    ("domain.sync.effects.FRESH", 2 * SECOND, "architecture", "decided more than two seconds ago reads its side first"),
    ("domain.sync.effects.READS_FOR_AN_ID", 12, "architecture", "12 reads a second apart"),
    ("domain.sync.retry.READ_DELAY", 1.0, "architecture", "12 reads a second apart"),
    ("domain.sync.retry.SLOW_READS", LATE_READS, "architecture", "four more after 30, 60, 120 and 240 seconds"),
    ("domain.sync.retry.SLOW_READS", LATE_READS, "doctor", "after eight minutes of reads it is a dead letter"),
    ("domain.sync.retry.CONFIRM_DELAY", 3.0, "architecture", "the bridge waits three seconds"),
    ("domain.sync.link.REPEATS_BY_EVENT", 3, "architecture", "repeats an event without effect three times"),
    ("domain.sync.transitions.REPEATS", 3, "what-moves", "makes the write again, three times"),
    ("domain.sync.link.HISTORY_LIMIT", 500, "architecture", "500 entries of its history"),
    ("domain.sync.link.HISTORY_LIMIT", 500, "reports", "the trigger and its newest 499 moments"),
    ("domain.sync.link.MAX_NOTES", 60, "architecture", "sixty notes"),
    ("domain.sync.link.MAX_NOTE_CHARS", 200_000, "architecture", "200,000 characters until they are written"),
    ("domain.sync.link.MAX_FORMER_INCIDENTS", 8, "architecture", "its last 8 former incidents"),
    ("domain.sync.link.FLIPS", 10, "operating", "After ten changes within a minute, the sides taking turns"),
    ("domain.sync.link.WINDOW", MINUTE, "operating", "After ten changes within a minute, the sides taking turns"),
    (
        "services.sync.link_writer.RESOLUTION_NOTE_GRACE_SECONDS",
        1.0,
        "what-moves",
        "A resolve waits one second for the note",
    ),
    ("services.sync.execute_effect.READS_FOR_A_TAKEN_KEY", 8, "operating", "read eight times within three minutes"),
    ("services.sync.execute_effect.READS_BEFORE_A_PAGE", 2, "architecture", "once two reads by REST failed"),
    ("services.sync.execute_effect.LOOK_BACK", DAY, "architecture", "from one day before the link"),
    ("services.sync.deliver.STEPS_PER_DELIVERY", 8, "operating", "at most eight effects for one link"),
    ("services.sync.intake.BATCH_ROWS", 32, "architecture", "at most 32 in a batch"),
)

FAILURES: Sequence[Row] = (
    (
        "domain.sync.retry.PAGE_DELAYS",
        (1, 2, 4, 8, 15, 30, 60),
        "operating",
        "after 1, 2, 4, 8, 15, 30 seconds, then every minute",
    ),
    (
        "domain.sync.retry.OTHER_DELAYS",
        (1, 2, 5, 10, 30, 60, 120),
        "operating",
        "after 1, 2, 5, 10, 30, 60 seconds, then every two minutes",
    ),
    ("domain.sync.retry.KEEP_TRYING_PAGES", 7 * DAY, "operating", "then every minute, for seven days"),
    ("domain.sync.retry.KEEP_TRYING", DAY, "operating", "resolves for seven days and the rest for 24 hours"),
    ("domain.sync.retry.MAX_ASKED_DELAY", 300.0, "operating", "`Retry-After` counts up to five minutes"),
    ("domain.sync.retry.JITTER", 0.2, "operating", "Each wait varies by 20 %"),
    ("domain.sync.retry.PAUSE_PROBE_DELAY", 15.0, "operating", "a probe goes out every 15 seconds; nothing expires"),
    ("domain.sync.retry.SURELY_ASLEEP", SECOND, "decisions/0011-budget", "a second of margin"),
    ("domain.sync.circuit_breaker.OPENS_AFTER", 5, "operating", "after five failures in a row, of two links or more"),
    (
        "domain.sync.circuit_breaker.PROBE_DELAYS",
        (5, 10, 15, 20, 30),
        "operating",
        "after 5, 10, 15, 20, then every 30 seconds",
    ),
    (
        "domain.sync.circuit_breaker.PROBE_LASTS",
        30.0,
        "operating",
        "A probe without an answer counts as lost after 30 seconds",
    ),
    (
        "domain.sync.circuit_breaker.REMEMBERED",
        5 * MINUTE,
        "operating",
        "for five minutes proves that the others are alone",
    ),
    ("domain.sync.circuit_breaker.ONE_AT_A_TIME", SECOND, "operating", "their probes then go out at most one a second"),
    (
        "domain.sync.circuit_breaker.PROBE",
        15 * SECOND,
        "operating",
        "only that alert's delivery waits, with a probe every 15 seconds",
    ),
    (
        "domain.sync.circuit_breaker.FRESH",
        90 * SECOND,
        "decisions/0011-budget",
        "expire after 90 seconds without renewal",
    ),
    ("remote.replies.MAX_BURST", 16, "operating", "at most 16 calls go at once"),
    ("remote.replies.MAX_WAIT", 1_000_000, "operating", "up to a second in place, longer in its queue"),
    ("remote.replies.LOW_RESERVE", 0.25, "operating", "leave a quarter of them to others"),
    ("remote.replies.LONGEST_PAUSE", 300_000_000, "operating", "`ratelimit-reset` says, five minutes at most"),
    (
        "remote.replies.UNSAID_PAUSES",
        (1, 2, 4, 8, 15, 30, 60),
        "operating",
        "without either 1, 2, 4, 8, 15, 30, 60 seconds",
    ),
    ("bootstrap.container.LEFT_TO_DELIVERIES", 0.5, "operating", "reconciliation leaves half"),
    ("bootstrap.partners.COMMANDS_SHARE", 4, "operating", "a quarter of the budget on top"),
    ("remote.transport.CONNECT_SECONDS", 3.05, "operating", "3 seconds to connect"),
    ("remote.transport.READ_SECONDS", 10.0, "operating", "may pause for 10 seconds"),
    ("remote.transport.TOTAL_SECONDS", 20.0, "operating", "take 20 in all"),
    ("remote.transport.MAX_ANSWER_BYTES", 4 * 1024 * 1024, "operating", "hold 4 MiB"),
    ("engine.durable.BROKEN_TRIES", 6, "operating", "six tries, after 1, 2, 5, 15 and 60 seconds"),
    (
        "engine.durable.BROKEN_DELAYS",
        (1.0, 2.0, 5.0, 15.0, 60.0),
        "operating",
        "six tries, after 1, 2, 5, 15 and 60 seconds",
    ),
    ("domain.escalation.state.SAME_LEVEL", MINUTE, "escalation", "within a minute of its coming"),
    ("engine.durable.DELIVERIES_AT_ONCE", 8, "operating", "makes eight at once for each queue"),
    ("engine.wakeup.POLL_SECONDS", 1.0, "operating", "all queues are looked at once a second"),
    ("process.worker.POLL_SECONDS", 0.5, "operating", "intake starts half a second later"),
    ("engine.durable.ORDERS_PER_WORKFLOW", 8, "decisions/0005-engine", "share one workflow of up to eight"),
    ("store.inbox_sqlite.COMMIT_TIMEOUT_SECONDS", 4.0, "operating", "waits up to 4 seconds for its commit"),
    ("retrying.TRIES", 5, "python", "is made up to five times"),
    ("retrying.FIRST_WAIT_SECONDS", 0.5, "python", "with waits of half a second"),
    ("retrying.WAIT_SECONDS", 60.0, "python", "never more than a minute together"),
)

PROCESSES: Sequence[Row] = (
    ("process.worker.HEARTBEAT_SECONDS", 1.0, "operating", "a heartbeat once a second"),
    ("process.worker.FINISH_SECONDS", 8, "operating", "deliveries in hand get 8 seconds"),
    ("process.worker.LAST_CALL_SECONDS", 12.0, "operating", "the worker ends itself after 12"),
    ("process.supervisor.STOP_TIMEOUT_SECONDS", 13.0, "operating", "the master kills it after 13"),
    ("process.supervisor.GRACE_DEATHS", 3, "operating", "after three deaths at the start"),
    ("process.supervisor.MAX_PAUSE_SECONDS", 15.0, "operating", "15 seconds at most"),
    ("services.sync.recovery.OVERDUE", 5 * MINUTE, "architecture", "has been pending for five minutes"),
    ("services.sync.recovery.EVERY", MINUTE, "architecture", "looks for such once a minute"),
    ("services.sync.recovery.EVERY_SECONDS", 5.0, "operating", "checks the others every five seconds"),
    ("services.sync.recovery.CHECKS", 7, "operating", "no heartbeat in seven checks"),
    ("store.worker_leases.SLOTS", 64, "operating", "as you like, 64 at most"),
    ("store.retention.KEPT_FREE", 10, "operating", "free beyond a tenth of a file"),
    ("store.migrate.REPORT_SECONDS", 10.0, "operating", "logs that at once and every ten seconds"),
    ("store.plain.LOG_BYTES", 64 * 1024 * 1024, "decisions/0010-mortal-workers", "cut back to 64 MiB"),
    ("store.retention.BATCH_ROWS", 500, "configuration", "at most 500 rows in a transaction"),
    ("store.retention.INBOX_ROWS", 100, "configuration", "(100 of the inbox)"),
    ("store.retention.LINES_KEPT", 200, "configuration", "the newest 200 older lines stay"),
    ("services.operator.retention.EVERY_SECONDS", 3600.0, "configuration", "deletes older ones once an hour"),
    ("config.bridge_yaml.MIN_EVIDENCE_DAYS", 1, "configuration", "raw webhook bodies after they arrived; 1 or more"),
    ("services.operator.retention.EVERY_SECONDS", 3600.0, "privacy", "The leading worker looks once an hour"),
    ("process.watch.LOOK_SECONDS", 15.0, "operating", "Each worker looks every 15 seconds"),
    ("process.supervisor.SILENT_SECONDS", 40.0, "operating", "has heard of no look for 40 seconds"),
    ("process.supervisor.LOOK_WITHOUT_WORKER_SECONDS", 60.0, "operating", "(`BRIDGE_ROLE=web`: once a minute)"),
    ("services.diagnostics.self_fault.CLEAR_AFTER", 30 * SECOND, "operating", "over for 30 seconds"),
    ("services.diagnostics.self_fault.RETURNED_WITHIN", 10 * MINUTE, "operating", "over for ten minutes"),
    ("services.diagnostics.self_fault.REPEAT_AFTER", HOUR, "operating", "sent again once an hour"),
    ("services.diagnostics.self_fault.FIRST_RETRY", 15 * SECOND, "operating", "tried again after 15 seconds"),
    ("services.diagnostics.self_fault.LAST_RETRY", 5 * MINUTE, "operating", "at most every five minutes"),
    ("services.diagnostics.self_fault.MISMATCHES", 3, "operating", "three or more deliveries did not match"),
    ("services.diagnostics.heartbeat.BEAT_SECONDS", 60.0, "operating", "calls it with GET once a minute"),
    ("bootstrap.self_page.HEARTBEAT_SECONDS", 5.0, "operating", "the call ends after five seconds"),
    ("services.diagnostics.health.HEARTBEAT_LIMIT_SECONDS", 10.0, "operating", "no heartbeat for 10 seconds"),
    ("services.diagnostics.health.WAITING_LIMIT_SECONDS", 60.0, "operating", "`oldest_waiting` over a minute"),
    ("services.diagnostics.health.REFUSED_REMEMBERED", DAY, "operating", "or a day after the last refused one"),
    ("services.diagnostics.health.FRESH_SECONDS", 1.0, "operating", "An answer that is not red is kept for a second"),
    ("metrics.FRESH_SECONDS", 1.0, "operating", "(both are kept for a second, a red `/readyz` is not)"),
    ("metrics.FRESH_SECONDS", 1.0, "metrics", "make the text anew at most once a second"),
    ("process.metrics_server.PAUSE_SECONDS", 1 / 50, "metrics", "at most fifty connections a second"),
    ("process.metrics_server.AT_ONCE", 4, "metrics", "answers four at a time"),
    ("process.metrics_server.RECEIVE_SECONDS", 5.0, "metrics", "five seconds to ask and five to read"),
    ("process.metrics_server.ANSWER_SECONDS", 5.0, "metrics", "five seconds to ask and five to read"),
    ("services.operator.retention.FIRST_AFTER_SECONDS", 60.0, "metrics", "a minute after the first start"),
    ("remote.payload.UNSIGNED_IN_NUMBER", 3, "operating", "unless three came and never a good one"),
    ("remote.payload.SAME_SERIES", HOUR, "operating", "refusals more than an hour apart are counted anew"),
    ("remote.payload.MAX_SIGNATURES", 32, "configuration", "the first 32 signatures"),
    ("services.diagnostics.doctor.OLD_SECRET_GRACE", 48 * HOUR, "operating", "once that was 48 hours ago"),
    ("services.diagnostics.partners.INTEGRATION_KEY_CHARS", 32, "doctor", "PagerDuty's 32 characters"),
    ("services.diagnostics.connection_test.APPEARS_SECONDS", 30.0, "connection-test", "by REST for up to 30 seconds"),
    ("services.diagnostics.connection_test.TRIES", 3, "connection-test", "tries the resolve three times"),
    ("services.diagnostics.connection_test.PING_TIMEOUT_SECONDS", 10.0, "connection-test", "within 10 seconds"),
    ("bootstrap.worker.WATCH_SECONDS", 900.0, "doctor", "when it starts and every 15 minutes"),
)

HTTP: Sequence[Row] = (
    ("web.incoming.MAX_BODY_BYTES", 1024 * 1024, "operating", "let bodies of 1 MiB through"),
    ("web.incoming.MAX_HEAD_BYTES", 128 * 1024, "operating", "heads of 128 KiB"),
    ("web.incoming.RECEIVE_SECONDS", 10.0, "operating", "10 seconds to arrive"),
    ("web.incoming.ANSWER_SECONDS", 15.0, "operating", "15 to be answered"),
    ("web.server.MAX_HELD_BYTES", 32 * 1024 * 1024, "decisions/0020-one-parser-frames", "a bound of 32 MiB"),
    ("web.server.PAUSE_SECONDS", 1.0, "survives", "logs `connection.not_accepted`, once a second"),
    ("services.access.tokens.FIRST_DELAY", 1.0, "access", "1, 2, 4, 8, 16 seconds"),
    ("services.access.tokens.LONGEST_DELAY", 30.0, "access", "16 seconds, then 30"),
    ("services.access.tokens.MANY", 10, "access", "from the tenth on fifteen minutes"),
    ("services.access.tokens.LOCKED", 15 * MINUTE, "access", "from the tenth on fifteen minutes"),
    ("services.access.tokens.LOCKED", 15 * MINUTE, "api", "[fifteen minutes after ten]"),
    ("services.access.tokens.FORGOTTEN", HOUR, "access", "An hour without a wrong token ends the count"),
    ("services.access.tokens.MAX_ADDRESSES", 10_000, "access", "10,000 are remembered"),
    ("services.access.sessions.IDLE", HOUR, "access", "an hour after its last request"),
    ("services.access.sessions.LONGEST", 12 * HOUR, "access", "after 12 hours in any case"),
    ("cli.access.DEFAULT_MINUTES", 15, "access", "works for 15 minutes unless"),
    ("cli.access.MAX_MINUTES", 24 * 60, "access", "a day at most"),
    ("web.api.rules.MAX_ALERT_BYTES", 1024 * 1024, "api", "over 1 MiB for an explanation"),
    ("services.rules.stored.LOOKBACK", 7 * DAY, "api", "how many alerts of the last 7 days"),
    ("web.api.endpoint.MAX_BODY_BYTES", 4 * 1024, "api", "one over 4 KiB is refused"),
    ("web.api.parameters.DEFAULT_LIMIT", 50, "api", "`limit` (50, at most 500)"),
    ("web.api.parameters.MAX_LIMIT", 500, "api", "`limit` (50, at most 500)"),
    ("bootstrap.web.COMMAND_TIMEOUT_SECONDS", 2.0, "api", "waits up to 2 seconds"),
    ("bootstrap.container.COMMAND_TIMEOUT_SECONDS", 5.0, "operating", "wait up to five seconds for the outcome"),
)

JOBS: Sequence[Row] = (
    ("process.job_child.NICENESS", 10, "operating", "a lower priority (nice 10)"),
    ("process.job_child.MEMORY_BYTES", 1024**3, "operating", "at most 1 GiB of memory"),
    ("bootstrap.jobs.ASKED_AT_ONCE", 20, "operating", "replays dead letters, twenty at a time"),
    ("bootstrap.jobs.ASKED_AT_ONCE", 20, "operating", "erases many alerts, twenty at a time"),
    ("services.operator.console.MAX_OF_A_PREVIEW", 2_000, "console", "of more than 2,000, the newest"),
    ("services.jobs.commands.MAX_WAITING", 20, "operating", "At most 20 jobs wait"),
    ("services.jobs.run.BEAT_SECONDS", 1.0, "operating", "cancelled it, once a second"),
    ("services.jobs.run.CANCEL_WITHIN", 2 * SECOND, "operating", "react within two seconds is killed"),
    ("services.jobs.run.CANCEL_TEST_WITHIN", 60 * SECOND, "operating", "killed, a connection test within a minute"),
    ("services.jobs.run.MAX_STARTS", 2, "operating", "whose process dies is begun again once"),
    ("services.jobs.run.LOST_AFTER", 15 * SECOND, "operating", "that takes 15 seconds"),
    ("services.jobs.run.MAX_RESULT_BYTES", 32 * 1024**2, "operating", "A result may have 32 MiB"),
    ("services.jobs.run.EVERY_SECONDS", 5.0, "decisions/0028-jobs-and-stored-rules", "also looks every five seconds"),
    ("services.rules.stored.MAX_SILENCES", 200, "rules", "At most 200 are in force or planned"),
    ("services.rules.stored.MAX_DRAFTS", 50, "rules", "At most 50 drafts are kept"),
    ("services.rules.stored.MAX_DRAFT_BYTES", 256 * 1024, "rules", "each of at most 256 KiB"),
    ("services.diagnostics.health.DIFFER_FOR", 30 * SECOND, "operating", "for more than half a minute: give every"),
    ("services.diagnostics.configuration.DEAD_AFTER", 300 * SECOND, "console", "within five minutes if it did not"),
    (
        "services.diagnostics.configuration.DEAD_AFTER",
        300 * SECOND,
        "decisions/0035-workers-say-what-they-run-with",
        "for five minutes counts no more",
    ),
    (
        "services.diagnostics.configuration.REMOVED_AFTER",
        600 * SECOND,
        "decisions/0035-workers-say-what-they-run-with",
        "after ten minutes the next worker",
    ),
    (
        "services.diagnostics.configuration.REPEATED",
        10 * SECOND,
        "decisions/0035-workers-say-what-they-run-with",
        "every ten seconds as a sign of life",
    ),
    ("store.jobs.MAX_AUDIT_CHARS", 300, "decisions/0028-jobs-and-stored-rules", "at most 300 characters each"),
)

RULES: Sequence[Row] = (
    ("config.schema.MAX_FILE_BYTES", 256 * 1024, "configuration", "at most 256 KiB"),
    ("config.schema.SHOWN_CHARS", 4, "configuration", "the last four characters of a key"),
    ("config.bridge_yaml.VERSION_CHARS", 12, "configuration", "the first 12 hex digits"),
    ("config.bridge_yaml.MAX_RULES", 500, "configuration", "At most 500 rules"),
    ("config.bridge_yaml.MAX_TITLE_CHARS", 1_024, "configuration", "title of the incident, at most 1,024 characters"),
    ("config.bridge_yaml.MAX_HOLD_MINUTES", 1440, "configuration", "0 to 1440, fractions allowed"),
    ("config.bridge_yaml.MAX_HOLD_MINUTES", 1440, "rules", "`1440` (a day) is the maximum"),
    ("config.bridge_yaml.MAX_MINUTES", 44640, "configuration", "at most 44640 (31 days)"),
    ("config.bridge_yaml.MAX_SILENCES", 200, "configuration", "opens no incident. At most 200."),
    ("config.bridge_yaml.MAX_NAME_CHARS", 200, "configuration", "unique, at most 200 characters"),
    ("config.bridge_yaml.MAX_REASON_CHARS", 1_000, "configuration", "why, at most 1,000 characters"),
    ("domain.rules.trigger.MAX_TRIGGER_CHARS", 4_000, "configuration", "at most 4,000 characters"),
    ("domain.rules.trigger.MAX_TRIGGER_TOKENS", 500, "configuration", "500 words and signs"),
    ("domain.rules.trigger.MAX_TRIGGER_JOINTS", 60, "configuration", "60 of `and`, `or`, `not` and opening brackets"),
    ("domain.rules.rulebook.MIN_WITHHELD_CHARS", 8, "configuration", "if it has 8 characters or more"),
    (
        "domain.sync.incident_draft.MAX_TITLE_CHARS",
        1_024,
        "configuration",
        "An incident has a title of at most 1,024 characters",
    ),
    ("domain.sync.incident_draft.MAX_EVENT_BYTES", 512_000, "configuration", "PagerDuty takes at most 512 KB"),
    ("truthvouch.wire.MAX_EXTRA_FIELDS", 50, "configuration", "the bridge keeps 50 of an alert"),
    ("services.rules.rulebook.CHECK_EVERY_SECONDS", 1.0, "configuration", "it looks at most once a second"),
    ("domain.rules.rulebook.LONGEST", 31 * DAY, "configuration", "at most 31 days ahead"),
    ("domain.rules.rulebook.EXPIRES_SOON", HOUR, "rules", "An hour before its end"),
    ("domain.rules.rulebook.CHECK_AGAIN", MINUTE, "rules", "every silenced alert once a minute"),
    ("services.sync.silence_watch.EVERY_SECONDS", 5.0, "rules", "checks the file every five seconds"),
    ("store.history.PAGE", 1_000, "rules", "read 1,000 at a time"),
    ("store.history.PAGE", 1_000, "configuration", "A field that one of the newest thousand alerts had is known"),
    ("services.rules.overview.COUNTED", 30 * DAY, "rules", "how many alerts of the last 30 days the rule decided"),
    ("services.rules.stored.LOOKBACK", 7 * DAY, "rules", "alerts of the last 7 days"),
)

ESCALATION_AND_RECONCILIATION: Sequence[Row] = (
    ("services.escalation.advance.EVERY_SECONDS", 0.3, "escalation", "three times a second"),
    ("services.escalation.advance.AT_ONCE", 4, "escalation", "works on four incidents at a time"),
    ("services.escalation.advance.STALE", 10 * SECOND, "escalation", "recorded more than ten seconds ago"),
    ("services.escalation.record.EVERY_SECONDS", 60.0, "escalation", "looks once a minute for open incidents"),
    ("services.escalation.record.YOUNG", DAY, "escalation", "skips alerts first seen more than a day ago"),
    ("services.escalation.target.MAX_LEVELS", 20, "escalation", "once for each level, 20 levels at most"),
    ("services.operator.escalation_check.GRACE", MINUTE, "escalation", "more than a minute late"),
    ("domain.escalation.state.READ_AGAIN", 5 * MINUTE, "escalation", "it is read every five minutes"),
    (
        "domain.escalation.steps.PUNCTUAL",
        5 * SECOND,
        "escalation",
        "at most five seconds late counts from its own time",
    ),
    (
        "services.reconciliation.list_walk.OVERLAP",
        5 * MINUTE,
        "reconciliation",
        "raised within five minutes of each other",
    ),
    (
        "services.reconciliation.context.UNPAGED_FOR",
        7 * DAY,
        "reconciliation",
        "by itself for seven days after it was first seen",
    ),
    ("services.reconciliation.incidents.PAGE", 100, "reconciliation", "100 a page"),
    ("services.reconciliation.incidents.LAST_OFFSET", 9_900, "reconciliation", "no more than 10,000 incidents"),
    ("services.reconciliation.incidents.LOOK_BACK", DAY, "reconciliation", "from one day before the link"),
    ("services.reconciliation.alerts.LOOK_BACK", DAY, "reconciliation", "back to one day before the oldest of them"),
    ("services.reconciliation.alerts.MISSES", 2, "reconciliation", "after 404 or 405 for two alerts"),
    ("bootstrap.worker.INBOX_TIMEOUT", 5 * SECOND, "reconciliation", "waited more than five seconds for intake"),
    ("bootstrap.container.INTAKE_TIMEOUT_SECONDS", 10.0, "reconciliation", "waits up to ten seconds for intake"),
    ("store.budgets_left.HOUR", HOUR, "reconciliation", "in any sixty minutes"),
)

REPORTS_AND_PYTHON: Sequence[Row] = (
    ("domain.reports.period.MAX_DAYS", 3_660, "reports", "at most 3,660"),
    ("domain.reports.totals.STEPS", (5, 15, 60, 240, 1440), "reports", "up to 5, 15, 60, 240, 1,440 minutes"),
    ("domain.reports.compare.WEEKS", 8, "reports", "the last eight whole weeks"),
    ("domain.reports.compare.FEWEST_WEEKS", 3, "reports", "`too_few_weeks` below three weeks"),
    ("services.reports.report.LAG", DAY, "reports", "up to 24 hours behind"),
    ("services.reports.report.LONGEST", 365 * DAY, "reports", "of at most 365 days"),
    ("ui.report_page.MOST_INCIDENTS", 500, "reports", "the newest 500 incidents"),
    ("services.incidents.notify.MAX_MESSAGE_CHARS", 2_000, "python", "the message of `notify_responder` to 2,000"),
    ("services.incidents.incidents.MAX_RESOLUTION_NOTE_CHARS", 25_000, "python", "a resolution note to 25,000"),
    ("pagerduty.wire.MAX_TITLE_CHARS", 1_024, "python", "a title to 1,024 characters"),
    ("sandbox.kit.faults.MAX_CALLS", 20_000, "sandbox", "the bridge's last 20,000 requests"),
    (
        "sandbox.kit.webhook_sender.RETRY_AFTER_SECONDS",
        (0.2, 0.5, 1, 2, 5, 10),
        "sandbox",
        "0.2, 0.5, 1, 2, 5 and then 10 seconds",
    ),
    ("sandbox.pagerduty.hooks.GIVES_UP_AFTER_SECONDS", 48 * 3600.0, "sandbox", "(48 hours, 14.6 hours)"),
    ("sandbox.truthvouch.alerts.GIVES_UP_AFTER_SECONDS", 14.6 * 3600, "sandbox", "(48 hours, 14.6 hours)"),
    ("demo.SANDBOX_PORT", 9100, "sandbox", "start it at port 9100 too"),
)

CONSTANTS = (*SYNC, *FAILURES, *PROCESSES, *HTTP, *JOBS, *RULES, *ESCALATION_AND_RECONCILIATION, *REPORTS_AND_PYTHON)
SETTINGS = (
    ("reconcile_seconds", 300.0, "`BRIDGE_RECONCILE_SECONDS`"),
    ("pagerduty.rest_per_minute", 960, "`PAGERDUTY_REST_PER_MINUTE`"),
    ("pagerduty.events_per_minute", 120, "`PAGERDUTY_EVENTS_PER_MINUTE`"),
    ("web_concurrency", 2, "`WEB_CONCURRENCY`"),
)
KEYS = (
    ("reconcile_calls_per_hour", 300, "`reconcile_calls_per_hour`"),
    ("replay_window_seconds", 0, "`replay_window_seconds`"),
    ("retention_days", 31, "`days`"),
    ("evidence_days", 30, "`evidence_days`"),
    ("audit_days", 365, "`audit_days`"),
)
GUNICORN = (
    ("threads", 8, "architecture", "eight threads answer whole requests"),
    ("worker_connections", 500, "operating", "one of the 500 connections of a web process"),
    ("keepalive", 75, "operating", "closes a connection that was idle for 75"),
    ("limit_request_field_size", 64 * 1024, "operating", "header fields of 64 KiB"),
)


def page_says(page: str, phrase: str) -> bool:
    return phrase in " ".join((DOCS / f"{page}.md").read_text("utf-8").split())


def constant(path: str) -> Any:
    module, _, name = path.rpartition(".")
    value = getattr(import_module(f"app.{module}"), name)
    return tuple(value) if isinstance(value, list | tuple) else value


@pytest.mark.parametrize(("path", "value", "page", "phrase"), CONSTANTS, ids=lambda part: str(part)[:50])
def test_a_number_is_what_its_page_says(path: str, value: Any, page: str, phrase: str) -> None:
    assert value == constant(path)
    assert page_says(page, phrase)


@pytest.mark.parametrize(("name", "value", "page", "phrase"), GUNICORN)
def test_a_limit_of_the_server_is_what_its_page_says(name: str, value: int, page: str, phrase: str) -> None:
    assert value == runpy.run_path(str(DOCS.parent / "gunicorn.conf.py"))[name]
    assert page_says(page, phrase)


def row_of(start: str) -> str:
    """The one row of docs/configuration.md that begins so."""
    [row] = [
        line for line in (DOCS / "configuration.md").read_text("utf-8").splitlines() if line.startswith(f"| {start} |")
    ]
    return row


@pytest.mark.parametrize(("name", "value", "start"), SETTINGS)
def test_the_default_of_a_variable_is_what_its_row_says(name: str, value: float, start: str) -> None:
    assert value == attrgetter(name)(Settings.from_env({}))
    assert f"| `{value:g}` |" in row_of(start)


@pytest.mark.parametrize(("name", "value", "start"), KEYS)
def test_the_default_of_a_key_is_what_its_row_says(name: str, value: float, start: str) -> None:
    assert value == getattr(Rulebook(), name)
    assert f"| `{value:g}` |" in row_of(start)
