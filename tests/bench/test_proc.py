"""What the kernel counts, on processes whose use is known."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench import proc
from bench.proc import Tree, process_of

pytestmark = pytest.mark.skipif(not proc.is_readable(), reason="there is no /proc on this system")

BUSY = """
import subprocess, sys, time
ends = time.process_time() + {seconds}
while time.process_time() < ends: pass
"""
PARENT = """
import subprocess, sys
subprocess.run([sys.executable, "-c", sys.argv[1]])
print("over", flush=True)
held = bytearray(64 * 1024 * 1024)
print("held", flush=True)
subprocess.run([sys.executable, "-c", "input()"])
"""


@contextmanager
def parent_of(seconds: float) -> Iterator["subprocess.Popen[str]"]:
    """A process with a child that was busy so long and has ended, and another that waits."""
    command = [sys.executable, "-c", PARENT, BUSY.format(seconds=seconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.communicate("\n")


def test_processor_time_of_a_child_stays_when_it_has_ended():
    with parent_of(0.4) as process:
        assert process.stdout is not None
        assert "over\n" == process.stdout.readline()
        spent = Tree(process.pid).processor_seconds()
    assert 0.4 <= sum(spent.values()) < 5


def test_memory_is_what_a_process_holds():
    with parent_of(0) as process:
        assert process.stdout is not None
        assert ["over\n", "held\n"] == [process.stdout.readline(), process.stdout.readline()]
        weights = Tree(process.pid).megabytes()
    assert 64 < weights["master"] < 200


def test_roles_are_told_apart():
    with parent_of(0) as process:
        assert process.stdout is not None
        assert ["over\n", "held\n"] == [process.stdout.readline(), process.stdout.readline()]
        tree, ends = Tree(process.pid), time.monotonic() + 10
        while not tree.pids("web") and time.monotonic() < ends:
            time.sleep(0.01)
        assert [process.pid] == tree.pids("master")
        assert 1 == len(tree.pids("web"))
        assert [] == tree.pids("worker")


def test_a_process_that_has_gone_counts_nothing():
    process = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    assert {} == Tree(int(process.stdout)).processor_seconds()


def test_who_answers_a_connection_is_found():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            assert os.getpid() == process_of(client, [1, os.getpid()])
            assert 0 == process_of(client, [])
