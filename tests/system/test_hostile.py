"""Strangers that knock all day: floods of headers, storms of nonsense, replays and injections.

Nothing of it gets a 5xx, ends a process or makes one grow, and a good delivery beside it is taken as if it were alone.
"""

import gzip
import itertools
import json
import random
import socket
import threading
from pathlib import Path

import pytest
import requests

from tests.system.bridge import HOOKS, Bridge
from tests.system.conftest import StartWorld, in_worlds
from tests.system.signing import PAGERDUTY_SECRET, TRUTHVOUCH_SECRET, digest, from_pagerduty, from_truthvouch
from tests.system.waiting import until
from tests.system.world import World

SIGN = {"truthvouch": from_truthvouch, "pagerduty": from_pagerduty}
HEAD = "POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"

in_one_world = in_worlds("rest")
on_linux = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="counts threads and memory in /proc")


# ------------------------------------------------------------------------------------------------- floods of headers


def flood(head: str, path: str) -> bytes:
    return (HEAD.format(path=path) + head + "\r\n").encode("latin-1") + b"{}"


MAX_HEAD_BYTES = 128 * 1024
"""What is more than this before the headers have ended is cut off without an answer."""

FLOODS = {
    "five hundred": "".join(f"X-{n}: 1\r\n" for n in range(500)),
    "fifty thousand": "".join(f"X-{n}: 1\r\n" for n in range(50_000)),
    "the same one again and again": "X-PagerDuty-Signature: v1=0\r\n" * 5_000,
    "one of a hundred kilobytes": "X-A: " + "a" * 100_000 + "\r\n",
    "one of ten megabytes": "X-A: " + "a" * 10_000_000 + "\r\n",
    "a name of a hundred kilobytes": "X" * 100_000 + ": 1\r\n",
    "a hundred of sixty kilobytes": "".join(f"X-{n}: {'a' * 60_000}\r\n" for n in range(100)),
}


def first_line(bridge: Bridge, request: bytes) -> bytes:
    """The first line of the answer; empty when the connection was cut before one could be read."""
    with socket.create_connection(("127.0.0.1", bridge.port), timeout=10) as connection:
        try:
            connection.sendall(request)
            return connection.recv(65_536).split(b"\r\n")[0]
        except (ConnectionResetError, BrokenPipeError):
            return b""


@in_one_world
def test_a_flood_of_headers_gets_a_4xx_and_every_process_lives(world: World):
    bridge = world.bridge
    before = bridge.tree.members()
    for path, (name, head) in itertools.product(HOOKS.values(), FLOODS.items()):
        for _ in range(3):
            answer = first_line(bridge, flood(head, path))
            cut_short = not answer and len(head) > MAX_HEAD_BYTES
            assert answer.startswith(b"HTTP/1.1 4") or cut_short, (name, answer)
    assert before == bridge.tree.members()
    assert 202 == bridge.deliver("truthvouch", b'{"id": "evt-after-the-flood"}').status_code


@in_one_world
def test_headers_that_never_end_are_not_collected_for_ever(world: World):
    bridge = world.bridge
    sent = 0
    with socket.create_connection(("127.0.0.1", bridge.port), timeout=10) as connection:
        try:
            connection.sendall(HEAD.format(path=HOOKS["truthvouch"]).encode())
            while sent < 50_000_000:
                sent += connection.send(b"X-A: " + b"a" * 60_000 + b"\r\n")
        except (ConnectionResetError, BrokenPipeError, TimeoutError):
            pass
    assert sent < 50_000_000
    assert 202 == bridge.deliver("truthvouch", b'{"id": "evt-after-the-end"}').status_code


# ------------------------------------------------------------------------------------------------- replays, injections


@in_one_world
def test_a_replayed_delivery_is_accepted_every_time_and_taken_once(world: World):
    alert_id = world.new_alert_id()
    found = {"alertId": alert_id, "severity": "critical"}
    body = json.dumps({"id": f"evt-{alert_id}", "type": "alert.created", "data": found}).encode()
    answers = [world.bridge.deliver("truthvouch", body) for _ in range(20)]
    assert [202] * 20 == [answer.status_code for answer in answers]
    assert ["accepted", *["duplicate"] * 19] == [answer.json()["status"] for answer in answers]
    until(lambda: world.sandbox.incidents(alert_id), "its incident is open", evidence=world.evidence)
    assert 1 == len(world.sandbox.incidents(alert_id))


INJECTIONS = (
    "a'; DROP TABLE links; --",
    'a" OR "1"="1',
    "a\\'); DELETE FROM inbox; --",
    'a", "event": "alert.forged", "level": "critical',
    'a\n{"event": "alert.forged"}',
    "a\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    "a\x1b[2J\x1b]0;forged\x07",
    "a\u202egnp.exe",
    "${jndi:ldap://127.0.0.1/a}",
    "{{7*7}}",
    "%s%s%s%n",
    "a\u2028forged\u2029",
)


@in_one_world
def test_what_looks_like_sql_or_a_log_line_is_an_alert_id_like_any_other(world: World):
    before = len(_applied(world.bridge, 0))
    for n, alert_id in enumerate(INJECTIONS):
        event = {"id": f"evt-{n}-{alert_id}", "type": "alert.created", "data": {"alertId": alert_id, "severity": "low"}}
        assert 202 == world.bridge.send_webhook("truthvouch", event).status_code
    after = before + len(INJECTIONS)
    # Ids with control characters may be escaped, but none may become two lines or another event.
    assert after == len(until(lambda: _applied(world.bridge, after), "all are applied", evidence=world.evidence))
    assert [] == [line for line in world.bridge.events() if line.get("event") == "alert.forged"]
    assert 200 == world.bridge.status("/readyz")


def _applied(bridge: Bridge, at_least: int) -> list[object]:
    found = [line["alert_id"] for line in bridge.events("alert.event_applied")]
    return found if len(found) >= at_least else []


# ------------------------------------------------------------------------------------------------- a storm

ROUNDS = 3_000
CALLERS = 6
GROWTH_KIB = 15 * 1024
"""What a process may be larger after the storm: allocators keep some; 3,000 kept requests would be ten times that."""


FEW_THREADS = 4
"""A pool of eight makes its threads when it first needs them; one left behind per request would be thousands."""


def standing(bridge: Bridge) -> dict[int, tuple[int, int]]:
    """Of every process of the bridge: (resident KiB, threads)."""
    return {pid: _standing(pid) for pid in bridge.tree.members()}


def _standing(pid: int) -> tuple[int, int]:
    lines = (line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    answer = {name: value.split() for name, value in lines}
    return int(answer["VmRSS"][0]), int(answer["Threads"][0])


class Stranger:
    """One hostile caller; what it sends depends on its seed alone."""

    def __init__(self, bridge: Bridge, seed: int) -> None:
        self.bridge, self.random, self.seed = bridge, random.Random(seed), seed
        self.session = requests.Session()
        self.statuses: set[int] = set()
        self.faults: list[str] = []

    def knock(self, times: int) -> None:
        try:
            for n in range(times):
                self._once(f"{self.seed}-{n}")
        except Exception as fault:
            self.faults.append(repr(fault))
        finally:
            self.session.close()

    def _once(self, mark: str) -> None:
        source = self.random.choice(list(HOOKS))
        kind = self.random.randrange(10)
        if kind == 0:
            first_line(self.bridge, flood(FLOODS["five hundred"], HOOKS[source]))
            return
        if kind == 1:
            _hang_up(self.bridge, HEAD.format(path=HOOKS[source]).encode()[: self.random.randrange(60)])
            return
        body = self._body(mark)
        headers = SIGN[source](body)
        if kind in (2, 3):
            headers = {name: value[:-4] + "0000" for name, value in headers.items()}
        if kind == 4:
            headers["Content-Encoding"] = "gzip"
        answer = self.session.post(self.bridge.url + HOOKS[source], data=body, headers=headers, timeout=30)
        self.statuses.add(answer.status_code)

    def _body(self, mark: str) -> bytes:
        r, name = self.random, mark.encode()
        if r.random() < 0.002:
            return b"x" * (1024 * 1024 + 1)
        bodies = [
            lambda: r.randbytes(r.randrange(2_000)),
            lambda: b"[" * r.randrange(50_000),
            lambda: json.dumps({"id": mark, "pad": "x" * r.randrange(60_000)}).encode(),
            lambda: json.dumps({f"key{n}": n for n in range(r.randrange(3_000))} | {"id": mark}).encode(),
            lambda: b'{"id": "%s", "type": "alert.created", "data": %s}' % (name, b"9" * r.randrange(5_000)),
            lambda: gzip.compress(name * r.randrange(100)),
            lambda: b'{"id": NaN, "event": "%s"}' % name,
            lambda: b'{"id": "%s", "type": "alert.resolved", "data": {"alertId": "\\ud800"}}' % name,
            lambda: b'{"id": "%s", "type": "moon.rose"}' % name,
        ]
        return r.choice(bodies)()


def _hang_up(bridge: Bridge, request: bytes) -> None:
    with socket.create_connection(("127.0.0.1", bridge.port), timeout=10) as connection:
        connection.sendall(request)


def storm(bridge: Bridge, requests_in_all: int, seed: int) -> list[Stranger]:
    strangers = [Stranger(bridge, seed + n) for n in range(CALLERS)]
    threads = [threading.Thread(target=one.knock, args=(requests_in_all // CALLERS,)) for one in strangers]
    for thread in threads:
        thread.start()
    good = itertools.count()
    while any(thread.is_alive() for thread in threads):
        body = b'{"id": "evt-good-%d-%d", "type": "moon.rose"}' % (seed, next(good))
        assert 202 == bridge.deliver("truthvouch", body).status_code
        threads[0].join(0.2)
    for thread in threads:
        thread.join()
    assert next(good) > 0
    return strangers


@on_linux
def test_three_thousand_hostile_requests_leave_memory_and_threads_flat(start_world: StartWorld):
    world = start_world()
    bridge = world.bridge
    storm(bridge, ROUNDS // 2, seed=100)  # pools, caches and threads that are made once are made now
    until_quiet(world)
    before = standing(bridge)
    strangers = storm(bridge, ROUNDS, seed=200)
    until_quiet(world)
    after = standing(bridge)
    assert [] == [fault for stranger in strangers for fault in stranger.faults]
    seen = set.union(*(stranger.statuses for stranger in strangers))
    assert {202, 401} <= seen <= {202, 401, 413}
    assert set(before) == set(after), "a process was replaced"
    grown = {pid: after[pid][0] - before[pid][0] for pid in before}
    assert max(grown.values()) < GROWTH_KIB, (grown, before, after)
    more_threads = max(after[pid][1] - before[pid][1] for pid in before)
    assert more_threads <= FEW_THREADS, (before, after)


def until_quiet(world: World) -> None:
    """All of the storm has been taken in: an alert behind it has its incident."""
    alert_id = world.new_alert_id()
    event = {"id": f"evt-{alert_id}", "type": "alert.created", "data": {"alertId": alert_id, "severity": "critical"}}
    assert 202 == world.bridge.send_webhook("truthvouch", event).status_code
    until(lambda: world.sandbox.incidents(alert_id), "the alert behind the storm is paged", 60, world.evidence)


@in_one_world
def test_signatures_of_the_right_length_open_nothing(world: World):
    body = b'{"id": "evt-guess", "type": "alert.created", "data": {"alertId": "a-guess", "severity": "critical"}}'
    right = {"truthvouch": digest(TRUTHVOUCH_SECRET, body), "pagerduty": digest(PAGERDUTY_SECRET, body)}
    header = {"truthvouch": ("X-TruthVouch-Signature", "sha256="), "pagerduty": ("X-PagerDuty-Signature", "v1=")}
    for source, place in itertools.product(HOOKS, range(0, 64, 7)):
        digit = "0" if right[source][place] != "0" else "1"
        guess = right[source][:place] + digit + right[source][place + 1 :]
        name, prefix = header[source]
        assert 401 == world.bridge.deliver(source, body, {name: prefix + guess}).status_code
    assert [] == world.sandbox.incidents("a-guess")
