"""How many modules one alert passes on its way to PagerDuty and back: what somebody has to read to follow it."""

import json
import subprocess
import sys
from pathlib import Path

from tests.system.processes import PYTHON

MOST_MODULES = 47


def test_an_alert_passes_few_modules_on_its_way_to_pagerduty_and_back(tmp_path: Path) -> None:
    command = [str(PYTHON), "-m", "tests.architecture.path_of_an_alert", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    found = json.loads((tmp_path / "path.json").read_text("utf-8"))
    calls = found["calls"]
    answer = [f"{len(calls)} modules, {sum(calls.values())} calls", *(f"{calls[name]:5} {name}" for name in calls)]
    sys.stdout.write("\n".join(answer))
    assert {"web/outbound.py", "services/sync/intake.py", "services/sync/deliver.py"} <= set(calls)
    assert "domain/escalation/state.py" not in calls, "nothing is escalated here"
    assert len(calls) <= MOST_MODULES
    assert [] == [name for name in calls if name.startswith(("bootstrap/", "config/"))], (
        "wired once, then out of the way"
    )
    late = [name for name in found["loaded_late"] if not name.startswith("encodings.")]
    assert [] == late, "the first page after a start waits for these"
