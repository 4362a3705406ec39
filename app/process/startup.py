"""Before anything starts: every fault of environment and ``bridge.yaml`` in one message, then the stores.

Gunicorn's master runs ``python -m app.process.startup`` as a process of its own, so that what it takes to read a
rulebook and to migrate a database stays out of the master's memory.

Besides, what keeps glibc from giving every thread a heap of its own.
"""

import ctypes
import errno
import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from signal import SIGINT, SIGTERM, signal
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from app.config.settings import Settings
    from app.domain.rules.rulebook import Rulebook


WRONG_USE = 2


class Refused(Exception):
    """The bridge must not start; the text says why, for a person, in one or several lines."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


def faults(environ: Mapping[str, str]) -> str:
    """Everything malformed in the environment and in the file it names; empty when nothing is."""
    from app.config import bridge_yaml
    from app.config.settings import Settings
    from app.errors import ConfigFault

    found = []
    path = Path(environ.get("BRIDGE_CONFIG", "").strip() or "bridge.yaml")
    for read in (lambda: Settings.from_env(environ), lambda: bridge_yaml.load(path)):
        try:
            read()
        except ConfigFault as fault:
            found.append(str(fault))
    return "\n".join(found)


def check_listening(tls: bool, addresses: Sequence[object]) -> None:
    """Raises ``Refused`` where gunicorn could not listen, or should not: it would say so ten times in five seconds.

    ``addresses`` are gunicorn's; what is no pair of host and port (a path, a descriptor) is left to it.
    """
    if tls:
        raise Refused("TLS ends at a proxy in front of the bridge: take certfile and keyfile out of gunicorn's.", 1)
    for address in addresses:
        if isinstance(address, tuple) and (message := listen_problem(*address[:2])):
            raise Refused(message, 1)


def listen_problem(host: str, port: int) -> str:
    """Why nobody can listen at this IP address and port now, and what to do; empty where it can be done."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as fault:
            problem = _LISTEN_PROBLEMS.get(fault.errno or 0, "{host}, port {port}: {fault}. Set BIND or PORT.")
            return problem.format(host=host, port=port, fault=fault.strerror)
    return ""


_LISTEN_PROBLEMS: Mapping[int, str] = {
    errno.EADDRINUSE: "Port {port} is in use: stop what listens there, or set PORT to another one.",
    errno.EADDRNOTAVAIL: "{host} is no address of this machine: set BIND to one, or leave it unset for all of them.",
    errno.EACCES: "Port {port} needs privileges: set PORT to 1024 or above.",
}


def remark(settings: "Settings", rulebook: "Rulebook") -> None:
    """Log what will not work though the bridge starts: a credential that is not set, a part that is off, a rule that
    asks for a misspelt word."""
    from app.domain.rules.decide import misspelt

    log = structlog.get_logger()
    for message in settings.missing(rulebook):
        log.error("setting.missing", message=message)
    for message in settings.degraded(rulebook):
        log.warning("setting.works_in_part", message=message)
    for slip in misspelt(rulebook):
        log.warning("rule.misspelt", message=str(slip))


def prepare(command: list[str]) -> None:
    """Run this preparation to its end. Raises ``Refused`` with what it said on standard error if it failed.

    While it runs, SIGTERM and SIGINT end it and this process with it, as they should: gunicorn does not yet listen.
    One that comes while it is just being started waits until it can be ended.
    """
    process: subprocess.Popen[str] | None = None
    asked = False

    def leave(*_: object) -> None:
        nonlocal asked
        asked = True
        if process is not None:
            sys.exit(0)

    signal(SIGTERM, leave)
    signal(SIGINT, leave)
    try:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace")  # noqa: S603
        if asked:
            sys.exit(0)
        _, said = process.communicate()
    except BaseException:
        if process is not None:
            process.kill()
            process.wait()
        raise
    if process.returncode:
        message = said.strip() or f"{' '.join(command[1:])} ended with status {process.returncode}"
        raise Refused(message, process.returncode if process.returncode > 0 else 1)
    if said.strip():
        structlog.get_logger().warning("start.remarked", message=said.strip())


def main(starts: bool = False) -> None:
    """Check, then create or upgrade the stores. Exit codes as everywhere: 2 for a wrong configuration.

    ``starts``: web processes start next, with the webhook secrets of this environment.
    """
    if message := faults(os.environ):
        sys.stderr.write(message + "\n")
        sys.exit(WRONG_USE)
    from app import logs
    from app.bootstrap import StoreRefused, migrate_stores
    from app.bootstrap.container import confirm_secrets
    from app.config import bridge_yaml
    from app.config.settings import Settings
    from app.ports import StoreUnavailable

    settings = Settings.from_env(os.environ)
    # What is waited for is logged at once; standard error is for the reason of a refusal, and is kept until the end.
    logs.configure(settings.log_format, settings.log_level, sys.stdout)
    sys.excepthook = sys.__excepthook__
    try:
        migrate_stores(settings)
        if starts:
            confirm_secrets(settings)
    except StoreRefused as refusal:
        sys.stderr.write(f"{refusal}\n")
        sys.exit(WRONG_USE)
    except StoreUnavailable as fault:
        where = "DATABASE_URL" if settings.database_url else f"BRIDGE_DATA_DIR ({settings.data_dir})"
        sys.stderr.write(f"The store cannot be prepared: {fault}\nCheck {where}.\n")
        sys.exit(WRONG_USE)
    remark(settings, settings.over(bridge_yaml.load(settings.config_path)))


M_ARENA_MAX = -8
"""https://man7.org/linux/man-pages/man3/mallopt.3.html"""


def few_arenas() -> None:
    """Let this process's threads share one heap: they share one interpreter lock anyway. Does nothing where the C
    library knows no such thing."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


if __name__ == "__main__":
    main(starts=True)
