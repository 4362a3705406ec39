"""Use case: prove to a service outside that the bridge works, by a call that stays away when it does not.

A process that lives proves little. So a beat goes out only where a partner has really answered since the last one: to
a delivery, or, where nothing was to be delivered, to a small read. A heartbeat service that is gone harms nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from app.domain.model.outcome import Done, Reply
from app.ports import PeriodicTask

log = structlog.get_logger()

BEAT_SECONDS = 60.0
FIRST_BEAT_SECONDS = 10.0
"""After the start, so that a restart is not a missed beat."""


@dataclass
class Heartbeat:
    """One beat a call, or none."""

    answers: Callable[[], int]
    """How many calls the partners have answered with success since this process began."""
    probe: Callable[[], object]
    """Asks a partner for something small, within the budget of its key; counted by ``answers``."""
    send: Callable[[], Reply[None]]
    _counted: int = 0

    def __call__(self) -> None:
        """Beat if a partner has answered since the last beat, or answers now. Raises whatever the probe does."""
        if self.answers() == self._counted:
            self.probe()
        counted = self.answers()
        if counted == self._counted:
            log.warning("heartbeat.withheld", because="no partner has answered since the last one")
            return
        self._counted = counted
        reply = self.send()
        if isinstance(reply, Done):
            log.debug("heartbeat.sent")
        else:
            log.warning("heartbeat.not_sent", reason=reply.reason)


def heartbeat_task(heartbeat: Heartbeat) -> PeriodicTask:
    """Of the leading worker: one beat a minute, however many workers there are."""
    return PeriodicTask("heartbeat", BEAT_SECONDS, heartbeat, FIRST_BEAT_SECONDS)
