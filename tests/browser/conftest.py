"""Chromium before a whole bridge and its simulated partners."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from tests.system.conftest import a_world
from tests.system.processes import PYTHON, ROOT
from tests.system.world import World

SCREENS = {"desktop": (1280, 900), "phone": (360, 740)}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
CONFIG = "console: {evidence_links: true}\n"


@dataclass
class Operator:
    """Somebody in front of the console, and what their browser complained about."""

    world: World
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda fault: self.complaints.append(str(fault)))

    def open(self, path: str) -> None:
        """A page of the console."""
        answer = self.page.goto(f"{self.world.bridge.url}/console/{path}")
        assert answer is not None
        assert answer.ok, (path, answer.status)

    def open_alert(self, alert_id: str) -> None:
        """The story of one alert."""
        self.open(f"alert?alert={alert_id}")

    def press(self, button: str) -> None:
        """Press a button by what it says, and wait for the page it leads to."""
        with self.page.expect_navigation():
            self.page.get_by_role("button", name=button, exact=True).first.click()

    def says(self, text: str) -> bool:
        """Whether the page says that, now."""
        return text in " ".join(self.page.inner_text("main").split())


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    settings = {"BRIDGE_PUBLIC_URL": "http://127.0.0.1:{port}", "BRIDGE_TRUSTED_PROXIES": "127.0.0.1"}
    with a_world(tmp_path_factory.mktemp("browser"), "rest", CONFIG, **settings) as made:
        yield made


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """Debian's Chromium. Without it the test is skipped, or fails where ``BRIDGETEST_REQUIRE_CHROMIUM=1`` says that it
    must be there."""
    path = shutil.which("chromium")
    if path is None:
        reason = "no chromium on this machine (apt-get install chromium)"
        if os.environ.get("BRIDGETEST_REQUIRE_CHROMIUM") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def console_link(world: World) -> str:
    """What ``truthvouch console-link`` prints on the bridge's machine."""
    command = [str(PYTHON), "-m", "app.cli", "console-link", "--json"]
    environment = {"PATH": os.environ["PATH"], **world.bridge.environment}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return str(json.loads(ended.stdout)["url"])


@pytest.fixture(scope="package")
def logged_in(world: World, chromium: Browser) -> BrowserContext:
    """A browser that came in by a one-time link."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    page.goto(console_link(world))
    with page.expect_navigation():
        page.get_by_role("button", name="Log in").click()
    assert page.url == f"{world.bridge.url}/console/"
    page.close()
    return context


@pytest.fixture
def operator(world: World, logged_in: BrowserContext) -> Iterator[Operator]:
    """The same person, before a fresh page; at the end their browser may have complained about nothing."""
    page = logged_in.new_page()
    page.set_default_timeout(15_000)
    made = Operator(world, logged_in, page)
    yield made
    page.close()
    world.sandbox.heal()
    assert [] == made.complaints
