"""What the two partners are like in a run: settings of the sandbox, drawn from the seed before it begins."""

import json
import random
from collections.abc import Mapping
from typing import Any

Settings = dict[str, Any]
"""As ``POST /sandbox/settings`` takes them."""

MOST_OFF_SECONDS = 300.0
"""So far a partner's clock may be off, either way: two of them are up to ten minutes apart."""
MOST_DRIFT_SECONDS_PER_HOUR = 120.0
RETRIES: tuple[list[float], ...] = ([0.1], [0.2, 0.5, 1, 2, 5, 10], [0.5, 1, 3], [2, 4])
"""Seconds before a failed webhook is sent again; the last one repeats."""
PARTNERS = ("pagerduty", "truthvouch")
DEFAULTS: Settings = {
    "clocks": {partner: {"offset_seconds": 0.0, "drift_seconds_per_hour": 0.0} for partner in PARTNERS},
    "webhook_retry_seconds": dict.fromkeys(PARTNERS, RETRIES[1]),
    "truthvouch_list_order": "newest_first",
    "truthvouch_reports_api_changes": True,
    "truthvouch_keeps_acknowledges": True,
    "truthvouch_refuses_reopen": False,
    "pagerduty_alerts_reopen_with_incident": True,
}
"""Every setting that a run draws, at its kindest."""
SHARES = {
    "truthvouch_reports_api_changes": 0.6,
    "truthvouch_keeps_acknowledges": 0.85,
    "truthvouch_refuses_reopen": 0.2,
    "pagerduty_alerts_reopen_with_incident": 0.5,
}
"""How often each is true. Where TruthVouch refuses or forgets something, the two sides may differ in the end."""


def drawn(seed: int, fixed: Mapping[str, Any] | None = None) -> Settings:
    """The settings of a run; ``fixed`` ones take the place of what the seed says."""
    rng = random.Random(f"{seed} settings")
    clocks = {
        partner: {
            "offset_seconds": round(_off(rng, MOST_OFF_SECONDS), 1),
            "drift_seconds_per_hour": round(rng.uniform(-1, 1) * MOST_DRIFT_SECONDS_PER_HOUR),
        }
        for partner in PARTNERS
    }
    retries = {partner: rng.choice(RETRIES) for partner in PARTNERS}
    order = rng.choice(("newest_first", "oldest_first"))
    switches = {name: rng.random() < share for name, share in SHARES.items()}
    chosen = {"clocks": clocks, "webhook_retry_seconds": retries, "truthvouch_list_order": order, **switches}
    return {**chosen, **(fixed or {})}


def _off(rng: random.Random, most: float) -> float:
    """Every third clock as far off as may be."""
    far = rng.random() < 1 / 3
    off = rng.uniform(-most, most)
    return (most if off > 0 else -most) if far else off


def parsed(given: str) -> tuple[str, Any]:
    """``NAME=JSON`` of the command line. Raises ``ValueError`` on anything else."""
    name, equals, value = given.partition("=")
    if not equals or name not in DEFAULTS:
        raise ValueError(f"must be NAME=JSON; names: {', '.join(DEFAULTS)}")
    return name, json.loads(value)


def described(settings: Mapping[str, Any]) -> str:
    """In one line."""
    clocks = ", ".join(
        f"{partner} {clock['offset_seconds']:+g} s ({clock['drift_seconds_per_hour']:+g} s/h)"
        for partner, clock in settings["clocks"].items()
    )
    rest = [f"{name} {json.dumps(value)}" for name, value in settings.items() if name != "clocks"]
    return "; ".join([f"clocks {clocks}", *rest])
