"""A login on the running bridge: one key and one session for all web processes, ended from the command line."""

import re
from collections.abc import Callable

import pytest
import requests

from tests.system.bridge import ADMIN_TOKEN, Bridge
from tests.system.test_operators import command

ENOUGH = 12
"""Requests on connections of their own: each of two web processes gets some of them."""


@pytest.fixture
def bridge(new_bridge: Callable[..., Bridge]) -> Bridge:
    """No key is configured, so one is made and kept."""
    return new_bridge(BRIDGE_SECRET_KEY="", WEB_CONCURRENCY="2").start()


class Browser:
    """Keeps its cookies, and no connection."""

    def __init__(self, bridge: Bridge) -> None:
        self.url, self.cookies = bridge.url, requests.cookies.RequestsCookieJar()

    def ask(self, method: str, url: str, **fields: str) -> requests.Response:
        answer = requests.request(
            method, url, data=fields or None, cookies=self.cookies, allow_redirects=False, timeout=10
        )
        self.cookies.update(answer.cookies)
        return answer

    def send_form(self, url: str, **fields: str) -> int:
        """The form of that page."""
        (token,) = re.findall(r'name="csrf_token" value="([^"]+)"', self.ask("GET", url).text)
        return self.ask("POST", url, csrf_token=token, **fields).status_code

    def statuses(self) -> set[int]:
        """What the console answers, whoever is asked."""
        return {self.ask("GET", f"{self.url}/console/").status_code for _ in range(ENOUGH)}


def test_a_link_of_the_command_line_logs_in_once_and_at_every_process(bridge: Bridge):
    _, made = command(bridge, "console-link", "--minutes", "5")
    assert made["url"].startswith(f"{bridge.url}/console/link/")
    first, second = Browser(bridge), Browser(bridge)
    assert [303, 403] == [browser.send_form(made["url"]) for browser in (first, second)]
    assert ({200}, {303}) == (first.statuses(), second.statuses())
    assert made["url"].rpartition("/")[2] not in bridge.log.read_text("utf-8")


def test_a_revoked_token_is_logged_out_at_every_process_with_the_next_request(bridge: Bridge):
    _, made = command(bridge, "tokens", "add", "ci", "--role", "read-only")
    by_token, by_admin = Browser(bridge), Browser(bridge)
    login = f"{bridge.url}/console/login"
    assert [303, 303] == [by_token.send_form(login, token=made["token"]), by_admin.send_form(login, token=ADMIN_TOKEN)]
    bearer = {"Authorization": f"Bearer {made['token']}"}
    write = f"{bridge.url}/api/v1/reconciliations"
    assert 403 == requests.post(write, headers=bearer, timeout=10).status_code
    assert ({200}, {200}) == (by_token.statuses(), by_admin.statuses())
    assert (0, {"name": "ci", "revoked": True, "sessions_ended": 1}) == command(bridge, "tokens", "revoke", "ci")
    assert ({303}, {200}) == (by_token.statuses(), by_admin.statuses())
    assert 401 == requests.post(write, headers=bearer, timeout=10).status_code
