"""What a run is played on, from the first alert to the moment when nothing moves any more."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from tests.chaos.evidence import Evidence, alerts_in, failed_looks_in, incidents_in
from tests.chaos.load import Load
from tests.chaos.partners import Partners
from tests.chaos.plan import plan
from tests.chaos.recorder import Recorder
from tests.chaos.violence import Violence
from tests.chaos.world import ChaosWorld
from tests.system.bridge import assert_log_is_fit_to_keep

STILL_SECONDS = 3.0
STILL_WHERE_FORGOTTEN_SECONDS = 10.0
"""What TruthVouch did not keep is tried again only after some seconds; meanwhile nothing says that it is owed."""
LOOKS = 2
"""Reconciliations that must have ended since the last change: the second of them began after it, and saw it all."""
TICK_SECONDS = 0.02
LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class Stage:
    """The world, its people, its troubles, and who writes everything down."""

    world: ChaosWorld
    partners: Partners
    load: Load
    violence: Violence
    recorder: Recorder
    settings: Mapping[str, Any]

    def play(self, seed: int, seconds: float, least_kills: int) -> None:
        """Go through the plan; where there were too few kills by then, go on for up to as long again."""
        deeds: dict[str, Callable[..., None]] = {
            "alert": self.load.raise_alert,
            "fault": self.violence.fault,
            "hold": self.violence.hold,
            "drop": self.violence.drop,
            "kill": self.violence.kill,
        }
        # A plan is the beginning of every longer one of its seed.
        longest = 2 * seconds if least_kills else seconds
        moments, began = plan(seed, longest, self.world.store, self.world.via), time.monotonic()
        while (now := time.monotonic() - began) < seconds or self._go_on(now, seconds, least_kills):
            while moments and moments[0].at <= now:
                moment = moments.pop(0)
                deeds[moment.what](moment.facts)
            for each in (self.load.tick, self.violence.tick, self.world.keep_alive, self.recorder.tick):
                each()
            time.sleep(TICK_SECONDS)
        self.violence.end()

    def _go_on(self, now: float, seconds: float, least_kills: int) -> bool:
        return self.violence.killed < least_kills and now < 2 * seconds

    def become_quiet(self, seconds: float) -> float | None:
        """How long it took until nothing was under way, nothing more was written and reconciliation had looked in
        vain; None if it was not quiet yet."""
        began = still_since = time.monotonic()
        forgets = not self.settings.get("truthvouch_keeps_acknowledges", True)
        still, written, looked = STILL_WHERE_FORGOTTEN_SECONDS if forgets else STILL_SECONDS, -1, 0
        while (now := time.monotonic()) - began < seconds:
            self.world.keep_alive()
            self.recorder.tick(force=True)
            writes = len(self.recorder.writes())
            if writes != written or self._is_busy():
                still_since, written, looked = now, writes, self.world.looks.complete()
            elif now - still_since >= still and self.world.looks.complete() >= looked + LOOKS:
                return round(still_since - began, 2)
            time.sleep(LOOK_SECONDS)
        return None

    def _is_busy(self) -> bool:
        webhooks = self.partners.look("webhooks")
        return bool(webhooks["queued"] or webhooks["held"]) or self.world.waiting() != 0

    def evidence(self, quiet: float | None) -> Evidence:
        """Everything that was seen."""
        self.recorder.tick(force=True)
        self.recorder.read_webhooks()
        state = self.partners.look("state", limit=100_000)
        return Evidence(
            alerts=alerts_in(state, self.load.raised),
            incidents=incidents_in(state, self.load.keys),
            acts=self.load.acts,
            writes=self.recorder.writes(),
            sent=self.recorder.webhooks,
            failed_looks=failed_looks_in(self.recorder.calls),
            calls=len(self.recorder.calls),
            kills=self.violence.kills,
            faults=self.violence.faults,
            webhooks=state["webhooks"],
            found=self.world.looks.found(),
            seconds=time.monotonic() - self.violence.began,
            seconds_to_quiet=quiet,
            left_waiting=self.world.waiting(),
            log_faults=self._log_faults(),
            by_hand=frozenset(self.load.by_hand),
            settings=self.settings,
            dead_letters=[(row["alert_id"] or "", row["reason"]) for row in self.world.dead_letters()],
        )

    def _log_faults(self) -> list[str]:
        try:
            assert_log_is_fit_to_keep(self.world.bridge)
        except (AssertionError, ValueError) as fault:
            return [str(fault)[:300]]
        return []


def stage(world: ChaosWorld, say: Callable[[str], None], settings: Mapping[str, Any]) -> Stage:
    """Everything a run needs, around a running world."""
    partners = Partners(world.sandbox.url)
    return Stage(world, partners, Load(partners), Violence(world, partners, say), Recorder(partners), settings)
