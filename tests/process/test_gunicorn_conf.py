"""``gunicorn -c gunicorn.conf.py``: one command that starts, watches and ends everything."""

import errno
import json
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.serving import Server
from tests.system.processes import ROOT, Tree, kill
from tests.system.waiting import until

CONF = str(ROOT / "gunicorn.conf.py")

# ---------------------------------------------------------------------------------------------------- the values


@pytest.fixture
def conf(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    def read(**environ: str) -> dict[str, Any]:
        for name in ("PORT", "BIND", "WEB_CONCURRENCY", "LOG_LEVEL"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        return runpy.run_path(CONF)

    return read


def test_the_defaults_are_those_of_the_documentation(conf: Callable[..., dict[str, Any]]):
    read = conf()
    assert [":8080"] == [address[-5:] for address in read["bind"]]
    assert (3, 8, "info") == (read["workers"], read["threads"], read["loglevel"])
    assert (30, 8) == (read["timeout"], read["graceful_timeout"])


def test_the_environment_says_port_and_number_of_processes(conf: Callable[..., dict[str, Any]]):
    read = conf(PORT="9090", BIND="127.0.0.1", WEB_CONCURRENCY="5", LOG_LEVEL="DEBUG")
    assert (["127.0.0.1:9090"], 6, "debug") == (read["bind"], read["workers"], read["loglevel"])


@pytest.mark.parametrize("value", ["eighty", "", "-1", "٣", "1.5"])
def test_a_malformed_value_is_left_for_the_settings_to_report(conf: Callable[..., dict[str, Any]], value: str):
    read = conf(PORT=value, BIND="127.0.0.1", WEB_CONCURRENCY=value, LOG_LEVEL=value)
    assert (["127.0.0.1:8080"], 3, "info") == (read["bind"], read["workers"], read["loglevel"])


@pytest.mark.parametrize("given", ["127.0.0.1, ::1", "127.0.0.1,[::1]", ",127.0.0.1,,::1"])
def test_several_addresses_may_be_listened_at(conf: Callable[..., dict[str, Any]], given: str):
    assert ["127.0.0.1:8080", "[::1]:8080"] == conf(BIND=given)["bind"]


class NoIpv6:
    """A system without it."""

    def __init__(self, *_: object) -> None:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")


class Apart(socket.socket):
    """A system that keeps both families apart."""

    def bind(self, address: Any) -> None:
        """Whatever this machine has."""

    def getsockopt(self, *_: Any) -> Any:
        return 1


@pytest.mark.parametrize(("kind", "expected"), [(NoIpv6, ["0.0.0.0:8080"]), (Apart, ["[::]:8080", "0.0.0.0:8080"])])
def test_every_interface_is_what_the_system_has(
    conf: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch, kind: Any, expected: list[str]
):
    monkeypatch.setattr(socket, "socket", kind)
    assert expected == conf()["bind"]


def test_reading_the_file_loads_nothing_of_ours(tmp_path: Path):
    code = f"import runpy, sys; runpy.run_path({CONF!r}); print([name for name in sys.modules if name[:3] == 'app'])"
    tree = Tree([sys.executable, "-c", code], {"PYTHONPATH": str(ROOT)}, tmp_path / "log")
    assert 0 == tree.process.wait(10)
    assert "[]" == tree.output().strip()


# -------------------------------------------------------------------------------------------------- life and death


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(**options: str) -> Server:
        servers.append(Server(tmp_path, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.tree.destroy()


def the_worker(server: Server) -> int:
    (pid,) = until(server.workers, "a worker", 5, server.tree.output)
    return pid


def test_a_killed_worker_is_back_within_a_second(serve: Callable[..., Server]):
    server = serve().wait_up()
    for _ in range(3):
        dead = the_worker(server)
        began = time.monotonic()
        kill(dead)
        until(lambda dead=dead: set(server.workers()) - {dead}, "another worker", 5, server.tree.output)  # type: ignore[misc]
        assert time.monotonic() - began < 1
        assert 1 == len(server.workers())
    died = server.events("worker.died")
    assert [-signal.SIGKILL] * 3 == [line["status"] for line in died]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_every_way_of_stopping_leaves_nothing_and_no_error(serve: Callable[..., Server], number: signal.Signals):
    server = serve().wait_up()
    the_worker(server)
    kill(server.tree.pid, number)
    assert 0 == server.tree.process.wait(10)
    assert {} == server.tree.members()
    assert [] == [line for line in server.lines() if line["level"] in ("error", "critical")]


def test_a_killed_master_leaves_nothing(serve: Callable[..., Server]):
    server = serve().wait_up()
    the_worker(server)
    kill(server.tree.pid)
    until(lambda: not server.tree.members(), "nothing is left", 10, lambda: server.tree.members())


def test_a_reload_keeps_one_worker_and_reads_everything_anew(serve: Callable[..., Server]):
    server = serve().wait_up()
    worker, (web,) = the_worker(server), server.web_processes()
    seen: set[int] = set()

    def renewed() -> bool:
        pids = server.workers()
        seen.add(len(pids))
        return pids != [worker] and len(pids) == 1 and web not in server.web_processes()

    kill(server.tree.pid, signal.SIGHUP)
    until(renewed, "another worker and another web process", 15, server.tree.output)
    assert seen <= {0, 1}
    assert server.answers()


def test_web_processes_alone_start_no_worker(serve: Callable[..., Server]):
    server = serve(BRIDGE_ROLE="web").wait_up()
    assert [] == server.workers()


def test_every_line_is_json_from_the_first_to_the_last(serve: Callable[..., Server]):
    server = serve(LOG_LEVEL="DEBUG").wait_up()
    for path in ("/nowhere", "/healthz"):
        requests.get(server.url + path, timeout=5)
    server.say(b"no HTTP\r\n\r\n")
    kill(server.tree.pid, signal.SIGHUP)
    until(lambda: len(server.web_processes()) == 1 and server.answers(), "it reloaded", 10)
    kill(the_worker(server))
    assert 0 == server.tree.terminate(15)
    assert {"request.answered", "worker.spawned"} <= {line["event"] for line in server.lines()}


def test_a_refused_start_says_why_and_starts_nothing(serve: Callable[..., Server]):
    server = serve(prepare="import sys; sys.exit('PORT: is odd\\nPAGERDUTY_REGION: is odd')")
    assert 1 == server.tree.process.wait(10)
    assert {} == server.tree.members()
    (line,) = server.events("start.refused")
    assert "PORT: is odd\nPAGERDUTY_REGION: is odd" == line["message"]


def test_on_a_console_a_refusal_is_plain_text(serve: Callable[..., Server]):
    server = serve(prepare="import sys; sys.exit('PORT: is odd\\nand so on')", LOG_FORMAT="console")
    assert 1 == server.tree.process.wait(10)
    assert ["PORT: is odd", "and so on"] == server.tree.output().splitlines()[-2:]


def test_a_stop_during_the_preparation_stops(serve: Callable[..., Server]):
    server = serve(prepare="import time; time.sleep(60)")
    until(lambda: len(server.tree.members()) == 2, "it prepares", 10, server.tree.output)
    kill(server.tree.pid, signal.SIGTERM)
    assert 0 == server.tree.process.wait(5)
    until(lambda: not server.tree.members(), "nothing is left", 5)


STOPPED_AT_ITS_BIRTH = """
import os, signal, subprocess, sys
from app.process import startup

class Started(subprocess.Popen):
    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        print(self.pid, flush=True)
        os.kill(os.getpid(), signal.SIGTERM)

subprocess.Popen = Started
startup.prepare([sys.executable, "-c", "import time; time.sleep(60)"])
"""


def test_a_stop_in_the_moment_in_which_the_preparation_starts_leaves_nothing():
    ended = subprocess.run([sys.executable, "-c", STOPPED_AT_ITS_BIRTH], cwd=ROOT, capture_output=True, timeout=30)
    assert (0, b"") == (ended.returncode, ended.stderr)
    assert not Path(f"/proc/{int(ended.stdout)}").exists()


def test_an_application_that_cannot_be_built_ends_everything_in_json(serve: Callable[..., Server], tmp_path: Path):
    server = serve(prepare=f"import pathlib; pathlib.Path({str(tmp_path)!r}, 'served.py').write_text('1 / 0')")
    assert 0 != server.tree.process.wait(20)
    assert {} == server.tree.members()
    assert "web.not_started" in {line["event"] for line in server.lines()}


def test_what_a_killed_web_process_counted_is_not_lost(serve: Callable[..., Server], tmp_path: Path):
    server = serve(BRIDGE_ROLE="web").wait_up()
    requests.post(server.url + "/truthvouch/alerts", timeout=5)
    (web,) = server.web_processes()
    kill(web)
    until(lambda: (tmp_path / "data/metrics/counter_departed.db").exists(), "it was marked as dead", 5)
    assert b"signature_missing" in (tmp_path / "data/metrics/counter_departed.db").read_bytes()
    until(server.answers, "another one answers", 10)


# ---------------------------------------------------------------------------------------------------------- weight

UNWANTED = ("rich", "alembic", "dbos", "requests")
PROBE = """
def post_worker_init(worker):
    import json, sys

    print(json.dumps({"event": "probe.loaded", "names": sorted({name.partition(".")[0] for name in sys.modules})}))
    sys.stdout.flush()
"""


def test_a_real_web_process_carries_only_what_it_needs(tmp_path: Path):
    (tmp_path / "conf.py").write_text(f"exec(compile(open({CONF!r}).read(), {CONF!r}, 'exec'))\n{PROBE}", "utf-8")
    environment = {
        "PORT": "0", "WEB_CONCURRENCY": "1", "BRIDGE_ROLE": "web", "LOG_FORMAT": "json",
        "BRIDGE_DATA_DIR": str(tmp_path / "data"), "BRIDGE_CONFIG": str(tmp_path / "bridge.yaml"),
    }  # fmt: skip
    command = [sys.executable, "-m", "gunicorn", "-c", str(tmp_path / "conf.py"), "wsgi:app"]
    tree = Tree(command, environment, tmp_path / "log")
    try:
        until(lambda: "probe.loaded" in tree.output(), "a web process", 20, tree.output)
    finally:
        tree.destroy()
    (line,) = [json.loads(line) for line in tree.output().splitlines() if "probe.loaded" in line]
    assert [] == [name for name in UNWANTED if name in line["names"]]
