"""PagerDuty's Events API v2: trigger, acknowledge, resolve. One call a method, no retries.

https://developer.pagerduty.com/docs/events-api-v2/overview/
"""

from collections.abc import Callable, Mapping
from typing import Any

from app.domain.answer import Answer, Failure, judge
from app.domain.budget import LOW_RESERVE
from app.domain.incident import IncidentDraft
from app.domain.names import IncidentKey, Urgency
from app.domain.outcome import Done, Held, Reply
from app.pagerduty import event_wire
from app.pagerduty.pacing import Pacing
from app.transport import Transport

TARGET = "pagerduty_events"
ENQUEUE = "/v2/enqueue"
QUEUED = frozenset({202})


class EventsApi:
    """Implements ``ports.Events``. ``Done`` means queued: nobody knows yet whether an incident exists."""

    def __init__(
        self,
        transport: Transport,
        base_url: str,
        default_key: str | None = None,
        keys: Mapping[str, str] | None = None,
        pacing: Callable[[str], Pacing] | None = None,
    ) -> None:
        """``base_url`` is the host's, ``https://events.pagerduty.com``; ``keys`` are integration keys by service id;
        ``pacing`` makes what holds a key's budget of calls.

        A service without a key of its own is paged through ``default_key``: a page in the wrong queue is a page.
        """
        self._transport = transport
        self._url = base_url.rstrip("/") + ENQUEUE
        self._default_key = default_key
        self._keys = {service_id.upper(): key for service_id, key in (keys or {}).items()}
        every_key = {*self._keys.values(), *([default_key] if default_key else [])}
        self._pacing = {key: pacing(key) if pacing else Pacing() for key in every_key}

    def trigger(self, draft: IncidentDraft) -> Reply[None]:
        """Open an alert, or write to the one open under the draft's key."""
        key = self._routing_key(draft.service_id)
        if not key:
            return Held("no_integration_key")
        return self._enqueue(event_wire.trigger(draft, key), 0.0 if draft.urgency is Urgency.HIGH else LOW_RESERVE)

    def acknowledge(self, key: IncidentKey, service_id: str | None = None) -> Reply[None]:
        """Acknowledge what is open under ``key``; without such PagerDuty says yes and does nothing."""
        return self._follow_up("acknowledge", key, service_id)

    def resolve(self, key: IncidentKey, service_id: str | None = None) -> Reply[None]:
        """Resolve what is open under ``key``; without such PagerDuty says yes and does nothing.

        ``service_id`` as at the trigger: under another integration key the same ``dedup_key`` is another alert.
        """
        return self._follow_up("resolve", key, service_id)

    def _follow_up(self, action: str, key: IncidentKey, service_id: str | None) -> Reply[None]:
        routing_key = self._routing_key(service_id)
        if not routing_key:
            return Held("no_integration_key")
        return self._enqueue(event_wire.follow_up(action, key, routing_key))

    def _routing_key(self, service_id: str | None) -> str | None:
        return self._keys.get((service_id or "").upper()) or self._default_key

    def _enqueue(self, event: Mapping[str, Any], reserve: float = 0.0) -> Reply[None]:
        def send() -> Answer | Failure:
            return self._transport.call("POST", self._url, json=event, target=TARGET)

        answer = self._pacing[event["routing_key"]].call(send, reserve)
        if isinstance(answer, Held):
            return answer
        reply = judge(answer, ok=QUEUED, hide=(event["routing_key"],))
        return reply.with_value(None) if isinstance(reply, Done) else reply
