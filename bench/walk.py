"""A person at the console: goes from page to page while something else is measured."""

import html
import re
import threading
import time
from types import TracebackType

import requests

from bench.processes import ADMIN_TOKEN, BenchFault

PAUSE_SECONDS = 0.25
"""Between two pages: quicker than anybody reads."""
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
    """Within ``with`` it opens every page that the overview leads to, again and again."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._ended = threading.Event()
        self._walking = threading.Thread(target=self._walk, daemon=True)
        self.milliseconds: list[float] = []
        """How long each page took."""
        self.fault = ""

    def __enter__(self) -> "Walk":
        self._session, _ = log_in(self._address)
        self._walking.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._walking.join(30)
        if kind is None and (self.fault or not self.milliseconds):
            raise BenchFault(f"the walk through the console ended: {self.fault or 'no page was opened'}")

    def _walk(self) -> None:
        paths, found = ["/console"], ["/console"]
        while not self._ended.is_set():
            for path in paths:
                began = time.monotonic()
                answer = self._session.get(_url(self._address, path), timeout=30)
                self.milliseconds.append((time.monotonic() - began) * 1000)
                if answer.status_code != 200:
                    self.fault = f"{path} answered {answer.status_code}"
                    return
                if path == "/console":
                    found = linked_pages(answer.text)
                if self._ended.wait(PAUSE_SECONDS):
                    return
            paths = found
