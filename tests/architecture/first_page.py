"""Run by ``test_first_page.py`` in a process of its own: a web process that takes deliveries and says how it is, and
then shows its first pages, to many people at once. Prints what it had loaded before, and what it answered.
"""

import json
import os
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from app import create_app
from app.bootstrap import WebBridge
from app.config.settings import Settings
from tests.system.signing import from_pagerduty, from_truthvouch

HEAVY = ("sqlalchemy", "alembic", "pydantic", "dbos")
ALERT = b'{"id": "e1", "type": "alert.created", "data": {"id": "a1", "severity": "critical"}}'
INCIDENT = b"""{"event": {"id": "01", "event_type": "incident.triggered", "occurred_at": "2026-05-04T09:00:00Z",
"data": {"id": "Q1", "type": "incident"}}}"""
BEARER = {"Authorization": f"Bearer {os.environ['BRIDGE_ADMIN_TOKEN']}"}
PAGES: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("/console/login", {}), ("/console/", {}), ("/api/v1/links", BEARER), ("/api/v1/health", BEARER),
    ("/api/v1/silences", BEARER), ("/api/v1/jobs", BEARER), ("/api/v1/audit", BEARER), ("/e/no-such-link", {}),
)  # fmt: skip
"""Each begins at another end of what has to be loaded."""


def loaded() -> list[str]:
    return [name for name in HEAVY if name in sys.modules]


def main() -> None:
    bridge = WebBridge(Settings.from_env(os.environ))
    app = create_app(bridge.settings, bridge)
    made, steps = app.test_client(), dict[str, Any]()

    def ask(name: str, *given: Any, **more: Any) -> Any:
        answer = made.open(*given, **more)
        steps[name] = (answer.status_code, loaded())
        return answer

    for side, path, body, signed in (
        ("truthvouch", "/truthvouch/alerts", ALERT, from_truthvouch(ALERT)),
        ("pagerduty", "/pagerduty/webhook", INCIDENT, from_pagerduty(INCIDENT)),
    ):
        ask(f"{side}, new", path, method="POST", data=body, headers=signed)
        ask(f"{side}, the same", path, method="POST", data=body, headers=signed)
        ask(f"{side}, badly signed", path, method="POST", data=body + b" ", headers=signed)
        ask(f"{side}, too large", path, method="POST", data=b" " * (1024 * 1024 + 1), headers=signed)
    for receive in (bridge.receive_alert, bridge.receive_incident_event):
        receive.remember.write_down()  # type: ignore[attr-defined]
    ask("healthz", "/healthz")
    ready = ask("readyz", "/readyz").json["checks"]
    metrics = ask("metrics", "/metrics").text
    ready_again = [made.get("/readyz").status_code, loaded()]
    pages = first_pages(app)
    facts = {
        "refused": [ready[side]["refused"] for side in ("truthvouch", "pagerduty")],
        "version": ready["configuration"]["message"],
        "metrics": [line for line in metrics.splitlines() if "bridge_store_up" in line or "budget_calls_left{" in line],
        "rules": bridge.rulebook.current().version,
        "shadow": bridge.rulebook.current().shadow,
        "silences": [silence.name for silence in bridge.rulebook.current().silences],
    }
    print(json.dumps({"steps": steps, "again": ready_again, "pages": pages, "facts": facts, "after": loaded()}))  # noqa: T201
    bridge.close()


def first_pages(app: Any) -> list[int]:
    """All at once, from threads that begin at the same moment."""
    together = threading.Barrier(2 * len(PAGES))

    def ask(page: tuple[str, Mapping[str, str]]) -> int:
        client = app.test_client()
        together.wait()
        return int(client.get(page[0], headers=page[1], base_url="https://localhost").status_code)

    with ThreadPoolExecutor(2 * len(PAGES)) as threads:
        return list(threads.map(ask, PAGES * 2))


main()
