"""A person at the console: goes from page to page while something else is measured."""

import html
import multiprocessing
import os
import re
import time
from multiprocessing.connection import Connection
from types import TracebackType

import requests

from bench.processes import ADMIN_TOKEN, BenchFault

PAUSE_SECONDS = 1.0
"""Between two pages: somebody in a hurry."""
NICENESS = 10
_FORM_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
_LINK = re.compile(r'href="(/console[^"#]*)"')


def log_in(address: tuple[str, int]) -> tuple[requests.Session, str]:
    """A session of the console, and the first page it shows."""
    session, url = requests.Session(), _url(address, "/console/login")
    found = _FORM_TOKEN.search(session.get(url, timeout=30).text)
    given = {"csrf_token": found[1] if found else "", "token": ADMIN_TOKEN}
    answer = session.post(url, data=given, timeout=30)
    if answer.status_code != 200 or answer.url.endswith("/login"):
        raise BenchFault(f"the console let nobody in: {answer.status_code} {answer.url}")
    return session, answer.text


def linked_pages(page: str) -> list[str]:
    """The pages of the console that one page leads to."""
    return list(dict.fromkeys(map(html.unescape, _LINK.findall(page))))


def every_page(session: requests.Session, address: tuple[str, int]) -> list[str]:
    """One of each kind of page that links lead to from the first: the same path with another query is the same kind."""
    found = {"/console": "/console"}
    for path in (to_open := ["/console"]):
        answer = session.get(_url(address, path), timeout=30)
        for link in linked_pages(answer.text if "html" in answer.headers["Content-Type"] else ""):
            if (kind := link.partition("?")[0]) not in found:
                found[kind] = link
                to_open.append(link)
    return list(found.values())


def _url(address: tuple[str, int], path: str) -> str:
    return f"http://{address[0]}:{address[1]}{path}"


class Walk:
    """Within ``with`` it opens every page that the overview leads to, again and again.

    In a process of its own, which yields to all others: a person's browser is another machine, and what it makes of the
    pages must not take the interpreter of whoever measures meanwhile.
    """

    def __init__(self, address: tuple[str, int]) -> None:
        apart = multiprocessing.get_context("spawn")
        self._here, there = apart.Pipe()
        self._walking = apart.Process(target=_walk, args=(address, there), daemon=True)
        self.milliseconds: list[float] = []
        """How long each page took, once the walk is over."""

    def __enter__(self) -> "Walk":
        self._walking.start()
        try:
            self._here.recv()  # it is logged in
        except EOFError:
            raise BenchFault("nobody could walk through the console") from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._here.send(None)
        self.milliseconds, found = self._here.recv()
        self._walking.join(30)
        if kind is None and (found or not self.milliseconds):
            raise BenchFault(f"the walk through the console ended: {found or 'no page was opened'}")


def _walk(address: tuple[str, int], bench: Connection) -> None:
    """Until the bench says something; the answer is how long each page took, and what went wrong."""
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    session, _ = log_in(address)
    bench.send(None)
    milliseconds: list[float] = []
    paths, found, fault = ["/console"], ["/console"], ""
    while not (fault or bench.poll()):
        for path in paths:
            began = time.monotonic()
            answer = session.get(_url(address, path), timeout=30)
            milliseconds.append((time.monotonic() - began) * 1000)
            if answer.status_code != 200:
                fault = f"{path} answered {answer.status_code}"
            if path == "/console":
                found = linked_pages(answer.text)
            if fault or bench.poll(PAUSE_SECONDS):
                break
        paths = found
    bench.recv()
    bench.send((milliseconds, fault))
