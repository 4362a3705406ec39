"""Everything that will happen in a run, drawn from one seed before it begins."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

Drawn = TypeVar("Drawn")

Step = tuple[str, str]
"""(the side a person acts on, what they do there). ``survivor`` is PagerDuty, too: the incident that the alert's own
was merged into."""

SHORT_RUN_SECONDS = 120.0
ALERTS_PER_SECOND = 4.0
SEVERITIES = {"critical": 45, "high": 25, "medium": 20, "low": 10}
SCRIPTS: dict[tuple[Step, ...], int] = {
    (): 8,
    (("pagerduty", "acknowledge"), ("pagerduty", "resolve")): 16,
    (("pagerduty", "acknowledge"), ("pagerduty", "note"), ("pagerduty", "resolve")): 8,
    (("truthvouch", "acknowledge"), ("truthvouch", "resolve")): 14,
    (("truthvouch", "investigate"), ("pagerduty", "resolve")): 8,
    (("truthvouch", "dismiss"),): 8,
    (("pagerduty", "acknowledge"), ("pagerduty", "unacknowledge"), ("pagerduty", "acknowledge")): 8,
    (("pagerduty", "acknowledge"), ("pagerduty", "unacknowledge"), ("truthvouch", "resolve")): 6,
    (("truthvouch", "resolve"), ("truthvouch", "reopen"), ("pagerduty", "resolve")): 8,
    (("pagerduty", "resolve"), ("pagerduty", "reopen"), ("truthvouch", "resolve")): 5,
    (("truthvouch", "acknowledge"), ("pagerduty", "resolve"), ("truthvouch", "reopen")): 5,
    (("pagerduty", "merge"), ("truthvouch", "resolve")): 3,
    (("pagerduty", "merge"), ("survivor", "acknowledge"), ("survivor", "resolve")): 2,
    (("pagerduty", "merge"), ("survivor", "merge"), ("truthvouch", "resolve")): 3,
    (("pagerduty", "acknowledge"), ("pagerduty", "merge_back"), ("truthvouch", "resolve")): 2,
    (("truthvouch", "acknowledge"), ("pagerduty", "merge_back"), ("survivor", "resolve"), ("truthvouch", "reopen")): 2,
    (("pagerduty", "merge_by_hand"), ("survivor", "acknowledge"), ("truthvouch", "resolve")): 1,
    (("pagerduty", "merge_by_hand"), ("survivor", "resolve"), ("truthvouch", "reopen")): 1,
}
"""What becomes of an alert, and how often of a hundred or so. ``merge``: into the newest incident; ``merge_back``: into
an older one, of which people have had time to make something; ``merge_by_hand``: into one they open for it."""

FAULTS: tuple[tuple[dict[str, Any], int], ...] = (
    ({"kind": "status", "status": 503}, 4),
    ({"kind": "status", "status": 429, "headers": {"Retry-After": "1"}}, 3),
    ({"kind": "slow", "seconds": 0.8}, 3),
    ({"kind": "reset_before"}, 3),
    ({"kind": "reset_after"}, 5),
    ({"kind": "refuse"}, 2),
)
KILLS = {
    "sqlite": {"worker": 46, "web": 47, "master": 7},
    "postgres": {"leader": 20, "worker": 26, "web": 38, "master": 5, "stop": 11},
}
"""Who is struck, and how often of a hundred. ``stop``: SIGSTOP, and SIGCONT a while later."""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One thing that will happen, ``at`` seconds after the beginning."""

    at: float
    what: str
    """``alert``, ``fault``, ``hold``, ``drop`` or ``kill``."""
    facts: dict[str, Any]


def plan(seed: int, seconds: float, store: str, via: str) -> list[HistoryEntry]:
    """All of it in order of time. The same four values always give the same plan."""
    shared = (stream(seed, seconds) for stream in (_faults, _holds, _delays, _drops))
    streams = (*shared, _alerts(seed, seconds, via), _kills(seed, seconds, store))
    return sorted((moment for stream in streams for moment in stream), key=lambda moment: moment.at)


def _instants(rng: random.Random, seconds: float, least: float, most: float) -> Iterator[float]:
    at = rng.uniform(0, most)
    while at < seconds:
        yield at
        at += rng.uniform(least, most)


def _alerts(seed: int, seconds: float, via: str) -> Iterator[HistoryEntry]:
    """By event an incident shows no key: one that was merged into a person's own before anybody looked for it is not
    found any more, by nobody. So it is merged into another alert's there."""
    rng = random.Random(f"{seed} alerts")
    for number, at in enumerate(_instants(rng, seconds, 0.0, 2 / ALERTS_PER_SECOND)):
        steps = _drawn(rng, SCRIPTS)
        yield HistoryEntry(
            at,
            "alert",
            {
                "alert_id": f"chaos-{seed}-{number:05d}",
                "severity": _drawn(rng, SEVERITIES),
                "deliver": rng.choice((1, 1, 1, 2, 3)),
                "steps": [(side, _possible(action, via), rng.uniform(0.0, 2.5)) for side, action in steps],
            },
        )


def _possible(action: str, via: str) -> str:
    return "merge" if action == "merge_by_hand" and via == "events" else action


def _faults(seed: int, seconds: float) -> Iterator[HistoryEntry]:
    rng = random.Random(f"{seed} faults")
    for at in _instants(rng, seconds, 1.0, 5.0):
        kind = FAULTS[_drawn(rng, {number: weight for number, (_, weight) in enumerate(FAULTS)})][0]
        order = {**kind, "partner": rng.choice(("pagerduty", "truthvouch", "any"))}
        yield HistoryEntry(at, "fault", {"order": order, "lasts": rng.uniform(0.3, 2.0)})


def _holds(seed: int, seconds: float) -> Iterator[HistoryEntry]:
    rng = random.Random(f"{seed} holds")
    for at in _instants(rng, seconds, 3.0, 9.0):
        flush = {"order": rng.choice(("same", "reverse", "shuffled")), "seed": rng.randrange(1000)}
        yield HistoryEntry(
            at, "hold", {"lasts": rng.uniform(0.3, 1.5), "flush": {**flush, "copies": rng.choice((1, 2, 3))}}
        )


def _delays(seed: int, seconds: float) -> Iterator[HistoryEntry]:
    """One partner's webhooks come so late that reconciliation has found out meanwhile, and people have gone on."""
    rng = random.Random(f"{seed} delays")
    for at in _instants(rng, seconds, 8.0, 20.0):
        partner = rng.choice(("pagerduty", "truthvouch"))
        flush = {"order": "same", "copies": 1, "partner": partner}
        yield HistoryEntry(at, "hold", {"lasts": rng.uniform(2.5, 6.0), "flush": flush, "partners": (partner,)})


def _drops(seed: int, seconds: float) -> Iterator[HistoryEntry]:
    rng = random.Random(f"{seed} drops")
    for at in _instants(rng, seconds, 2.0, 6.0):
        yield HistoryEntry(
            at, "drop", {"lasts": rng.uniform(0.3, 1.0), "partner": rng.choice(("pagerduty", "truthvouch"))}
        )


def _kills(seed: int, seconds: float, store: str) -> Iterator[HistoryEntry]:
    rng = random.Random(f"{seed} kills {store}")
    # A long run leaves the bridge the time to work between two blows; a short one has to show enough of them.
    least, most = (0.2, 1.6) if seconds <= SHORT_RUN_SECONDS else (1.0, 6.0)
    for at in _instants(rng, seconds, least, most):
        yield HistoryEntry(
            at, "kill", {"whom": _drawn(rng, KILLS[store]), "luck": rng.random(), "lasts": rng.uniform(1, 3)}
        )


def _drawn(rng: random.Random, weights: dict[Drawn, int]) -> Drawn:
    return rng.choices(list(weights), list(weights.values()))[0]
