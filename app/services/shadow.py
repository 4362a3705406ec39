"""A draft beside the rulebook in force: it is asked about every alert that is created, and decides nothing.

Whatever is wrong with the draft is said, and never touches live routing: then there is simply nothing to compare with.
"""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic
from typing import Any

import structlog

from app.domain.alert import Alert
from app.domain.backtest import difference
from app.domain.rulebook import Decision, Rulebook
from app.domain.rules import decide
from app.domain.silences import SILENCED
from app.ports import RulebookSource
from app.services.rulebook import LOOK_EVERY_SECONDS

log = structlog.get_logger()

DIFFERS = "rules.shadow_differs"
"""The time line's word for an alert about which the draft says something else."""

MISSING = "the file is missing or empty"


@dataclass
class Shadow:
    """The draft that the rulebook in force names (``shadow:``), hot-reloaded with it."""

    live: RulebookSource
    load: Callable[[str], Rulebook]
    """Reads the draft of this name; may raise anything."""
    fingerprint: Callable[[str], Hashable]
    """Changes when the draft changes; None when it is not there."""
    count: Callable[[str], None] = lambda _kind: None
    """Told of every comparison: ``same``, ``gained``, ``lost``, ``moved``."""
    clock: Callable[[], float] = monotonic

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: Hashable = ()
        self._draft: Rulebook | None = None
        self._fault = ""
        self._looked = float("-inf")

    @property
    def fault(self) -> str:
        """Why the draft is not asked; empty when it is, and when there is to be none."""
        self.current()
        return self._fault

    def current(self) -> Rulebook | None:
        """The draft; None when none is wanted or it cannot be read."""
        if self.clock() - self._looked >= LOOK_EVERY_SECONDS:
            with self._lock:
                self._look()
        return self._draft

    def _look(self) -> None:
        self._looked = self.clock()
        live = self.live.current()
        name = live.shadow
        # what the draft leaves out is the live rulebook's, so another one of that is another draft
        seen = (name, self.fingerprint(name), live.version) if name else None
        if seen == self._seen:
            return
        self._seen, self._draft, self._fault = seen, None, ""
        if name is None or seen is None:
            return
        try:
            if seen[1] is None:
                raise FileNotFoundError(MISSING)
            self._draft = replace(self.load(name), silences=())
            log.info("shadow.loaded", version=self._draft.version)
        except Exception as fault:  # whatever it is, the live rulebook goes on
            self._fault = str(fault)
            log.error("shadow.refused", faults=self._fault)

    def differs(self, live: Decision, alert: Alert, now: datetime) -> dict[str, Any] | None:
        """What the draft says otherwise about an alert, as facts for its time line; None when nothing.

        Silences are no part of the comparison: an alert that is silenced is not asked about.
        """
        try:
            draft = self.current()
            if draft is None or live.reason == SILENCED:
                return None
            said = decide(draft, alert, now)
            kind, moved = difference(live, said)
            self.count(kind)
        except Exception as fault:
            log.error("shadow.broke", reason=type(fault).__name__)
            return None
        if kind == "same":
            return None
        return {"change": kind, "moved": list(moved), "live": _told(live), "draft": _told(said)}


def _told(decision: Decision) -> dict[str, Any]:
    return {
        "urgency": decision.urgency.value if decision.urgency else "none",
        "rule": decision.rule,
        "reason": decision.reason,
        "service": decision.service_id,
        "policy": decision.escalation_policy_id,
        "title": decision.title,
        "rulebook": decision.version,
    }
