"""The child process that runs one job: started by the worker, nice to everybody, bounded, and gone when the worker is.

It is a process and no thread, so that a backtest over a year takes no interpreter time, no memory and no write mutex
from deliveries, and can be ended whatever it does.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from app import metrics
from app.config.environment import PARENT_FD

if TYPE_CHECKING:
    from app.ports.jobs import Job

NICENESS = 10
"""Added to the worker's: whoever accepts or delivers gets the processor first."""
MEMORY_BYTES = 1024 * 1024 * 1024
"""Of address space, where the system can bound it: eleven times what a backtest over twenty thousand alerts takes."""


@dataclass(frozen=True)
class JobProcess:
    """Implements ``services.jobs.run.Child``."""

    process: "subprocess.Popen[bytes]"

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        return self.process.poll()

    def kill(self) -> None:
        """End it at once, and wait until it is gone."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        metrics.mark_process_dead(self.process.pid)
        if self.process.stdin is not None:
            with suppress(OSError):
                self.process.stdin.close()


def start(job: "Job", run_id: str) -> JobProcess:
    """Start the process. It reads from a pipe that ends with this process, and then ends itself."""
    command = [sys.executable, "-m", "app.cli", "jobs", "run", str(job.job_id), run_id]
    environ = {name: value for name, value in os.environ.items() if name != PARENT_FD}
    # A session of its own: Ctrl-C on a terminal is for the worker, with which it ends.
    process = subprocess.Popen(  # noqa: S603
        command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, start_new_session=True
    )
    return JobProcess(process)


def be_modest() -> None:
    """In the child, first of all: lower priority, bounded memory."""
    os.nice(NICENESS)
    import resource

    with suppress(OSError, ValueError):  # a system that cannot bound it, or bounds it lower
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, resource.getrlimit(resource.RLIMIT_AS)[1]))


def end_with_parent(give_back: Callable[[], None]) -> None:
    """In the child: once the worker is gone, give the job back and end."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        give_back()
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
