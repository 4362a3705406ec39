"""``TruthVouchClient``: TruthVouch's alerts from a script, as TruthVouch's PagerDuty page uses it.

Scripts import it from ``truthvouch_pagerduty``. Dictionaries come back, errors are ``BridgeError``. Calls without a
usable answer are made again, up to five times within a minute and never sooner than ``Retry-After`` asks for; all of
them are safe to repeat.
https://docs.truthvouch.ai/developers/api/shield
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from app.config import bridge_yaml
from app.config.environment import Arguments, Environment
from app.config.schema import held_in
from app.domain.model.outcome import Refused
from app.domain.model.types import AlertId, Status
from app.errors import TRUTHVOUCH, value_of
from app.remote.payload import id_of, table_of
from app.remote.transport import Transport, leave_log_to_caller
from app.retrying import RetryPolicy
from app.truthvouch.api import AlertsApi

DEFAULT_URL = "https://api.truthvouch.com/api/v1"
NO_SINGLE_READ = frozenset({404, 405})
MAX_PAGES_READ = 20
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
        path = Path(env.given("BRIDGE_CONFIG") or "bridge.yaml")
        said = Arguments({"TRUTHVOUCH_API_KEY": ("api_key", api_key), "TRUTHVOUCH_API_URL": ("base_url", base_url)})
        key = said.secret("TRUTHVOUCH_API_KEY") or env.secret("TRUTHVOUCH_API_KEY")
        url = said.url("TRUTHVOUCH_API_URL") or env.url("TRUTHVOUCH_API_URL")
        said.raise_faults()
        env.raise_faults()
        filed = held_in(path)
        self._transport = Transport()
        api = AlertsApi(
            self._transport,
            url or filed.get("truthvouch.api_url") or DEFAULT_URL,
            key or filed.get("truthvouch.api_key") or "",
            lambda: bridge_yaml.load(path).calls,
        )
        self.alerts = Alerts(api, RetryPolicy())

    def __enter__(self) -> "TruthVouchClient":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()


class Alerts:
    """What can be asked of alerts. An alert is a dictionary in TruthVouch's own words: ``id``, ``status``, ..."""

    def __init__(self, api: AlertsApi, retry: RetryPolicy) -> None:
        self._api, self._retry = api, retry

    def acknowledge(self, alert_id: str) -> Json:
        """Tell TruthVouch that somebody is on it: ``{"id", "status": "acknowledged"}``. Twice is once.

        Only resolving is documented at TruthVouch; how this is told is configurable (``truthvouch.wire``).
        """
        return self._set(alert_id, Status.ACKNOWLEDGED, None)

    def resolve(self, alert_id: str, resolution: str | None = None) -> Json:
        """Resolve it, with what was found: ``{"id", "status": "resolved"}``. Twice is once."""
        return self._set(alert_id, Status.RESOLVED, resolution)

    def get(self, alert_id: str) -> Json:
        """One alert. Where TruthVouch shows no single one, the first twenty pages of the list are looked through."""
        reply = self._retry(lambda: self._api.shown(AlertId(alert_id)))
        if isinstance(reply, Refused) and reply.status in NO_SINGLE_READ:
            for alert in self._pages(range(1, MAX_PAGES_READ + 1)):
                if alert_id in (id_of(alert.get(name)) for name in ("id", "alert_id", "alertId")):
                    return alert
        return dict(value_of(reply, TRUTHVOUCH, f"read alert {alert_id}"))

    def list(self, status: str | None = None, page: int | None = None) -> Iterator[Json]:
        """Alerts in TruthVouch's order; with ``status`` only those (``open``, ``resolved``, ...).

        With ``page`` (from 1) those of that page; without it all of them, page after page, each asked for when the
        iterator gets there: ``next(client.alerts.list())`` is one call.
        """
        yield from self._pages(count(1) if page is None else (page or 1,), status)

    def _pages(self, numbers: Iterable[int], status: str | None = None) -> Iterator[Json]:
        for number in numbers:
            reply = self._retry(partial(self._api.listed, number, status))
            entries, more, _ = value_of(reply, TRUTHVOUCH, "list alerts")
            yield from (dict(table_of(entry)) for entry in entries)
            if not more:
                return

    def _set(self, alert_id: str, status: Status, resolution: str | None) -> Json:
        reply = self._retry(lambda: self._api.set_status(AlertId(alert_id), status, resolution))
        value_of(reply, TRUTHVOUCH, f"tell that alert {alert_id} is {status.value}")
        return {"id": alert_id, "status": status.value}
