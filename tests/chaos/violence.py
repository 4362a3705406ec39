"""What a run does to the bridge: kills and freezes processes, lets partners fail, holds, mixes and loses webhooks."""

import heapq
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from tests.chaos.evidence import Kill
from tests.chaos.partners import Partners
from tests.chaos.world import ChaosWorld
from tests.system.processes import kill

Say = Callable[[str], None]
SECOND_BEST = {"master": "web", "leader": "worker", "stop": "worker", "worker": "web", "web": "worker"}
"""Who is struck when there is nobody of that kind at the moment."""

PARTNERS = ("pagerduty", "truthvouch")
BREATH_SECONDS = 0.4
"""Between two blows at least, also between those that had to wait for somebody to strike."""


@dataclass
class Violence:
    """Does what the plan orders and takes it back when its time is up."""

    world: ChaosWorld
    partners: Partners
    say: Say
    began: float = field(default_factory=time.monotonic)
    kills: list[Kill] = field(default_factory=list)
    faults: int = 0
    _later: list[tuple[float, int, Callable[[], None]]] = field(default_factory=list)
    _diverted: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(mode, partner): how many troubles of that kind last."""
    _ended: bool = False
    _waits: bool = False
    _struck_at: float = 0.0
    _serial: "count[int]" = field(default_factory=count)

    def fault(self, facts: dict[str, Any]) -> None:
        """Let a partner misbehave for a while."""
        ordered = self.partners.order("faults", facts["order"])
        assert ordered is not None
        self.faults += 1
        self._after(facts["lasts"], lambda: self.partners.heal(ordered["fault"]["id"]))

    def hold(self, facts: dict[str, Any]) -> None:
        """Keep webhooks back for a while and send them in another order, some of them again."""
        partners = facts.get("partners", PARTNERS)
        self._divert("hold", partners)
        self._after(facts["lasts"], lambda: self._release(facts["flush"], partners))

    def _release(self, flush: dict[str, Any], partners: Sequence[str] = PARTNERS) -> None:
        self._end_diversion("hold", partners)
        self.partners.order("webhooks/flush", flush)

    def drop(self, facts: dict[str, Any]) -> None:
        """Lose one partner's webhooks for a while, and for good."""
        self._divert("drop", (facts["partner"],))
        self._after(facts["lasts"], lambda: self._end_diversion("drop", (facts["partner"],)))

    def _divert(self, mode: str, partners: Sequence[str]) -> None:
        self._diverted.update((mode, partner) for partner in partners)
        self._order_modes(partners)

    def _end_diversion(self, mode: str, partners: Sequence[str]) -> None:
        self._diverted.subtract((mode, partner) for partner in partners)
        self._order_modes(partners)

    def _order_modes(self, partners: Sequence[str]) -> None:
        """Two troubles may overlap: the end of one does not end the other, and losing goes before keeping."""
        for partner in partners:
            mode = next((mode for mode in ("drop", "hold") if self._diverted[mode, partner] > 0), "send")
            self.partners.order("webhooks", {"mode": mode, "partner": partner})

    def kill(self, facts: dict[str, Any]) -> None:
        """Kill or freeze one process; the next best where there is none of the kind, as soon as there is one."""
        if self._ended:
            return
        whom, since = facts["whom"], time.monotonic() - self._struck_at
        if since < BREATH_SECONDS:
            self._kill_later(BREATH_SECONDS - since, facts)
        elif self._strike(whom, facts) is None and self._strike(SECOND_BEST[whom], facts) is None:
            self._kill_later(BREATH_SECONDS, facts)

    def _kill_later(self, seconds: float, facts: dict[str, Any]) -> None:
        """One at a time: while nothing lives, a crowd of killers would leave nobody the time to start it again."""
        if not self._waits:
            self._waits = True
            self._after(seconds, lambda: self._kill_now(facts))

    def _kill_now(self, facts: dict[str, Any]) -> None:
        self._waits = False
        self.kill(facts)

    def _strike(self, whom: str, facts: dict[str, Any]) -> int | None:
        number = signal.SIGSTOP if whom == "stop" else signal.SIGKILL
        pid = self.world.strike(whom, facts["luck"], number)
        if pid is not None:
            if whom == "stop":
                self._after(facts["lasts"], lambda: kill(pid, signal.SIGCONT))
            self._struck_at = time.monotonic()
            self.kills.append(Kill(self._struck_at - self.began, whom))
            self.say(f"{self.kills[-1].at:7.2f} s  {'SIGSTOP' if whom == 'stop' else 'kill -9'} {whom} (pid {pid})")
        return pid

    @property
    def killed(self) -> int:
        """How many processes were killed; freezing is no killing."""
        return sum(kill.whom != "stop" for kill in self.kills)

    def tick(self) -> None:
        """Take back what has lasted long enough."""
        now = time.monotonic()
        while self._later and self._later[0][0] <= now:
            heapq.heappop(self._later)[2]()

    def end(self) -> None:
        """Take everything back now: no fault, no frozen process, webhooks flow."""
        self._ended = True
        while self._later:
            heapq.heappop(self._later)[2]()
        self.partners.heal()

    def _after(self, seconds: float, undo: Callable[[], None]) -> None:
        heapq.heappush(self._later, (time.monotonic() + seconds, next(self._serial), undo))
