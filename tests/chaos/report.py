"""The verdict of a run: a table for people, an object for machines."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tests.chaos.evidence import WANTS_INCIDENT, Evidence
from tests.chaos.settings import described
from tests.chaos.verdict import DOUBTFUL, FAILING, Verdict

Say = Callable[[str], None]
SHOWN = 3
"""Findings told with their evidence; the JSON holds all."""


@dataclass(frozen=True)
class Outcome:
    """One finished run."""

    store: str
    via: str
    seed: int
    seen: Evidence
    verdict: Verdict
    proofs: Sequence[str] = ()
    """Time line and calls of the first failures."""
    folder: str = ""
    """Where logs and stores are kept; empty when nothing is."""

    @property
    def passed(self) -> bool:
        """Whether nothing was found that must not be."""
        return not self.verdict.failures


def figures(run: Outcome) -> dict[str, Any]:
    """The run in numbers, in the order they are read in."""
    seen, counts = run.seen, run.verdict.counts
    human = len(seen.alerts) + len(seen.acts)
    undelivered = sum(seen.webhooks.get(name, 0) for name in ("failed", "queued", "held"))
    return {
        "store": run.store,
        "via": run.via,
        "seed": run.seed,
        "seconds": round(seen.seconds, 1),
        "alerts raised": len(seen.alerts),
        "webhooks accepted": seen.webhooks.get("sent", 0),
        "webhooks repeated": seen.webhooks.get("retried", 0),
        "webhooks undelivered": undelivered,
        "webhooks dropped": seen.webhooks.get("dropped", 0),
        "found by looking": seen.found,
        "acts of people": len(seen.acts),
        "kills": dict(sorted(Counter(kill.whom for kill in seen.kills).items())),
        "faults": seen.faults,
        **{kind: counts[kind] for kind in FAILING},
        "paged again": counts["paged_again"],
        "left a merge": counts["left_a_merge"],
        "contested": counts["contested"],
        "crossed": counts["crossed"],
        "webhook lost": counts["webhook_lost"],
        "overruled": counts["overruled"],
        "refused": counts["refused"],
        "write lost": counts["write_lost"],
        "dead letters": dict(sorted(Counter(reason for _, reason in seen.dead_letters).items())),
        "effects repeated": run.verdict.repeated,
        "calls per act": round(seen.calls / human, 2) if human else 0.0,
        "writes per act": round(len(seen.writes) / human, 2) if human else 0.0,
        "slowest incident": slowest_incident(seen),
        "seconds to quiet": seen.seconds_to_quiet,
        "left waiting": seen.left_waiting,
        "passed": run.passed,
    }


def slowest_incident(seen: Evidence) -> float | None:
    """The longest time from an alert to its incident, in seconds, whatever was down meanwhile."""
    made: dict[str, float] = {}
    for write in seen.writes:
        if write.creates and write.took:
            made.setdefault(write.subject, write.at)
    waits = [made[a.key] - a.raised_at for a in seen.alerts if a.severity in WANTS_INCIDENT and a.key in made]
    return round(max(waits), 2) if waits else None


def as_json(run: Outcome) -> dict[str, Any]:
    """Everything a machine may want to read."""
    findings = [asdict(finding) for finding in run.verdict.findings]
    kills = [asdict(kill) for kill in run.seen.kills]
    rest = {"settings": dict(run.seen.settings), "findings": findings, "kill_times": kills}
    return {**figures(run), **rest, "folder": run.folder or None}


def to_prove(verdict: Verdict) -> list[str]:
    """The alerts to be told with everything that is known of them: the first failures, and the first of what is no
    failure and yet not as people left it."""
    doubtful = [finding for kind in DOUBTFUL for finding in verdict.findings if finding.kind == kind]
    found = (verdict.failures, doubtful)
    about = [list(dict.fromkeys(one.alert_id for one in some if one.alert_id))[:SHOWN] for some in found]
    return list(dict.fromkeys(alert_id for some in about for alert_id in some))


def print_report(runs: Sequence[Outcome], say: Say) -> None:
    """One row a figure, one column a run; then what went wrong."""
    columns = [{name: _shown(value) for name, value in figures(run).items()} for run in runs]
    for name in columns[0]:
        say(f"{name:<22}" + "".join(f"{column[name]:>34}" for column in columns))
    for run in runs:
        if run.seen.settings:
            say(f"{run.store}: settings: {described(run.seen.settings)}")
        for finding in run.verdict.findings:
            say(f"{run.store}: {finding.kind} {finding.alert_id}: {finding.what}")
        for proof in run.proofs:
            say(proof)
        if run.folder:
            say(f"{run.store}: logs and stores are kept in {run.folder}")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        each = " ".join(f"{name} {n}" for name, n in value.items())
        return f"{sum(value.values())}: {each}" if value else "0"
    return "never" if value is None else str(value)
