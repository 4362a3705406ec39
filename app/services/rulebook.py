"""The rulebook in force: a changed file is picked up without a restart, a broken one is refused loudly."""

import threading
from collections.abc import Callable, Hashable
from time import monotonic

import structlog

from app.domain.rulebook import Rulebook

log = structlog.get_logger()

LOOK_EVERY_SECONDS = 1.0


class LiveRulebook:
    """Keeps the last good rulebook; looks at the file at most once a second, and reads it only when it changed."""

    def __init__(
        self,
        load: Callable[[], Rulebook],
        fingerprint: Callable[[], Hashable],
        faults: type[Exception],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """``load`` raises one of ``faults`` for a broken file; the first load's fault is the caller's to handle."""
        self._load, self._fingerprint, self._faults, self._clock = load, fingerprint, faults, clock
        self._lock = threading.Lock()
        self._seen = fingerprint()
        self._rulebook = load()
        self._looked = clock()
        self.fault = ""
        """Why the file on disk is not in force; empty when it is."""

    def current(self) -> Rulebook:
        """The rulebook in force."""
        if self._clock() - self._looked >= LOOK_EVERY_SECONDS:
            with self._lock:
                self._look()
        return self._rulebook

    def _look(self) -> None:
        self._looked = self._clock()
        seen = self._fingerprint()
        if seen == self._seen:
            return
        self._seen = seen
        if seen is None:
            self.fault = "the file is gone or empty"
            log.error("rulebook.refused", in_force=self._rulebook.version, faults=self.fault)
            return
        try:
            self._rulebook, self.fault = self._load(), ""
            log.info("rulebook.reloaded", version=self._rulebook.version)
        except self._faults as fault:
            self.fault = str(fault)
            log.error("rulebook.refused", in_force=self._rulebook.version, faults=str(fault))
