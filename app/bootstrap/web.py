"""What a web process is made of."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from app.bootstrap.common import bell, live_rulebook
from app.bootstrap.rules import Spelling, shadow_of
from app.bootstrap.rules import notes as notes_about_rules
from app.domain.words import Envelope
from app.pagerduty import inbound as pagerduty_inbound
from app.services.health import Health
from app.services.operate import Operate
from app.services.overview import Overview
from app.services.receive_alert import receive_alert
from app.services.receive_incident_event import receive_incident_event
from app.services.receiving import Receive, RefusedTally
from app.settings import Settings
from app.store import own_mail
from app.store.database import Database, open_bridge, open_inbox
from app.store.inbox import open_door
from app.store.postbox import StoredPostbox
from app.store.records import StoredRecords
from app.store.secrets_seen import StoredRefusals
from app.store.vitals import StoredVitals
from app.truthvouch import inbound as truthvouch_inbound

PATIENCE_SECONDS = 2.0
"""How long an operator's request waits for the worker, which needs a hundredth of that when it is there."""


@dataclass(frozen=True)
class WebBridge:
    """What a web process is made of. It stores and answers; it imports no engine and calls nobody."""

    receive_alert: Receive
    receive_incident_event: Receive
    health: Health
    metrics_text: Callable[[], bytes]
    operate: Operate
    overview: Overview
    close: Callable[[], None]


def build_web(settings: Settings) -> WebBridge:
    """The two doors and the health checks. Opens nothing before the first request, so a fork is safe.

    Raises ``ConfigFault`` when ``bridge.yaml`` is broken.
    """
    from app import metrics

    rulebook, inbox, meter, ring = live_rulebook(settings), open_door(settings), metrics.meter(), bell(settings)
    shadow = shadow_of(settings, rulebook)
    database = Database(open_bridge(settings.data_dir, settings.database_url))
    inbox_engine, records = open_inbox(settings.data_dir, settings.database_url), StoredRecords()
    spelling = Spelling(rulebook, database)
    tally = RefusedTally(StoredRefusals(database).add)
    vitals, post = StoredVitals(database, inbox_engine), StoredPostbox(database, inbox_engine)

    def verify(headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> Envelope:
        window = rulebook.current().replay_window_seconds
        return truthvouch_inbound.verify(headers, body, secrets, now, replay_window_seconds=window)

    def notes() -> tuple[str, ...]:
        refused = (f"bridge.yaml is broken, the last good one is in force: {rulebook.fault}",) if rulebook.fault else ()
        now = datetime.now(UTC)
        about_rules = (*notes_about_rules(rulebook.current(), shadow, now), *spelling.notes(now))
        return (*settings.degraded(rulebook.current()), *refused, *about_rules)

    alerts = receive_alert(verify, settings.truthvouch.webhook_secrets, inbox, ring, meter)
    events = receive_incident_event(pagerduty_inbound.verify, settings.pagerduty.webhook_secrets, inbox, ring, meter)
    return WebBridge(
        replace(alerts, remember=tally),
        replace(events, remember=tally),
        Health(inbox, vitals, lambda: settings.missing(rulebook.current()), notes),
        metrics.once_a_second(lambda: metrics.text(vitals)),
        Operate(inbox, ring, post, database, records, own_mail.of_wish, PATIENCE_SECONDS, "api"),
        Overview(database, records, lambda: bool(settings.pagerduty.api_key)),
        inbox.close,
    )
