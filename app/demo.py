"""Starts the bridge and simulated partners beside it, and tells the first alert's story."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from app.settings import Settings

SANDBOX_ENVIRONMENT: Mapping[str, str] = {
    "TRUTHVOUCH_API_KEY": "tv_test_sandbox",
    "TRUTHVOUCH_WEBHOOK_SECRETS": "whsec_sandbox_truthvouch",
    "PAGERDUTY_API_KEY": "sandbox-api-key",
    "PAGERDUTY_FROM_EMAIL": "oncall@example.com",
    "PAGERDUTY_INTEGRATION_KEY": "sandboxsandboxsandboxsandbox0000",
    "PAGERDUTY_SERVICE_ID": "PSANDBX",
    "PAGERDUTY_WEBHOOK_SECRETS": "sandbox-pagerduty-secret",
}
"""What the simulated partners accept. None of it opens anything anywhere else."""

STOP_SECONDS = 20.0

Say = Callable[[str], None]


def run(settings: Settings, root: Path, config: Path | None, story: bool, say: Say) -> int:
    """Run until stopped; the answer is an exit code."""
    if _taken(settings.port):
        say(f"Port {settings.port} is in use: stop what listens there, or set PORT to another one.")
        return 1
    data_dir = settings.data_dir.resolve() / "sandbox"
    shutil.rmtree(data_dir, ignore_errors=True)
    bridge_url = f"http://127.0.0.1:{settings.port}"
    partners, sandbox_url = _start_sandbox(root, bridge_url)
    bridge = _start_bridge(root, _environment(sandbox_url, data_dir, config), data_dir)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        return _watch(bridge, sandbox_url, bridge_url, data_dir, story, say)
    except KeyboardInterrupt:
        return 0
    finally:
        _stop(bridge)
        _stop(partners)


def _watch(
    bridge: subprocess.Popen[bytes], sandbox_url: str, bridge_url: str, data_dir: Path, story: bool, say: Say
) -> int:
    from app.sandbox.story import bridge_ready, tell

    log_file = data_dir / "bridge.log"
    if not bridge_ready(bridge_url):
        say(f"The bridge did not become ready; its last words are in {log_file}")
        return 1
    told = tell(sandbox_url, bridge_url, say) if story else True
    say("")
    say(f"The bridge      {bridge_url}/readyz and {bridge_url}/metrics   log: {log_file}")
    say(f"The simulation  {sandbox_url}/   raise alerts, acknowledge and resolve incidents there")
    say("Ctrl-C ends both. Nothing of the simulation is kept.")
    if not told:
        return 1
    return bridge.wait()


def _environment(sandbox_url: str, data_dir: Path, config: Path | None) -> dict[str, str]:
    return {
        **_nobodys_environment(),
        **SANDBOX_ENVIRONMENT,
        "PAGERDUTY_API_URL": sandbox_url,
        "PAGERDUTY_EVENTS_URL": sandbox_url,
        "TRUTHVOUCH_API_URL": f"{sandbox_url}/api/v1",
        "BRIDGE_DATA_DIR": str(data_dir),
        "BRIDGE_CONFIG": str(config.resolve() if config else data_dir / "bridge.yaml"),
    }


def _nobodys_environment() -> dict[str, str]:
    """This environment without a real bridge's settings: a simulation touches neither its store nor its partners."""
    kept = ("PAGERDUTY_REST_PER_MINUTE", "PAGERDUTY_EVENTS_PER_MINUTE")
    ours = ("BRIDGE_", "TRUTHVOUCH_", "PAGERDUTY_", "DATABASE_URL")
    return {name: value for name, value in os.environ.items() if name in kept or not name.startswith(ours)}


def _start_sandbox(root: Path, bridge_url: str) -> tuple[subprocess.Popen[bytes], str]:
    command = [
        sys.executable,
        "-m",
        "app.sandbox",
        "--port",
        os.environ.get("SANDBOX_PORT", "0"),
        "--bridge-url",
        bridge_url,
    ]
    process = subprocess.Popen(  # noqa: S603
        command,
        cwd=root,
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**_nobodys_environment(), **SANDBOX_ENVIRONMENT},
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("the sandbox did not start")
    return process, str(json.loads(line)["sandbox"])


def _start_bridge(root: Path, environment: Mapping[str, str], data_dir: Path) -> subprocess.Popen[bytes]:
    data_dir.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
    with (data_dir / "bridge.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603
            command, cwd=root, env=dict(environment), stdout=log, stderr=log, start_new_session=True
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _taken(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104
        except OSError:
            return True
    return False
