"""Troubles that overlap, and what is read of reconciliations."""

import json
from pathlib import Path
from typing import Any

from tests.chaos.looks import Looks
from tests.chaos.partners import Partners
from tests.chaos.plan import plan
from tests.chaos.violence import Violence

HOLD = {"lasts": 1.0, "flush": {"order": "same"}}
DROP = {"lasts": 1.0, "partner": "truthvouch"}


class Noting(Partners):
    """Remembers how each partner's webhooks are treated; does nothing."""

    def __init__(self) -> None:
        self.modes: dict[str, str] = {}
        self.flushed = 0

    def order(self, path: str, body: Any = None) -> dict[str, Any]:
        if path == "webhooks":
            self.modes[body["partner"]] = body["mode"]
        self.flushed += path == "webhooks/flush"
        return {}

    def heal(self, fault: int | None = None) -> None:
        """Nothing was broken."""


def violence() -> tuple[Violence, Noting]:
    partners = Noting()
    return Violence(None, partners, print), partners  # type: ignore[arg-type]


def test_the_end_of_one_trouble_does_not_end_another():
    troubles, partners = violence()
    troubles.hold(HOLD)
    assert {"pagerduty": "hold", "truthvouch": "hold"} == partners.modes
    troubles.drop(DROP)
    assert {"pagerduty": "hold", "truthvouch": "drop"} == partners.modes
    troubles._release({})
    assert ({"pagerduty": "send", "truthvouch": "drop"}, 1) == (partners.modes, partners.flushed)
    troubles._end_diversion("drop", ("truthvouch",))
    assert {"pagerduty": "send", "truthvouch": "send"} == partners.modes


def test_one_partners_webhooks_can_be_held_and_released_alone():
    troubles, partners = violence()
    troubles.hold(HOLD)
    troubles.hold({**HOLD, "partners": ("truthvouch",)})
    troubles._release({}, ("pagerduty", "truthvouch"))
    assert {"pagerduty": "send", "truthvouch": "hold"} == partners.modes
    troubles._release({}, ("truthvouch",))
    assert {"pagerduty": "send", "truthvouch": "send"} == partners.modes
    troubles.hold(HOLD)
    assert {"pagerduty": "hold", "truthvouch": "hold"} == partners.modes


def test_what_comes_late_is_of_one_partner_and_late_for_seconds():
    late = [m.facts for m in plan(7, 300, "sqlite", "rest") if "partners" in m.facts]
    assert {("pagerduty",), ("truthvouch",)} == {facts["partners"] for facts in late}
    assert all(facts["lasts"] >= 2.5 and (facts["flush"]["partner"],) == facts["partners"] for facts in late)


def test_at_the_end_every_webhook_flows_and_what_was_held_is_sent():
    troubles, partners = violence()
    for _ in range(2):
        troubles.hold(HOLD)
        troubles.drop(DROP)
    troubles.end()
    assert ({"pagerduty": "send", "truthvouch": "send"}, 2) == (partners.modes, partners.flushed)


def test_the_same_seed_plans_the_same_and_every_trouble():
    what = [moment.what for moment in plan(7, 60, "sqlite", "rest")]
    assert {"alert", "fault", "hold", "drop", "kill"} == set(what)
    assert plan(7, 60, "sqlite", "rest") == plan(7, 60, "sqlite", "rest")


def test_whole_reconciliations_are_counted_as_the_log_grows(tmp_path: Path):
    log = tmp_path / "bridge.log"
    looks = Looks(log)
    assert 0 == looks.complete()
    for complete, findings in ((True, 2), (False, 1)):
        line = json.dumps({"event": "reconciliation.done", "complete": complete, "findings": findings})
        with log.open("a") as file:
            file.write("no json\n" + line)
        before = looks.found()
        with log.open("a") as file:
            file.write("\n")
        assert findings == looks.found() - before
    assert 1 == looks.complete()
