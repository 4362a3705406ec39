"""A chaos run: alerts and people without end, partners that fail at random, and a worker that is killed.

Speaks HTTP to the sandbox and to the bridge's ``/readyz`` and nothing else; who kills the worker is handed in.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError

from app.sandbox.scenarios import Figures, ScenarioCheck, ask

Out = Callable[[str], None]
TICK_SECONDS = 0.05
FIGURES_SECONDS = 5.0
LIVE_SECONDS = 0.5
QUIET_SECONDS = 90.0
"""How long quiet may take to come: a partner that failed again and again is asked at growing distances."""
STILL_SECONDS = 3.0
FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}},
    {"kind": "slow", "seconds": 1.0},
    {"kind": "reset_before"},
    {"kind": "reset_after"},
    {"kind": "refuse"},
)
ALERT_ACTS = {
    "open": ("acknowledge", "resolve", "dismiss"),
    "acknowledged": ("resolve",),
    "resolved": ("reopen",),
    "dismissed": ("reopen",),
}
INCIDENT_ACTS = {"triggered": ("acknowledge", "resolve"), "acknowledged": ("unacknowledge", "resolve")}
REOPENED_OF_A_HUNDRED = 4
"""People seldom reopen what is closed."""


@dataclass
class ChaosRun:
    """Plays until it is stopped. ``strike`` kills the bridge's worker; the answer is whether there was one."""

    sandbox_url: str
    bridge_url: str
    seed: int
    strike: Callable[[], bool]
    out: Out
    over: Out | None = None
    """On a terminal: writes a line over the one before."""
    every_alert_pages: bool = True
    """False with rules of one's own: an alert without an incident may be as they want it."""
    kills: int = 0
    _due: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._rng = random.Random(self.seed)  # noqa: S311 - repeatable, not secret
        self._check = ScenarioCheck(self.sandbox_url, self.bridge_url)

    def play(self, seconds: float | None) -> None:
        """Make trouble for so long; None: until Ctrl-C."""
        self.out(f"Chaos run with seed {self.seed}: alerts, people, failing partners, and a worker killed every few"
                 " seconds." + ("" if seconds else " Ctrl-C ends the trouble and judges."))  # fmt: skip
        # Otherwise TruthVouch may refuse what people want, and both sides may rightly differ.
        self._order("/sandbox/settings", {"truthvouch_refuses_reopen": False})
        ends = None if seconds is None else time.monotonic() + seconds
        try:
            while ends is None or time.monotonic() < ends:
                self._tick()
                time.sleep(TICK_SECONDS)
        except KeyboardInterrupt:
            pass

    def judge(self) -> bool:
        """Take the trouble away, wait for quiet, and say in words whether all is well."""
        if self.over:
            self.out("")
        self.out("Faults off, nobody is killed any more: waiting until nothing moves.")
        self._heal()
        quiet_after = self._wait_for_quiet()
        figures = self._check.measure(self.kills, everything=True)
        self.out(figures.line())
        for line in verdict(figures, quiet_after, self.every_alert_pages):
            self.out(line)
        return is_well(figures, self.every_alert_pages)

    def _tick(self) -> None:
        seconds = LIVE_SECONDS if self.over else FIGURES_SECONDS
        deeds: dict[str, tuple[float, float, Callable[[], None]]] = {
            "alert": (0.2, 1.0, self._raise_alert),
            "person": (0.2, 0.8, self._act),
            "fault": (3.0, 8.0, self._fail),
            "heal": (1.0, 3.0, self._heal),
            "kill": (3.0, 7.0, self._kill),
            "figures": (seconds, seconds, self._print_figures),
        }
        for name, (least, most, do) in deeds.items():
            due = self._due.setdefault(name, time.monotonic() + self._rng.uniform(least, most))
            if time.monotonic() >= due:
                self._due[name] = time.monotonic() + self._rng.uniform(least, most)
                do()

    def _raise_alert(self) -> None:
        alert = {"severity": "critical", "type": "hallucination", "category": "Chaos run", "confidence": 0.05,
                 "message": "An answer made up for the chaos run",
                 "deliver": self._rng.choice((1, 1, 2))}  # fmt: skip
        self._order("/sandbox/truthvouch/alerts", alert)

    def _act(self) -> None:
        state = ask(f"{self.sandbox_url}/sandbox/state?limit=60")
        at_pagerduty = self._rng.random() < 0.5
        kind, acts = ("incidents", INCIDENT_ACTS) if at_pagerduty else ("alerts", ALERT_ACTS)
        subject = self._rng.choice(state[kind] or [None])
        actions = acts.get(subject["status"], ()) if subject else ()
        if not subject or not actions or ("reopen" in actions and self._rng.random() * 100 > REOPENED_OF_A_HUNDRED):
            return
        action, room = self._rng.choice(actions), "pagerduty/incidents" if at_pagerduty else "truthvouch/alerts"
        said = {} if at_pagerduty else {"reason": "fixed", "text": "Corrected"}
        self._order(f"/sandbox/{room}/{subject['id']}/{action}", said)
        self._check.forget(subject["id"])

    def _fail(self) -> None:
        partner = self._rng.choice(("pagerduty", "truthvouch", "any"))
        self._order("/sandbox/faults", {**self._rng.choice(FAULTS), "partner": partner})

    def _heal(self) -> None:
        ask(f"{self.sandbox_url}/sandbox/faults", method="DELETE")

    def _kill(self) -> None:
        self.kills += self.strike()

    def _order(self, path: str, body: dict[str, Any]) -> None:
        try:
            ask(f"{self.sandbox_url}{path}", body)
        except HTTPError as refused:
            if refused.code != 409:  # somebody, or the bridge, was first
                raise

    def _print_figures(self) -> None:
        (self.over or self.out)(self._check.measure(self.kills).line())

    def _wait_for_quiet(self) -> float | None:
        began = still_since = time.monotonic()
        calls = -1
        while (now := time.monotonic()) - began < QUIET_SECONDS:
            figures = self._check.measure(self.kills)
            if figures.writes != calls or figures.waiting != 0 or figures.undelivered:
                still_since, calls = now, figures.writes
            elif now - still_since >= STILL_SECONDS:
                return still_since - began
            time.sleep(LIVE_SECONDS)
        return None


def is_well(figures: Figures, every_alert_pages: bool) -> bool:
    """Whether nothing was lost or doubled, and both sides agree."""
    lost = figures.unpaged if every_alert_pages else 0
    return not lost and not figures.doubled and figures.agree == figures.paged


def verdict(figures: Figures, quiet_after: float | None, every_alert_pages: bool) -> list[str]:
    """What became of it all, in words."""
    quiet = "It was not quiet yet." if quiet_after is None else f"Quiet after {quiet_after:.0f} s."
    totals = f"{figures.raised} alerts were raised, {figures.paged} have an incident, {figures.kills} kills."
    lines = [f"{quiet} {totals}"]
    if figures.unpaged:
        why = "LOST, nobody was paged" if every_alert_pages else "as your rules may want it"
        lines.append(f"Open alerts without an incident: {figures.unpaged} ({why}).")
    if figures.doubled:
        lines.append(f"Alerts with more than one incident: {figures.doubled} (DOUBLED).")
    if figures.agree != figures.paged:
        lines.append(f"Alerts about which the two sides differ: {figures.paged - figures.agree} (APART).")
    if is_well(figures, every_alert_pages):
        lines.append("Nothing was lost, nothing was doubled, and both sides agree about every alert.")
    return lines
