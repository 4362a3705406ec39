"""Starting a program as a user would, and finding everything it started, whatever became of its parents."""

import os
import signal
import socket
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from tests.system.waiting import until

ROOT = Path(__file__).parents[2]
PYTHON = Path(os.environ.get("BRIDGETEST_PYTHON", sys.executable))
"""The interpreter the bridge runs on: another one than ours where CI proves a newer Python."""

TAG = "TREE_TAG"
"""Every process of a tree inherits this variable: it finds orphans that no parent or group would."""


def free_port() -> int:
    """A TCP port of loopback nobody listens on. Ports below the ephemeral range are not handed out to others."""
    for _ in range(200):
        port = 10_000 + int.from_bytes(os.urandom(2), "big") % 20_000
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port")


class Tree:
    """One started program with everything it starts. Output goes to ``log``, standard input is closed."""

    def __init__(self, command: Sequence[object], environment: Mapping[str, str], log: Path) -> None:
        self.log = log
        self.tag = uuid.uuid4().hex
        tagged = {"PATH": f"{PYTHON.parent}:/usr/bin:/bin", "HOME": str(log.parent), **environment, TAG: self.tag}
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                cwd=ROOT,
                env=tagged,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Of the program itself, the tree's root."""
        return self.process.pid

    def output(self) -> str:
        """Everything the tree has written so far."""
        return self.log.read_text("utf-8", "replace")

    def members(self) -> dict[int, str]:
        """Live processes of the tree: pid -> command line."""
        self.process.poll()
        needle = f"{TAG}={self.tag}"
        return _tagged_in_proc(needle) if Path("/proc/self/environ").exists() else _tagged_in_ps(needle)

    def terminate(self, seconds: float = 25.0) -> int:
        """SIGTERM to the root alone; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def destroy(self) -> None:
        """End whatever is left, the hard way."""
        while members := self.members():
            for pid in members:
                kill(pid)
            until(partial(self._are_gone, frozenset(members)), "killed processes are gone")
        self.process.wait(5)

    def _are_gone(self, pids: frozenset[int]) -> bool:
        return not pids & set(self.members())


def kill(pid: int, number: int = signal.SIGKILL) -> None:
    """Send a signal to a process that may be gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def _tagged_in_proc(needle: str) -> dict[int, str]:
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            # A zombie has no environment any more: it is gone for our purposes.
            if needle.encode() in (folder / "environ").read_bytes().split(b"\0"):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                found[int(folder.name)] = command.strip()
        except OSError:
            continue
    return found


def _tagged_in_ps(needle: str) -> dict[int, str]:
    """macOS shows a process's environment behind its command line."""
    listing = subprocess.run(["ps", "-axwwE", "-o", "pid=,command="], capture_output=True, text=True, check=True)
    lines = [line.strip().partition(" ") for line in listing.stdout.splitlines() if needle in line]
    return {int(pid): command for pid, _, command in lines}
