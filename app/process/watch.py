"""Watches the bridge and pages about it: a thread of every worker process, and a short-lived child of gunicorn's master
while its worker does not report.

The thread begins before the worker has a store or a lease, and tells the master after each look what it remembers. So
the master hears at once when the worker hangs, and whoever watches next goes on where it stopped.
"""

import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from app.config.environment import WATCH_FD, WATCH_MEMORY

if TYPE_CHECKING:
    from app.config.settings import Settings

log = structlog.get_logger()

LOOK_SECONDS = 15.0
"""From the end of one look to the beginning of the next."""
CHILD_NICENESS = 10
"""The child yields to those that answer and deliver."""


def keep_watch(settings: "Settings", stop: threading.Event) -> None:
    """Watch in a thread of this process until told to stop; does nothing without a key to page with."""
    if settings.self_integration_key:
        threading.Thread(target=_watch, args=(settings, stop), name="self-watch", daemon=True).start()


def _watch(settings: "Settings", stop: threading.Event) -> None:
    from app.bootstrap.self_page import SelfWatch

    # A worker that starts over becomes a new process with the same environment: so its memory survives.
    before = os.environ.get(WATCH_MEMORY, "")
    watch = SelfWatch(settings, before, _report)
    # At a start the last sign of life is as old as the bridge was down: the worker gets the time to give a new one.
    pause = LOOK_SECONDS if before else 2 * LOOK_SECONDS
    while not stop.wait(pause):
        pause = LOOK_SECONDS
        try:
            watch.look()
        except Exception:
            log.exception("self_page.broke")


def _report(memory: str) -> None:
    """Tell the process that comes after this one, and the master, if there is one.

    A pipe that is full has a master that does not read: that is its affair.
    """
    os.environ[WATCH_MEMORY] = memory
    fd = os.environ.get(WATCH_FD, "")
    if fd.isdigit():
        with suppress(OSError):
            os.write(int(fd), memory.encode() + b"\n")


def main() -> None:
    """One look, by a child of the master. What it remembers is a line of its standard output, the last one counts."""
    from app import logs
    from app.bootstrap.self_page import SelfWatch
    from app.config.settings import Settings

    os.nice(CHILD_NICENESS)
    settings = Settings.from_env(os.environ)
    logs.configure(settings.log_format, settings.log_level)
    logs.conceal(logs.hidden_in(settings))

    def remember(memory: str) -> None:
        sys.stdout.write(memory + "\n")
        sys.stdout.flush()

    SelfWatch(settings, os.environ.get(WATCH_MEMORY, ""), remember).look()
    os._exit(0)  # a look that hangs is a thread that never ends


if __name__ == "__main__":
    main()
