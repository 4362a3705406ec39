"""What ``truthvouch reconcile`` may call while a worker is at work on the same store."""

from pathlib import Path
from typing import Any

import pytest

from app.bootstrap.container import Container
from app.bootstrap.partners import BudgetOf
from app.config.settings import Settings
from app.remote.replies import pace
from app.store.database import open_bridge, open_inbox
from app.store.migrate import migrate
from app.store.rate_limits import OwnBudget, SharedBudget


def budgets_of_the_command(data_dir: Path, url: str | None, monkeypatch: pytest.MonkeyPatch) -> BudgetOf:
    bridge, inbox = open_bridge(data_dir, url), open_inbox(data_dir, url)
    migrate(bridge, inbox, data_dir)
    given: list[BudgetOf] = []

    partners = Container.partners

    def listening(made: Container, budget_of: BudgetOf, reserve: float) -> Any:
        given.append(budget_of)
        return partners(made, budget_of, reserve)

    monkeypatch.setattr(Container, "partners", listening)
    environ = {"BRIDGE_DATA_DIR": str(data_dir), "PAGERDUTY_API_KEY": "k", "BRIDGE_CONFIG": str(data_dir / "none.yaml")}
    with Container(Settings.from_env(environ | ({"DATABASE_URL": url} if url else {}))) as made:
        assert made.reconcile is not None
        (budget_of,) = given
    bridge.dispose()
    inbox.dispose()
    return budget_of


@pytest.mark.parametrize(("per_minute", "share"), [(960, 240), (120, 30), (2, 1), (0, 0)])
def test_on_sqlite_it_takes_a_quarter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, per_minute: int, share: int
) -> None:
    budget = budgets_of_the_command(tmp_path, None, monkeypatch)("pagerduty-rest", per_minute)
    assert isinstance(budget, OwnBudget)
    assert pace(share) == budget.pace


@pytest.mark.postgres
def test_on_postgresql_it_shares_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, postgres_url: str
) -> None:
    budget = budgets_of_the_command(tmp_path, postgres_url, monkeypatch)("pagerduty-rest", 960)
    assert isinstance(budget, SharedBudget)
    assert (pace(960), "pagerduty-rest") == (budget.pace, budget.name)
