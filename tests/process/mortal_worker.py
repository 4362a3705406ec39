"""A worker process that dies by kill -9 at the point that a file names; the points are put around the real objects."""

import os
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog

import app.bootstrap.partners
import app.store.inbox_postgres  # noqa: F401 - loaded before the fork
from app import logs
from app.bootstrap import worker as composition
from app.config.settings import Settings
from app.domain.sync.effects import OpenIncident, SetIncident
from app.engine.direct import DirectDeliveries
from app.process import worker as process
from app.services.sync.deliver import Deliver
from app.services.sync.execute_effect import Perform
from app.services.sync.recovery import recovery_task
from app.store import codec
from app.store.claims import StoredClaims
from app.store.inbox_reader import CursorInboxReader, FlagInboxReader

codec.prepare()  # once, in the process that the workers are forked from

LOOK_SECONDS = 0.05
"""Between two looks for claims that are over or lost: here nobody waits five seconds for each."""

Arguments = tuple[Any, ...]


@dataclass(frozen=True)
class Point:
    """A place in the program: right before or after a call of a method."""

    owner: type
    method: str
    after: bool = False
    wanted: Callable[[Arguments, Any], bool] = lambda _given, _found: True
    """Of the call: what it was given, and what it returned (None before it has)."""


def _about(effect: type) -> Callable[[Arguments, Any], bool]:
    return lambda given, _found: any(isinstance(one, effect) for one in given)


def _returns_some(_given: Arguments, found: Any) -> bool:
    return bool(found)


def _is_given_some(given: Arguments, _found: Any) -> bool:
    return bool(given[-1])


POINTS: Mapping[str, tuple[Point, ...]] = {
    "row read": tuple(
        Point(reader, "next_rows", after=True, wanted=_returns_some) for reader in (CursorInboxReader, FlagInboxReader)
    ),
    "link saved, not claimed": (Point(StoredClaims, "claim"),),
    "claimed, not committed": (Point(StoredClaims, "claim", after=True),),
    "committed, not begun": (Point(DirectDeliveries, "_begin"),),
    "begun, link not read": (Point(Deliver, "__call__"),),
    "before the create": (Point(Perform, "__call__", wanted=_about(OpenIncident)),),
    "created, answer not recorded": (Point(Perform, "__call__", after=True, wanted=_about(OpenIncident)),),
    "answer recorded, not committed": (Point(Deliver, "_go_on", after=True),),
    "answer committed, claim not released": (Point(Deliver, "__call__", after=True),),
    "claim released, not committed": (Point(StoredClaims, "release", after=True, wanted=_is_given_some),),
    "resolve intended, not called": (Point(Perform, "__call__", wanted=_about(SetIncident)),),
    "resolved, answer not recorded": (Point(Perform, "__call__", after=True, wanted=_about(SetIncident)),),
}
"""In the order of an alert's way."""


def _put_around(name: str, point: Point, armed: Path) -> None:
    made = getattr(point.owner, point.method)

    def around(*given: Any, **named: Any) -> Any:
        if not point.after and point.wanted(given, None):
            _die_if(armed, name)
        found = made(*given, **named)
        if point.after and point.wanted(given, found):
            _die_if(armed, name)
        return found

    setattr(point.owner, point.method, around)


def _die_if(armed: Path, name: str) -> None:
    if armed.exists() and armed.read_text("utf-8") == name:
        os.kill(os.getpid(), signal.SIGKILL)


def work(environ: Mapping[str, str], folder: Path) -> None:
    """The process: a worker as ``truthvouch worker`` runs it, until it is killed."""
    with (folder / "worker.log").open("ab") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    settings = Settings.from_env(environ)
    structlog.reset_defaults()
    logs.configure(settings.log_format, settings.log_level, for_good=True)
    for name, points in POINTS.items():
        for point in points:
            _put_around(name, point, folder / "armed")
    setattr(composition, "recovery_task", partial(recovery_task, every_seconds=LOOK_SECONDS))  # noqa: B010
    process.TASK_POLL_SECONDS = LOOK_SECONDS
    process.Worker(composition.WorkerBridge(settings)).run(threading.Event())
