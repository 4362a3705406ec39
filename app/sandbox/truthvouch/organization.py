"""The simulated TruthVouch organisation: its alerts, what may happen to them, and the webhooks that tell of it."""

import json
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from app.sandbox.limits import Limit
from app.sandbox.outbox import Outbox
from app.sandbox.parcel import Parcel
from app.sandbox.signing import truthvouch_headers
from app.sandbox.stamps import Names, PartnerClock, iso
from app.sandbox.truthvouch.alert import Alert, Event, event_name, facts_from, webhook

TIMEOUT_SECONDS = 30.0
GIVES_UP_AFTER_SECONDS = 14.6 * 3600
"""After its last retry an event goes to the dead letters.
https://truthvouch-doc.pages.dev/developers/webhooks/retries"""
DEFAULT_LIMIT = 1000
VERBS = {
    "acknowledge": ("acknowledged", "acknowledged"),
    "investigate": ("investigating", "investigating"),
    "resolve": ("resolved", "resolved"),
    "dismiss": ("dismissed", "dismissed"),
    "reopen": ("reopened", "open"),
    "escalate": ("escalated", None),
}
"""What a person does in the dashboard: the verb of the webhook, and the status after it (None = unchanged)."""


class Conflict(Exception):
    """A change of status that the alert's state does not allow: 409."""


@dataclass(frozen=True, slots=True)
class Sending:
    """How often one event's webhook is sent, and whether it waits for a flush instead."""

    deliver: int = 1
    hold: bool = False


class Organization:
    """Keeps the alerts; ``lock`` is held by whoever changes them."""

    def __init__(
        self, lock: threading.RLock, clock: PartnerClock, names: Names, outbox: Outbox, secret: str,
        bridge_url: Callable[[], str],
    ) -> None:  # fmt: skip
        self.lock, self.clock, self.names = lock, clock, names
        self._outbox, self._secret, self._bridge_url = outbox, secret, bridge_url
        self.signature, self.envelope = "s1", "nested"
        self.reopen_is_refused = True
        self.tells_api_changes = self.keeps_acknowledges = True
        self.list_order = "newest_first"
        self.limit = Limit(clock.real, DEFAULT_LIMIT)
        self.reset()

    def reset(self) -> None:
        """No alert, no limit; the chosen variants stay."""
        self.alerts: dict[str, Alert] = {}
        self.limit.set(0, 60.0)

    def raise_alert(self, wish: Mapping[str, Any], at: float, sending: Sending = Sending()) -> Alert:
        """A new alert and its webhook. Raises ``Conflict`` when the id is taken."""
        alert_id = str(wish.get("alert_id") or self.names.next("alert-", 16).lower())
        if alert_id in self.alerts:
            raise Conflict(f"{alert_id} exists")
        alert = Alert(alert_id, facts_from(wish), at, signature=wish.get("signature"), envelope=wish.get("envelope"))
        self.alerts[alert_id] = alert
        self._tell(alert, "created", at, sending=sending)
        return alert

    def act(
        self, alert: Alert, action: str, at: float, by: str | None, reason: str | None = None,
        text: str | None = None, sending: Sending = Sending(),
    ) -> None:  # fmt: skip
        """A person's click in the dashboard; a ``KeyError`` for an unknown action."""
        verb, status = VERBS[action]
        self._move(alert, status or alert.status, by, text)
        self._tell(alert, verb, at, by, reason, text, sending)

    def patch(self, alert: Alert, status: str, resolution: str | None) -> None:
        """``PATCH /alerts/{id}``: what the API key's owner says. Being there already changes and tells nothing.

        Raises ``Conflict`` for an alert that is resolved or dismissed: TruthVouch calls that state terminal.
        """
        if status == alert.status:
            return
        if alert.is_closed and (status != "open" or self.reopen_is_refused):
            raise Conflict(f"the alert is {alert.status}, which is terminal")
        if status in ("acknowledged", "investigating") and not self.keeps_acknowledges:
            return
        verb = "reopened" if status == "open" else status
        self._move(alert, status, API_USER, resolution)
        sending = Sending(deliver=int(self.tells_api_changes))
        self._tell(alert, verb, self.clock(), API_USER, None, resolution, sending)

    def _move(self, alert: Alert, status: str, by: str | None, text: str | None) -> None:
        alert.status, alert.changed_by = status, by
        alert.resolution = text if alert.is_closed else None

    def _tell(
        self, alert: Alert, verb: str, at: float, by: str | None = None, reason: str | None = None,
        text: str | None = None, sending: Sending = Sending(),
    ) -> None:  # fmt: skip
        event = Event(self.names.next("evt_", 20), verb, at, by, reason, text)
        alert.history.append({"at": iso(at, True), "verb": verb, "by": by, "reason": reason, "text": text})
        for _ in range(sending.deliver):
            self._outbox.put(self._parcel(alert, event), sending.hold)

    def _parcel(self, alert: Alert, event: Event) -> Parcel:
        envelope = alert.envelope or self.envelope
        body = json.dumps(webhook(alert, event, envelope), ensure_ascii=False).encode()
        signature = truthvouch_headers(alert.signature or self.signature, self._secret, body, event.at)
        headers = {"Content-Type": "application/json", "X-Sandbox": "simulation", **signature}
        return Parcel(
            "truthvouch", event_name(event, envelope), alert.alert_id,
            lambda: f"{self._bridge_url()}/truthvouch/alerts", headers, body, lane=f"truthvouch/{alert.alert_id}",
            created_at=self.clock.real(), timeout=TIMEOUT_SECONDS, lives_for=GIVES_UP_AFTER_SECONDS,
            ordered=False, final_4xx=False,
        )  # fmt: skip


API_USER = "api-key:bridge"
