"""A person at the console: goes from page to page while something else is measured."""

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


class Walk:
    """Within ``with`` it opens every page that the overview leads to, again and again."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._url = f"http://{address[0]}:{address[1]}"
        self._session = requests.Session()
        self._ended = threading.Event()
        self._walking = threading.Thread(target=self._walk, daemon=True)
        self.milliseconds: list[float] = []
        """How long each page took."""
        self.fault = ""

    def __enter__(self) -> "Walk":
        page = self._session.get(f"{self._url}/console/login", timeout=30).text
        found = _FORM_TOKEN.search(page)
        given = {"csrf_token": found[1] if found else "", "token": ADMIN_TOKEN}
        answer = self._session.post(f"{self._url}/console/login", data=given, timeout=30)
        if answer.status_code != 200 or answer.url.endswith("/login"):
            raise BenchFault(f"the console let nobody in: {answer.status_code} {answer.url}")
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
        paths, found = ["/console"], {}
        while not self._ended.is_set():
            for path in paths:
                began = time.monotonic()
                answer = self._session.get(self._url + path, timeout=30)
                self.milliseconds.append((time.monotonic() - began) * 1000)
                if answer.status_code != 200:
                    self.fault = f"{path} answered {answer.status_code}"
                    return
                if path == "/console":
                    found = dict.fromkeys(_LINK.findall(answer.text))
                if self._ended.wait(PAUSE_SECONDS):
                    return
            paths = list(found)
