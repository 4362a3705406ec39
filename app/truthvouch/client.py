"""``TruthVouchClient``: TruthVouch's alerts from a script, as TruthVouch's PagerDuty page uses it.

Scripts import it from ``truthvouch_pagerduty``. Dictionaries come back, errors are ``BridgeError``. Calls without a
usable answer are made again, up to five times within a minute and never sooner than ``Retry-After`` asks for; all of
them are safe to repeat.
https://docs.truthvouch.ai/developers/api/shield
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from app import configfile
from app.configfile.keys import held_in
from app.domain.names import AlertId, Status
from app.domain.outcome import Done, Refused
from app.domain.payload import id_of, table_of
from app.environment import Arguments, Environment
from app.outcomes import TRUTHVOUCH, value_of
from app.patience import Patience
from app.transport import Transport, leave_log_to_caller
from app.truthvouch.api import AlertsApi

DEFAULT_URL = "https://api.truthvouch.com/api/v1"
NO_SINGLE_READ = frozenset({404, 405})
MAX_PAGES_LOOKED_THROUGH = 20
"""How far ``get`` looks where TruthVouch shows no single alert: reading one is undocumented, the list is not."""

Json = dict[str, Any]


class TruthVouchClient:
    """``client.alerts`` holds the calls. Arguments beat the environment, which beats ``bridge.yaml``."""

    def __init__(
        self, api_key: str | None = None, base_url: str | None = None, *, environ: Mapping[str, str] | None = None
    ) -> None:
        """``base_url`` includes the version, ``https://api.truthvouch.com/api/v1``. Calls nobody.

        Of the environment ``TRUTHVOUCH_API_KEY`` (or ``_FILE``), ``TRUTHVOUCH_API_URL`` and ``BRIDGE_CONFIG`` are read;
        ``environ`` stands in for it. Raises ``ConfigFault`` for malformed values, of arguments as of variables.
        """
        leave_log_to_caller()
        env = Environment(os.environ if environ is None else environ)
        path = Path(env.text("BRIDGE_CONFIG", "bridge.yaml"))
        said = Arguments({"TRUTHVOUCH_API_KEY": ("api_key", api_key), "TRUTHVOUCH_API_URL": ("base_url", base_url)})
        key = said.secret("TRUTHVOUCH_API_KEY") or env.secret("TRUTHVOUCH_API_KEY")
        url = said.url("TRUTHVOUCH_API_URL") or env.url("TRUTHVOUCH_API_URL")
        said.raise_faults()
        env.raise_faults()
        filed = held_in(path)
        self._transport = Transport()
        api = AlertsApi(
            self._transport,
            url or filed.truthvouch_api_url or DEFAULT_URL,
            key or filed.truthvouch_api_key or "",
            lambda: configfile.load(path).calls,
        )
        self.alerts = Alerts(api, Patience())

    def __enter__(self) -> "TruthVouchClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


class Alerts:
    """What can be asked of alerts. An alert is a dictionary in TruthVouch's own words: ``id``, ``status``, ..."""

    def __init__(self, api: AlertsApi, insist: Patience) -> None:
        self._api, self._insist = api, insist

    def acknowledge(self, alert_id: str) -> Json:
        """Tell TruthVouch that somebody is on it: ``{"id", "status": "acknowledged"}``. Twice is once.

        Only resolving is documented at TruthVouch; how this is told is configurable (``truthvouch.calls``).
        """
        return self._set(alert_id, Status.ACKNOWLEDGED, None)

    def resolve(self, alert_id: str, resolution: str | None = None) -> Json:
        """Resolve it, with what was found: ``{"id", "status": "resolved"}``. Twice is once."""
        return self._set(alert_id, Status.RESOLVED, resolution)

    def get(self, alert_id: str) -> Json:
        """One alert. Where TruthVouch shows no single one, the first twenty pages of the list are looked through."""
        reply = self._insist(lambda: self._api.shown(AlertId(alert_id)))
        if isinstance(reply, Refused) and reply.status in NO_SINGLE_READ:
            found = next((alert for alert in self._first_pages() if _is(alert, alert_id)), None)
            reply = reply if found is None else Done(found)
        return dict(value_of(reply, TRUTHVOUCH, f"read alert {alert_id}"))

    def list(self, status: str | None = None, page: int | None = None) -> Iterator[Json]:
        """Alerts in TruthVouch's order; with ``status`` only those (``open``, ``resolved``, ...).

        With ``page`` (from 1) those of that page; without it all of them, page after page, each asked for when the
        iterator gets there: ``next(client.alerts.list())`` is one call.
        """
        number = page or 1
        while True:
            alerts, more = self._page(number, status)
            yield from alerts
            if page is not None or not more:
                return
            number += 1

    def _page(self, number: int, status: str | None) -> tuple[tuple[Json, ...], bool]:
        reply = self._insist(lambda: self._api.listed(number, status))
        entries, more = value_of(reply, TRUTHVOUCH, "list alerts")
        return tuple(dict(table_of(entry)) for entry in entries), more

    def _first_pages(self) -> Iterator[Json]:
        for number in range(1, MAX_PAGES_LOOKED_THROUGH + 1):
            alerts, more = self._page(number, None)
            yield from alerts
            if not more:
                return

    def _set(self, alert_id: str, status: Status, resolution: str | None) -> Json:
        reply = self._insist(lambda: self._api.set_status(AlertId(alert_id), status, resolution))
        value_of(reply, TRUTHVOUCH, f"tell that alert {alert_id} is {status.value}")
        return {"id": alert_id, "status": status.value}


def _is(alert: Json, alert_id: str) -> bool:
    return alert_id in (id_of(alert.get(name)) for name in ("id", "alert_id", "alertId"))
