"""Lets what DBOS has in hand end, as soon as it does.

DBOS would do the same, but it sleeps for a whole second before it first looks.
"""

import time

from dbos._dbos import _get_dbos_instance

LOOK_SECONDS = 0.05
CALM_LOOKS = 3
"""So often in a row nothing may be in hand: what a queue has claimed just now shows a moment later."""


def let_end(patience_seconds: float) -> None:
    """Let nothing more begin, and wait so long at most for what has begun."""
    running = _get_dbos_instance()
    for event in running.background_thread_stop_events:
        event.set()
    calm, deadline = 0, time.monotonic() + patience_seconds
    while calm < CALM_LOOKS and time.monotonic() < deadline:
        calm = 0 if running._active_workflows_set.activeList() else calm + 1
        time.sleep(LOOK_SECONDS)
