"""The simulated partners' control API: acting as their people, ordering faults, and looking on."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import requests

Json = dict[str, Any]


class Partners:
    """Speaks to one sandbox. Not for use from several threads."""

    def __init__(self, url: str) -> None:
        self._root = f"{url}/sandbox"
        self._session = requests.Session()

    def close(self) -> None:
        """Let go of the connections."""
        self._session.close()

    def look(self, path: str, **query: object) -> Json:
        """What the control API tells. Raises ``requests.HTTPError``."""
        answer = self._session.get(f"{self._root}/{path}", params={k: str(v) for k, v in query.items()}, timeout=60)
        answer.raise_for_status()
        found: Json = answer.json()
        return found

    def order(self, path: str, body: Mapping[str, Any] | None = None) -> Json | None:
        """Do it; None where the partner's own rules forbid it (somebody else was first)."""
        answer = self._session.post(f"{self._root}/{path}", json=dict(body or {}), timeout=60)
        if answer.status_code == 409:
            return None
        answer.raise_for_status()
        found: Json = answer.json()
        return found

    def heal(self, fault: int | None = None) -> None:
        """Take away one fault, or all."""
        path = "faults" if fault is None else f"faults/{fault}"
        self._session.delete(f"{self._root}/{path}", timeout=60).raise_for_status()

    def alert(self, alert_id: str) -> Json:
        """One alert as TruthVouch has it."""
        alert: Json = self.look(f"truthvouch/alerts/{quote(alert_id, safe='')}")["alert"]
        return alert

    def incident(self, incident_id: str) -> Json:
        """One incident as PagerDuty has it."""
        incident: Json = self.look(f"pagerduty/incidents/{incident_id}")["incident"]
        return incident
