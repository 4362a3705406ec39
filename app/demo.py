"""Starts the bridge and simulated partners beside it, and sends a first alert through or simulates outages."""

import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from app.config.environment import PARENT_FD
from app.config.settings import Settings
from app.process.startup import listen_problem

SANDBOX_ENVIRONMENT = {
    "TRUTHVOUCH_API_KEY": "tv_test_sandbox",
    "TRUTHVOUCH_WEBHOOK_SECRETS": "whsec_sandbox_truthvouch",
    "PAGERDUTY_API_KEY": "sandbox-api-key",
    "PAGERDUTY_FROM_EMAIL": "oncall@example.com",
    "PAGERDUTY_INTEGRATION_KEY": "sandboxsandboxsandboxsandbox0000",
    "PAGERDUTY_SERVICE_ID": "PSANDBX",
    "PAGERDUTY_WEBHOOK_SECRETS": "sandbox-pagerduty-secret",
}
"""What the simulated partners accept. None of it opens anything anywhere else."""

RULES_FILE = "bridge.yaml"
RULES = "console:\n  evidence_links: true # each incident carries a link to a page about it that needs no login\n"
"""The simulation's own, where nobody gives it others."""

LOOPBACK = "127.0.0.1"
"""Where a simulation listens, unless BIND says otherwise: nobody else has business with it."""
STOP_SECONDS = 20.0
CONSOLE_LINK_LASTS = timedelta(hours=1)
SANDBOX_PORT = 9100
"""Where the simulated partners are, if it is free: a bookmark lives longer than a demonstration."""

Say = Callable[[str], None]


@dataclass(frozen=True)
class Play:
    """What is to be seen."""

    first_alert: bool = True
    """Send a first alert through and tell what happens."""
    chaos: bool = False
    """Simulate outages instead."""
    seconds: float | None = None
    """How long that lasts; None: until Ctrl-C."""
    seed: int | None = None


@dataclass
class Running:
    """The bridge and its simulated partners."""

    bridge: subprocess.Popen[bytes]
    bridge_url: str
    sandbox_url: str
    log_file: Path
    own_rules: bool
    """Whether somebody's own bridge.yaml is in force."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """The bridge's."""
    _killed: set[int] = field(default_factory=set)

    def kill_worker(self) -> bool:
        """kill -9 of the worker that the log names last; False where there is none at the moment."""
        lines = self.log_file.read_text("utf-8", "replace").splitlines()
        spawned = [line for line in lines if "worker.spawned" in line]
        pid = int(json.loads(spawned[-1])["worker_pid"]) if spawned else None
        if pid is None or pid in self._killed:
            return False
        self._killed.add(pid)
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True


def run(settings: Settings, root: Path, config: Path | None, play: Play, say: Say) -> int:
    """Run until stopped; the answer is an exit code."""
    problems = (listen_problem(host, settings.port) for host in settings.bind or (LOOPBACK,))
    if message := next(filter(None, problems), ""):
        say(message)
        return 1
    data_dir = settings.data_dir.resolve() / "sandbox"
    shutil.rmtree(data_dir, ignore_errors=True)
    bridge_url = _bridge_url(settings.bind, settings.port)
    # From the first child on: whatever runs already when it comes ends with us.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    partners, sandbox_url = _sandbox(root, bridge_url)
    # Our end of this pipe ends with us, however we end, and the bridge with it; the partners watch their parent.
    end_of_bridge, _ours = os.pipe()
    environment = _environment(sandbox_url, bridge_url, data_dir, config) | {PARENT_FD: str(end_of_bridge)}
    bridge = _start_bridge(root, environment | ({"LOG_FORMAT": "json"} if play.chaos else {}), data_dir, end_of_bridge)
    try:
        running = Running(bridge, bridge_url, sandbox_url, data_dir / "bridge.log", config is not None, environment)
        return _play(running, play, say)
    except KeyboardInterrupt:
        return 0
    finally:
        for process in (bridge, partners):
            _stop(process)


def _bridge_url(bind: tuple[str, ...], port: int) -> str:
    """Where this machine reaches a bridge that listens at these addresses."""
    host = LOOPBACK if not bind or {LOOPBACK, "0.0.0.0", "::"} & set(bind) else bind[0]  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _play(running: Running, play: Play, say: Say) -> int:
    from app.sandbox.scenarios import bridge_ready, run_first_alert

    if not bridge_ready(running.bridge_url):
        say(f"The bridge did not become ready; its last words are in {running.log_file}")
        return 1
    console_link = _introduce(running)
    if play.chaos:
        return _run_chaos(running, play, say)
    went_well = not play.first_alert or run_first_alert(running.sandbox_url, running.bridge_url, say)
    say("")
    say(f"The console     {console_link}   works once, within the hour: what was paged, and why")
    say(f"The bridge      {running.bridge_url}/readyz and {running.bridge_url}/metrics   log: {running.log_file}")
    say(f"The simulation  {running.sandbox_url}/   raise alerts, act on both sides, set faults there")
    say(f"Look behind it  {_cli(running)} timeline '#1'   or links list, rules list, dead-letters list, --help")
    say("Ctrl-C ends both. Nothing of the simulation is kept.")
    return running.bridge.wait() if went_well else 1


def _introduce(running: Running) -> str:
    """Let the simulation's page ask the bridge why an alert has an incident or none, by a token that may only look. The
    answer is a link that logs in to the console once; ``truthvouch console-link`` prints another one."""
    from app import logs
    from app.bootstrap.container import Container
    from app.ports.access import Role
    from app.sandbox.scenarios import ask

    logs.configure("console", "ERROR")
    with Container.existing(Settings.from_env(running.environment)) as made:
        token = made.tokens.add("sandbox-page", Role.READ_ONLY, False)
        link = made.sessions.make_link("demo", CONSOLE_LINK_LASTS)
    ask(f"{running.sandbox_url}/sandbox/bridge", {"url": running.bridge_url, "token": token})
    return f"{running.bridge_url}/console/link/{link}"


def _cli(running: Running) -> str:
    """How a shell in this folder calls the command line on this bridge, with the simulation's rules."""
    names = ("PORT", "BRIDGE_DATA_DIR", "BRIDGE_CONFIG")
    given = {name: running.environment[name] for name in names if name in running.environment}
    settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in given.items())
    forgotten = "env -u DATABASE_URL " if os.environ.get("DATABASE_URL") else ""
    return f"{forgotten}{settings} {_command()}"


def _command() -> str:
    """``truthvouch`` where a shell finds that, else as it was called: ``make run`` calls ``.venv/bin/truthvouch``."""
    called = Path(sys.argv[0])
    is_found = called.name != "truthvouch" or shutil.which("truthvouch")
    return "truthvouch" if is_found else shlex.quote(str(called))


def _run_chaos(running: Running, play: Play, say: Say) -> int:
    from app.sandbox.chaos_run import ChaosRun

    def write_over(line: str) -> None:
        sys.stdout.write(f"\r\033[K{line}")
        sys.stdout.flush()

    chaos_run = ChaosRun(
        running.sandbox_url, running.bridge_url, secrets.randbelow(10**6) if play.seed is None else play.seed,
        running.kill_worker, say, write_over if sys.stdout.isatty() else None, not running.own_rules,
    )  # fmt: skip
    chaos_run.play(play.seconds)
    return 0 if chaos_run.judge() else 1


def _environment(sandbox_url: str, bridge_url: str, data_dir: Path, config: Path | None) -> dict[str, str]:
    return {
        **_nobodys_environment(),
        "BIND": os.environ.get("BIND") or LOOPBACK,
        "PAGERDUTY_API_URL": sandbox_url,
        "PAGERDUTY_EVENTS_URL": sandbox_url,
        "TRUTHVOUCH_API_URL": f"{sandbox_url}/api/v1",
        "BRIDGE_PUBLIC_URL": bridge_url,
        "BRIDGE_DATA_DIR": str(data_dir),
        "BRIDGE_CONFIG": str(config.resolve() if config else data_dir / RULES_FILE),
    }


def _nobodys_environment() -> dict[str, str]:
    """This environment with the simulation's settings in place of a real bridge's: neither its store nor its partners
    are touched."""
    kept = ("PAGERDUTY_REST_PER_MINUTE", "PAGERDUTY_EVENTS_PER_MINUTE")
    ours = ("BRIDGE_", "TRUTHVOUCH_", "PAGERDUTY_", "DATABASE_URL")
    others = {name: value for name, value in os.environ.items() if name in kept or not name.startswith(ours)}
    return others | SANDBOX_ENVIRONMENT


def _sandbox(root: Path, bridge_url: str) -> tuple[subprocess.Popen[bytes], str]:
    """At the port that ``SANDBOX_PORT`` names; else at the usual one, or at any other if somebody has that."""
    if port := os.environ.get("SANDBOX_PORT", "").strip():
        return _start_sandbox(root, bridge_url, port)
    try:
        return _start_sandbox(root, bridge_url, "0" if listen_problem(LOOPBACK, SANDBOX_PORT) else str(SANDBOX_PORT))
    except RuntimeError:  # somebody was faster
        return _start_sandbox(root, bridge_url, "0")


def _start_sandbox(root: Path, bridge_url: str, port: str) -> tuple[subprocess.Popen[bytes], str]:
    command = [sys.executable, "-m", "app.sandbox", "--port", port, "--bridge-url", bridge_url]
    process = subprocess.Popen(  # noqa: S603
        command, cwd=root, stdout=subprocess.PIPE, start_new_session=True, env=_nobodys_environment()
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("the sandbox did not start")
    return process, str(json.loads(line)["sandbox"])


def _start_bridge(
    root: Path, environment: Mapping[str, str], data_dir: Path, end_of_bridge: int
) -> subprocess.Popen[bytes]:
    data_dir.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # the real bridge's, some day
    data_dir.mkdir(mode=0o700, exist_ok=True)
    if environment["BRIDGE_CONFIG"] == str(data_dir / RULES_FILE):
        (data_dir / RULES_FILE).write_text(RULES, "utf-8")
    command = [sys.executable, "-m", "gunicorn", "-c", "gunicorn.conf.py", "wsgi:app"]
    with (data_dir / "bridge.log").open("wb") as log:
        return subprocess.Popen(  # noqa: S603
            command, cwd=root, env=environment, stdout=log, stderr=log, start_new_session=True,
            pass_fds=(end_of_bridge,),
        )  # fmt: skip


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
