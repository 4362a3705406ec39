"""What the bridge weighs after much work, whether it grows, and what its console adds once somebody has used it."""

import http.client
from collections.abc import Iterator

from bench.costs import parts_text
from bench.figures import Figure
from bench.proc import process_of
from bench.processes import BenchFault
from bench.rig import Rig, Setup
from bench.walk import every_page, log_in

MEMORY_MB = 200.0
MEMORY_WITH_CONSOLE_MB = 230.0
GROWTH_MB = 10.0

BURST_ALERTS = 1250
EVENTS_OF_AN_ALERT = 2
"""The alert itself, and the webhook about its incident."""
TRIES_WITHOUT_ANOTHER = 8
"""After so many connections in a row that a known process answered, there is no other."""


def weighing(setup: Setup) -> list[Figure]:
    """Memory of all processes of a bridge of its own, which nobody has looked at yet."""
    with setup.rig("memory") as rig:
        half = setup.plan.events // EVENTS_OF_AN_ALERT // 2
        _work(rig, "first", half)
        at_half = rig.tree.megabytes()
        _work(rig, "second", half)
        at_all = rig.tree.megabytes()
        opened = _open_every_page_in_every_process(rig)
        with_console = rig.tree.megabytes()
    setup.say(f"memory: {_sum(at_half):.0f}, {_sum(at_all):.0f}, after {opened} pages {_sum(with_console):.0f} MB")
    note = f"after {setup.plan.events:,} events: {parts_text(at_all)}"
    return [
        Figure("memory", "MB", (_sum(at_all),), MEMORY_MB, note=note),
        Figure(
            "memory, growth in the second half", "MB", (_sum(at_all) - _sum(at_half),), GROWTH_MB,
            note=parts_text({role: at_all[role] - at_half.get(role, 0.0) for role in at_all}),
        ),
        Figure(
            "memory, then every page opened in every web process", "MB", (_sum(with_console),), MEMORY_WITH_CONSOLE_MB,
            note=parts_text(with_console),
        ),
    ]  # fmt: skip


def _work(rig: Rig, name: str, alerts: int) -> None:
    """In bursts, so that the sandbox can forget in between."""
    for n, count in enumerate(_portions(alerts, BURST_ALERTS)):
        rig.sandbox.begin(echoes=True)
        rig.post(f"memory-{name}{n}", count)
        rig.follow(count)
    rig.finish(count)


def _portions(total: int, most: int) -> Iterator[int]:
    for done in range(0, total, most):
        yield min(most, total - done)


def _open_every_page_in_every_process(rig: Rig) -> int:
    """In every process that makes pages: the one, or those, that connections for pages end up in."""
    session, _ = log_in(rig.bridge.address)
    cookie = "; ".join(f"{one.name}={one.value}" for one in session.cookies)
    pages = every_page(session, rig.bridge.address)
    for path in pages:
        seen: set[int] = set()
        alike = 0
        while alike < TRIES_WITHOUT_ANOTHER:
            process = _open(rig, path, cookie)
            alike = alike + 1 if process in seen else 0
            seen.add(process)
        if 0 in seen:
            raise BenchFault(f"{path}: no web process holds the connection it came by")
    return len(pages)


def _open(rig: Rig, path: str, cookie: str) -> int:
    """The page on a connection of its own; which process answered."""
    connection = http.client.HTTPConnection(*rig.bridge.address, timeout=30)
    try:
        connection.request("GET", path, headers={"Cookie": cookie})
        answer = connection.getresponse()
        answer.read()
        if answer.status not in (200, 303):
            raise BenchFault(f"{path} answered {answer.status}")
        return process_of(connection.sock, rig.tree.pids("web"))
    finally:
        connection.close()


def _sum(weights: dict[str, float]) -> float:
    return sum(weights.values())
