"""What a web process carries before somebody looks at a page: nothing that only pages need."""

import json
import os
import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from app.domain.rules.rulebook import Silence
from app.ports import utc_now
from app.ports.rules import StoredDraft
from app.store.database import Database, open_bridge, open_inbox
from app.store.stored_rules import RulesInStore
from tests.shapes import shape
from tests.system.processes import PYTHON
from tests.system.signing import PAGERDUTY_SECRET, TRUTHVOUCH_SECRET


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def found(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """On a store that adds a silence and a shadow draft to the rules."""
    url = request.getfixturevalue("migrated_postgres_url") if request.param == "postgresql" else None
    bridge, inbox = open_bridge(tmp_path, url), open_inbox(tmp_path, url)
    shape(bridge, inbox, tmp_path)
    rules, now = RulesInStore(), utc_now()
    with Database(bridge).begin() as tx:
        rules.put_silence(tx, Silence("release", "false", "dana", "drill", now + timedelta(hours=1)))
        rules.put_draft(tx, StoredDraft("calm", "severity_map: {high: none}\n", "dana", now))
        rules.put_shadow(tx, "calm")
    bridge.dispose()
    inbox.dispose()
    environment = {
        "PATH": os.environ["PATH"],
        "BRIDGE_DATA_DIR": str(tmp_path),
        "BRIDGE_CONFIG": str(tmp_path / "bridge.yaml"),
        "BRIDGE_ADMIN_TOKEN": "an admin token",
        "TRUTHVOUCH_WEBHOOK_SECRETS": TRUTHVOUCH_SECRET,
        "TRUTHVOUCH_API_KEY": "k1",
        "PAGERDUTY_WEBHOOK_SECRETS": PAGERDUTY_SECRET,
        "PAGERDUTY_API_KEY": "k2",
    } | ({"DATABASE_URL": url} if url else {})
    command = [str(PYTHON), "-m", "tests.architecture.first_page"]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def test_deliveries_and_health_load_neither_sqlalchemy_nor_pydantic_and_pages_work(found: Any) -> None:
    of_a_hook = {"new": 202, "the same": 202, "badly signed": 401, "too large": 413}
    expected = {f"{side}, {what}": code for side in ("truthvouch", "pagerduty") for what, code in of_a_hook.items()}
    expected |= {"healthz": 200, "readyz": 503, "metrics": 200}  # no worker runs here
    assert {step: [code, []] for step, code in expected.items()} == found["steps"]
    assert [503, []] == found["again"]
    assert [1, 1] == found["facts"]["refused"], "what is badly signed is written down, and read again"
    assert (["release"], "store:calm") == (found["facts"]["silences"], found["facts"]["shadow"])
    assert "+" in found["facts"]["rules"]
    assert {"truthvouch_bridge_store_up 1.0"} < set(found["facts"]["metrics"]), "the budgets are read too"
    pages = [200, 303, 200, 200, 200, 200, 200, 404]
    assert pages * 2 == found["pages"], "the first pages, asked for at once"
    assert "sqlalchemy" in found["after"]
