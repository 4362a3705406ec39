"""TruthVouch's alert API. One call a method (a refused change is followed by one look), no retries.

https://docs.truthvouch.ai/developers/api/shield
Only *list* and *resolve* are documented there, so how a change is told is the operator's to configure.
"""

from collections.abc import Callable, Mapping

from app.domain.answer import judge
from app.domain.incident import AlertFacts
from app.domain.names import AlertId, Status
from app.domain.outcome import Done, Held, Refused, Reply, Retry
from app.domain.payload import table_of
from app.domain.rulebook import Call, TruthVouchCalls
from app.ports import AlertPage
from app.transport import Transport
from app.truthvouch import calls, wire

TARGET = "truthvouch"
CHANGED = frozenset({200, 201, 202, 204})
MAYBE_THERE_ALREADY = frozenset({409, 422})
"""No error code for "it is in that state already" is documented; these two are how such things are usually said."""
READ_ALERT = "/alerts/{alert_id}"


class AlertsApi:
    """Implements ``ports.Alerts``."""

    def __init__(
        self, transport: Transport, base_url: str, api_key: str, configured: Callable[[], TruthVouchCalls]
    ) -> None:
        """``base_url`` includes the version, ``https://api.truthvouch.com/api/v1``.

        ``configured`` is asked anew for every call, so that an edited file counts at once.
        """
        self._transport = transport
        self._base_url = base_url.rstrip("/")
        self._api_key = api_key
        self._configured = configured

    def set_status(self, alert_id: AlertId, status: Status, resolution: str | None = None) -> Reply[None]:
        """Tell TruthVouch; an alert that is there already is ``Done``.

        ``Refused`` when the alert stands elsewhere, or cannot be read to find out.
        """
        reply = self._change(_call_for(self._configured(), status), alert_id, resolution)
        if not isinstance(reply, Refused) or reply.status not in MAYBE_THERE_ALREADY:
            return reply
        seen = self.get(alert_id)
        if isinstance(seen, Done):
            return seen.with_value(None) if seen.value.status is status else reply
        # Reading one alert is undocumented: where that is refused (404, 405) the first refusal stands.
        return reply if isinstance(seen, Refused) else seen

    def get(self, alert_id: AlertId) -> Reply[AlertFacts]:
        """``GET /alerts/{id}``, which TruthVouch may not have: then ``Refused`` with 404 or 405."""
        reply = self.shown(alert_id)
        if not isinstance(reply, Done):
            return reply
        facts = wire.facts(reply.value, alert_id)
        return reply.with_value(facts) if facts else Retry("unreadable_answer")

    def shown(self, alert_id: AlertId) -> Reply[Mapping[str, object]]:
        """As ``get``, in TruthVouch's own words."""
        reply = self._send("GET", calls.path(READ_ALERT, alert_id), alert_id)
        if not isinstance(reply, Done):
            return reply
        told = table_of(reply.value)
        return reply.with_value(table_of(told.get("data")) or told)

    def page(self, page: int, status: str | None = None) -> Reply[AlertPage]:
        """One page of ``GET /alerts`` as events. Pages count from 1."""
        reply = self._list(page, status)
        if not isinstance(reply, Done):
            return reply
        entries, meta = reply.value
        has_next = _has_next(meta, page, len(entries))
        last_page = _last_page(meta, page, len(entries), has_next)
        return reply.with_value(AlertPage(tuple(map(wire.listed, entries)), has_next, last_page))

    def listed(self, page: int, status: str | None = None) -> Reply[tuple[list[object], bool]]:
        """The entries of one page in TruthVouch's own words, and whether there is a next page."""
        reply = self._list(page, status)
        if not isinstance(reply, Done):
            return reply
        entries, meta = reply.value
        return reply.with_value((entries, _has_next(meta, page, len(entries))))

    def _list(self, page: int, status: str | None) -> Reply[tuple[list[object], Mapping[str, object]]]:
        """The entries of one page, and the answer's ``meta``."""
        params = {"page": str(page)} | ({"status": status} if status else {})
        reply = self._send("GET", "/alerts", None, params=params)
        if not isinstance(reply, Done):
            return reply
        entries = _entries(reply.value)
        if entries is None:
            return Retry("unreadable_answer")
        return reply.with_value((entries, table_of(table_of(reply.value).get("meta"))))

    def _change(self, call: Call, alert_id: AlertId, resolution: str | None) -> Reply[None]:
        body = calls.body(call.body, {"alert_id": alert_id, "resolution": resolution})
        reply = self._send(call.method, calls.path(call.path, alert_id), alert_id, body=body)
        return reply.with_value(None) if isinstance(reply, Done) else reply

    def _send(
        self,
        method: str,
        path: str,
        alert_id: AlertId | None,
        params: Mapping[str, str] | None = None,
        body: object = None,
    ) -> Reply[object]:
        if not self._api_key:
            return Held("no_api_key")
        if alert_id is not None and not alert_id.strip("."):
            return Refused("alert_id_unaddressable", status=0)  # in a path, "." and ".." mean another place
        headers = {"Accept": "application/json", "Authorization": f"Bearer {self._api_key}"}
        url = self._base_url + path
        answer = self._transport.call(method, url, headers=headers, params=params, json=body, target=TARGET)
        return judge(answer, ok=CHANGED, hide=(self._api_key,))


def _call_for(configured: TruthVouchCalls, status: Status) -> Call:
    return {
        Status.OPEN: configured.reopen,
        Status.ACKNOWLEDGED: configured.acknowledge,
        Status.RESOLVED: configured.resolve,
    }[status]


def _entries(told: object) -> list[object] | None:
    """The list is ``data`` in the documented envelope; a bare list, or one called ``alerts``, is one too."""
    table = table_of(told)
    for entries in (told, table.get("data"), table.get("alerts")):
        if isinstance(entries, list):
            return entries
    return None


def _has_next(meta: Mapping[str, object], page: int, found: int) -> bool:
    """``meta`` knows, if it is there: by ``totalPages``, or by ``total``. An empty page is always the last."""
    total_pages, total, size = _counts(meta)
    if not found:
        return False
    if total_pages is not None:
        return page < total_pages
    return total is None or page * (size or found) < total


def _last_page(meta: Mapping[str, object], page: int, found: int, has_next: bool) -> int | None:
    """The number of the last page by ``meta``; without it nobody knows, unless it is this one.

    How many alerts fill a page is told by ``pageSize``, or by a first page that is not the last.
    """
    total_pages, total, size = _counts(meta)
    if found and not has_next:
        return page
    if total_pages is not None:
        return max(total_pages, 1)
    size = size or (found if page == 1 else 0)
    return max(-(-total // size), 1) if total is not None and size else None


def _counts(meta: Mapping[str, object]) -> tuple[int | None, int | None, int | None]:
    return _count(meta.get("totalPages")), _count(meta.get("total")), _count(meta.get("pageSize"))


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
