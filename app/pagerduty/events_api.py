"""PagerDuty's Events API v2: trigger, acknowledge, resolve. One call a method, no retries.

https://developer.pagerduty.com/docs/events-api-v2/overview/
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from app.domain.model.incident import IncidentDraft
from app.domain.model.outcome import Held, Reply
from app.domain.model.types import IncidentKey, Urgency
from app.pagerduty import wire
from app.pagerduty.rest_api import Pacing
from app.remote.replies import LOW_RESERVE, judge, without_value
from app.remote.transport import Transport

TARGET = "pagerduty_events"
ENQUEUE = "/v2/enqueue"
QUEUED = frozenset({202})


class EventsApi:
    """Implements ``ports.Events``."""

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
        reserve = 0.0 if draft.urgency is Urgency.HIGH else LOW_RESERVE
        return self._enqueue(partial(wire.trigger, draft), draft.service_id, reserve)

    def acknowledge(self, key: IncidentKey, service_id: str | None = None) -> Reply[None]:
        return self._enqueue(partial(wire.follow_up, "acknowledge", key), service_id)

    def resolve(self, key: IncidentKey, service_id: str | None = None) -> Reply[None]:
        return self._enqueue(partial(wire.follow_up, "resolve", key), service_id)

    def _enqueue(
        self, event: Callable[[str], dict[str, Any]], service_id: str | None, reserve: float = 0.0
    ) -> Reply[None]:
        key = self._keys.get((service_id or "").upper()) or self._default_key
        if not key:
            return Held("no_integration_key")
        send = partial(self._transport.call, "POST", self._url, json=event(key), target=TARGET)
        answer = self._pacing[key].call(send, reserve)
        return answer if isinstance(answer, Held) else without_value(judge(answer, ok=QUEUED, hide=(key,)))
