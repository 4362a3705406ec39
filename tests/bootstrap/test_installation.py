"""What one process opens of its stores: once, however many threads ask for it first."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.bootstrap.installation import Installation, made_once
from app.config.settings import Settings


class Slow(Installation):
    """Takes so long that a second thread would begin to make another, were it let in."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.begun, self.second = 0, threading.Event()

    @made_once
    def outer(self) -> list[object]:
        return [self.inner]

    @made_once
    def inner(self) -> object:
        self.begun += 1
        if self.begun > 1:
            self.second.set()
        self.second.wait(0.2)
        return object()


def test_many_threads_get_the_same_and_none_waits_for_ever(tmp_path: Path) -> None:
    made, together = Slow(Settings.from_env({"BRIDGE_DATA_DIR": str(tmp_path)})), threading.Barrier(4)

    def ask(name: str) -> object:
        together.wait()
        return getattr(made, name)

    with ThreadPoolExecutor(4) as threads:
        first, second, *outer = threads.map(ask, ("inner", "inner", "outer", "outer"))
    assert 1 == made.begun
    assert first is second is made.inner
    assert outer == [made.outer, made.outer]
    assert [first] == made.outer
