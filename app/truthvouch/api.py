"""TruthVouch's alert API. One call a method (a refused change is followed by one read), no retries.

https://docs.truthvouch.ai/developers/api/shield
Only *list* and *resolve* are documented there, so how a change is told is the operator's to configure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.domain.model.incident import AlertFacts
from app.domain.model.outcome import Done, Held, Refused, Reply, Retry
from app.domain.model.types import AlertId, Status
from app.domain.rules.rulebook import TruthVouchCalls
from app.ports import AlertPage
from app.remote.payload import table_of
from app.remote.replies import judge, without_value
from app.remote.transport import Transport
from app.truthvouch import wire

TARGET = "truthvouch"
CHANGED = frozenset({200, 201, 202, 204})
MAYBE_THERE_ALREADY = frozenset({409, 422})
"""No error code for "it is in that state already" is documented; these two are how such things are usually said."""
READ_ALERT = "/alerts/{alert_id}"


@dataclass(eq=False)
class AlertsApi:
    """Implements ``ports.Alerts``."""

    transport: Transport
    base_url: str
    """The version included, ``https://api.truthvouch.com/api/v1``."""
    api_key: str = field(repr=False)
    configured: Callable[[], TruthVouchCalls]
    """Asked anew for every call, so that an edited file counts at once."""

    def set_status(self, alert_id: AlertId, status: Status, resolution: str | None = None) -> Reply[None]:
        configured = self.configured()
        calls = {
            Status.OPEN: configured.reopen,
            Status.ACKNOWLEDGED: configured.acknowledge,
            Status.RESOLVED: configured.resolve,
        }
        call = calls[status]
        body = wire.body(call.body, {"alert_id": alert_id, "resolution": resolution})
        reply = without_value(self._send(call.method, wire.path(call.path, alert_id), alert_id, body=body))
        if not isinstance(reply, Refused) or reply.status not in MAYBE_THERE_ALREADY:
            return reply
        seen = self.get(alert_id)
        if isinstance(seen, Done):
            return Done(None, seen.at) if seen.value.status is status else reply
        # Reading one alert is undocumented: where that is refused (404, 405) the first refusal stands.
        return reply if isinstance(seen, Refused) else seen

    def get(self, alert_id: AlertId) -> Reply[AlertFacts]:
        reply = self.shown(alert_id)
        if not isinstance(reply, Done):
            return reply
        facts = wire.facts(reply.value, alert_id)
        return Done(facts, reply.at) if facts else Retry("unreadable_answer")

    def shown(self, alert_id: AlertId) -> Reply[Mapping[str, object]]:
        """As ``get``, in TruthVouch's own words."""
        reply = self._send("GET", wire.path(READ_ALERT, alert_id), alert_id)
        if not isinstance(reply, Done):
            return reply
        content = table_of(reply.value)
        return Done(table_of(content.get("data")) or content, reply.at)

    def page(self, page: int, status: str | None = None) -> Reply[AlertPage]:
        reply = self.listed(page, status)
        if not isinstance(reply, Done):
            return reply
        entries, has_next, last_page = reply.value
        return Done(AlertPage(tuple(map(wire.listed, entries)), has_next, last_page), reply.at)

    def listed(self, page: int, status: str | None = None) -> Reply[tuple[list[object], bool, int | None]]:
        """As ``page``: the entries in TruthVouch's own words, whether there is a next page, and the last one's number
        where TruthVouch says it."""
        params = {"page": str(page)} | ({"status": status} if status else {})
        reply = self._send("GET", "/alerts", None, params=params)
        if not isinstance(reply, Done):
            return reply
        entries = _entries(reply.value)
        if entries is None:
            return Retry("unreadable_answer")
        meta = table_of(table_of(reply.value).get("meta"))
        return Done((entries, *_extent(meta, page, len(entries))), reply.at)

    def _send(
        self,
        method: str,
        path: str,
        alert_id: AlertId | None,
        params: Mapping[str, str] | None = None,
        body: object = None,
    ) -> Reply[object]:
        if not self.api_key:
            return Held("no_api_key")
        if alert_id is not None and not alert_id.strip("."):
            return Refused("alert_id_unaddressable", status=0)  # in a path, "." and ".." mean another place
        headers = {"Accept": "application/json", "Authorization": f"Bearer {self.api_key}"}
        url = self.base_url.rstrip("/") + path
        answer = self.transport.call(method, url, headers=headers, params=params, json=body, target=TARGET)
        return judge(answer, ok=CHANGED, hide=(self.api_key,))


def _entries(content: object) -> list[object] | None:
    """The list is ``data`` in the documented envelope; a bare list, or one called ``alerts``, is one too."""
    table = table_of(content)
    for entries in (content, table.get("data"), table.get("alerts")):
        if isinstance(entries, list):
            return entries
    return None


def _extent(meta: Mapping[str, object], page: int, found: int) -> tuple[bool, int | None]:
    """Whether there is a next page, and the number of the last one; None where nobody knows.

    ``meta`` knows, if it is there: by ``totalPages``, or by ``total``. How many alerts fill a page is told by
    ``pageSize``, or by a first page that is not the last. An empty page is always the last.
    """
    pages, total, size = (_count(meta.get(name)) for name in ("totalPages", "total", "pageSize"))
    if pages is not None:
        has_next = found > 0 and page < pages
        return has_next, page if found and not has_next else max(pages, 1)
    has_next = found > 0 and (total is None or page * (size or found) < total)
    if found and not has_next:
        return False, page
    size = size or (found if page == 1 else 0)
    return has_next, max(-(-total // size), 1) if total is not None and size else None


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
