"""The simulated PagerDuty account: its parts, put together once."""

import threading
from collections.abc import Callable
from typing import Any

from app.sandbox.later import Later
from app.sandbox.limits import Limit
from app.sandbox.outbox import Outbox
from app.sandbox.pagerduty.desk import Desk
from app.sandbox.pagerduty.directory import References
from app.sandbox.pagerduty.events import EventQueue
from app.sandbox.pagerduty.hooks import Hooks
from app.sandbox.pagerduty.incident import Incident, in_rest, note_in_rest
from app.sandbox.stamps import Names, PartnerClock


class Account:
    """Incidents, events, subscriptions and limits of one account."""

    def __init__(
        self, lock: threading.RLock, clock: PartnerClock, names: Names, outbox: Outbox, later: Later,
        secret: str, bridge_url: Callable[[], str],
    ) -> None:  # fmt: skip
        self.lock, self.clock = lock, clock
        self.refs = References("http://127.0.0.1")
        self.hooks = Hooks(outbox, clock, names, secret, bridge_url)
        self.desk = Desk(lock, clock, names, self.refs, self.hooks)
        self.events = EventQueue(self.desk, later)
        self.rest_limit, self.events_limit = Limit(clock.real), Limit(clock.real)

    def reset(self) -> None:
        """Back to an empty account with its one subscription and no limits."""
        self.hooks.reset()
        self.desk.reset()
        self.events.reset()
        self.rest_limit.set(0, 60.0)
        self.events_limit.set(0, 60.0)

    def in_state(self, incident: Incident) -> dict[str, Any]:
        """One incident with everything PagerDuty keeps to itself, for the control API."""
        merged = incident.merged_into
        return {
            **in_rest(incident, self.refs),
            "escalation_level": incident.escalation_level,
            "body": incident.body,
            "alert_keys": sorted(alert.alert_key for alert in incident.alerts),
            "merged_into": merged.incident_id if merged else None,
            "custom_fields": incident.custom_fields,
            "notes": [note_in_rest(note) for note in incident.notes],
            "log": [{"at": entry["created_at"], "summary": entry["summary"]} for entry in incident.log],
        }
