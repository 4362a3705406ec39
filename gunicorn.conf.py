"""The whole bridge in one command: ``gunicorn -c gunicorn.conf.py wsgi:app``.

Gunicorn reads this file very early, and again on every SIGHUP: values here are read leniently, since ``on_starting``
reports every malformed one at once, and what is imported is imported inside the hooks.
https://docs.gunicorn.org/en/stable/settings.html
"""

import os
import socket
import sys

PREPARE = [sys.executable, "-m", "app.process.startup"]
WORKER = [sys.executable, "-m", "app.cli", "worker"]
LOOK = [sys.executable, "-m", "app.process.watch"]


def _number(name, default):
    value = os.environ.get(name, "").strip()
    return int(value) if value.isascii() and value.isdigit() else default


def _every_interface():
    """IPv4 alone where there is no IPv6. A socket for IPv6 takes IPv4 too, unless the system keeps them apart."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::", 0))
            apart = probe.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    except OSError:
        return ["0.0.0.0"]  # noqa: S104
    return ["::", "0.0.0.0"] if apart else ["::"]  # noqa: S104


def _addresses():
    given = [part.strip().removeprefix("[").removesuffix("]") for part in os.environ.get("BIND", "").split(",")]
    hosts, port = list(filter(None, given)) or _every_interface(), _number("PORT", 8080)
    return [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host in hosts]


bind = _addresses()
# With several, one more makes the pages and answers the API (app/web/handover.py).
workers = max(1, _number("WEB_CONCURRENCY", 2))
workers += workers > 1
worker_class = "app.web.server.Worker"
threads = 8
# Half of the descriptors a process commonly may have; slow and idle connections cost no thread (app/web/server.py).
worker_connections = 500
# Longer than proxies keep an idle connection to us (commonly 60 seconds): whoever closes first must be the proxy, or it
# sends a request into a closing connection.
keepalive = 75
timeout = 30
# With the worker's 12 seconds still below the 20 that stopping may take, since both count from the same moment.
graceful_timeout = 8
limit_request_fields = 100
limit_request_field_size = 65536
# A thread has no socket to send a file to (app/web/server.py).
sendfile = False
# Which proxy is believed is a setting of ours (BRIDGE_TRUSTED_PROXIES); gunicorn would answer some headers with a 400.
secure_scheme_headers = {}
forwarder_headers = ""
# Nothing of ours is asked through it, and it would write into the home directory.
control_socket_disable = True
# The sign of life of each web process is a file: on a disk that hangs it would look like a process that hangs.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108
logger_class = "app.web.server_log.ServerLog"
loglevel = os.environ.get("LOG_LEVEL", "").lower()
loglevel = loglevel if loglevel in ("debug", "info", "warning", "error", "critical") else "info"


def on_starting(server):
    """Check everything, prepare the stores, or say why not and end."""
    from pathlib import Path

    from app import load, logs, metrics
    from app.process import startup
    from app.web import handover

    # An upgrade (SIGUSR2) and systemd hand over sockets that listen already.
    inherits = server.master_pid or "LISTEN_FDS" in os.environ
    try:
        startup.check_listening(server.cfg.is_ssl, () if inherits else server.cfg.address)
        startup.prepare(PREPARE)
    except startup.Refused as refused:
        logs.refuse("start.refused", str(refused))
        sys.exit(refused.status)
    # Found well-formed a moment ago; to read all settings here would cost the master memory it has no use for.
    data_dir = Path(os.environ.get("BRIDGE_DATA_DIR", "").strip() or "data")
    # An upgrade (SIGUSR2) starts beside a running bridge and must not sweep out what that one has counted.
    (metrics.join if server.master_pid else metrics.prepare)(data_dir)
    server.pairs = handover.Pairs()
    load()


def when_ready(server):
    """Start the worker and keep it, unless workers run elsewhere; end with whoever wants to be followed."""
    parent = os.environ.get("BRIDGE_PARENT_FD", "")
    if parent.isdigit():
        from app.process import supervisor

        supervisor.follow(server, int(parent))
    has_worker = os.environ.get("BRIDGE_ROLE", "").strip().lower() != "web"
    key = "BRIDGE_SELF_INTEGRATION_KEY"
    pages = any(os.environ.get(name, "").strip() for name in (key, f"{key}_FILE"))
    if not (has_worker or pages):
        return
    from app import metrics
    from app.process import supervisor

    lookout = supervisor.Lookout(LOOK, os.environ, has_worker) if pages else None
    worker = None
    if has_worker:
        worker = supervisor.WorkerSupervisor(WORKER, os.environ, metrics.mark_process_dead, lookout=lookout)
    supervisor.attach(server, worker, lookout)


_GENERATION = 1_000_000


def nworkers_changed(server, new_value, old_value):
    """SIGTTOU takes all but one web process that takes in webhooks, and the one that makes pages."""
    if 0 < new_value < 2 <= server.cfg.workers:
        server.num_workers = 2


def pre_fork(server, worker):
    """The last of a generation makes the pages, and so does whoever takes its place.

    Gunicorn ends the oldest first, by ``age``: this one is to stay to the last.
    """
    generation = worker.age // _GENERATION
    siblings = [one for one in server.WORKERS.values() if one.age // _GENERATION == generation]
    is_last = len(siblings) >= server.num_workers - 1 and not any(one.makes_pages for one in siblings)
    worker.makes_pages = is_last and server.cfg.workers > 1
    if worker.makes_pages:
        worker.age = (generation + 1) * _GENERATION - 1
    if server.cfg.workers > 1:
        worker.handover = server.pairs.end(worker.makes_pages)


def on_reload(server):
    """SIGHUP starts new web processes; the worker follows, so that both read the same files."""
    server.worker_age = (server.worker_age // _GENERATION + 1) * _GENERATION
    if worker_supervisor := getattr(server, "worker_supervisor", None):
        worker_supervisor.restart()


def post_fork(server, worker):
    """A web process lets go of what only the master may hold."""
    from app.process import startup

    startup.few_arenas()
    for keeper in (getattr(server, "worker_supervisor", None), getattr(server, "lookout", None)):
        if keeper is not None:
            keeper.let_go()


def child_exit(server, worker):
    """Keep what a web process has counted."""
    from app import metrics

    metrics.mark_process_dead(worker.pid)


def worker_abort(worker):
    """A web process did not answer the master for 30 seconds: say where each of its threads was."""
    import traceback

    import structlog

    stacks = {str(thread): traceback.format_stack(frame)[-8:] for thread, frame in sys._current_frames().items()}
    structlog.get_logger().critical("web.stuck", stacks=stacks)


def worker_exit(server, worker):
    """Let go of the store."""
    app = getattr(worker, "wsgi", None)
    if app is not None and "bridge" in getattr(app, "extensions", {}):
        app.extensions["bridge"].close()
