"""Where the time goes: a flame graph of the worker and of a web process under load, by py-spy (MIT)."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.processes import BenchFault
from bench.rig import Rig, Setup

RATE = 50
"""Alerts a second."""
SECONDS = 20
SAMPLES_PER_SECOND = 200


def profiling(setup: Setup, folder: Path) -> list[Path]:
    """Watch both while alerts come at a steady rate, webhooks about their incidents included."""
    spy = _py_spy()
    folder.mkdir(parents=True, exist_ok=True)
    with setup.rig("profile") as rig:
        rig.sandbox.begin(echoes=True)
        rig.finish(len(rig.pace(rig.bridge, "profile-warm", RATE, 2.0).accepted))
        rig.sandbox.begin(echoes=True)
        watching = {role: _watch(spy, rig, role, folder / f"{role}.svg") for role in ("worker", "web")}
        load = rig.pace(rig.bridge, "profile", RATE, SECONDS)
        for role, watcher in watching.items():
            _, said = watcher.communicate(timeout=60)
            if watcher.returncode:
                raise BenchFault(f"py-spy did not see the {role}: {said.strip()}")
        rig.finish(len(load.accepted))
    return [folder / f"{role}.svg" for role in watching]


def _py_spy() -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    if found := shutil.which("py-spy", path=path):
        return found
    raise BenchFault("flame graphs are drawn by py-spy: install it with `pip install py-spy`")


def _watch(spy: str, rig: Rig, role: str, file: Path) -> "subprocess.Popen[str]":
    pid = rig.tree.pids(role)[0]
    command = [spy, "record", "--pid", str(pid), "--duration", str(SECONDS), "--rate", str(SAMPLES_PER_SECOND)]
    command += ["--format", "flamegraph", "--output", str(file)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
