"""The console behind a proxy that ends TLS, as in production: the cookie of HTTPS, and forms that say where they come
from."""

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import console_link
from tests.system.world import World

pytestmark = pytest.mark.system

ALERT = '{"alertId": "a9", "severity": "critical"}'


def _forwarding_to(port: int) -> type[BaseHTTPRequestHandler]:
    class Proxy(BaseHTTPRequestHandler):
        def _forward(self) -> None:
            headers = dict(self.headers) | {
                "X-Forwarded-For": self.client_address[0],
                "X-Forwarded-Host": self.headers["Host"],
                "X-Forwarded-Proto": "https",
            }
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            with closing(HTTPConnection("127.0.0.1", port, timeout=10)) as bridge:
                bridge.request(self.command, self.path, body, headers)
                answer = bridge.getresponse()
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("connection", "transfer-encoding"):
                        self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.read())

        do_GET = do_POST = _forward

        def log_message(self, format: str, *args: object) -> None:
            """Tests speak through their assertions."""

    return Proxy


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """The browser tries a certificate that nobody vouches for twice."""


@pytest.fixture
def origin(world: World, tmp_path: Path) -> Iterator[str]:
    """Where the proxy listens, with a certificate of its own making."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made += ["-days", "1", "-subj", "/CN=127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = _Server(("127.0.0.1", 0), _forwarding_to(world.bridge.port))
    # The handshake is each connection's own: one that never speaks holds up no other.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_login_by_link_and_a_form_work_over_https(world: World, chromium: Browser, origin: str):
    context = chromium.new_context(ignore_https_errors=True)
    page = context.new_page()
    page.goto(origin + urlsplit(console_link(world)).path)
    with page.expect_navigation():
        page.get_by_role("button", name="Log in").click()
    assert page.url == f"{origin}/console/"

    (cookie,) = [one for one in context.cookies() if one["name"] != "zone"]
    assert ("__Host-truthvouch", "/", True, True, "Lax") == (
        cookie["name"], cookie["path"], cookie["secure"], cookie["httpOnly"], cookie["sameSite"],
    )  # fmt: skip

    page.goto(f"{origin}/console/rules")
    page.get_by_text("Or paste one").click()
    page.locator("textarea").fill(ALERT)
    form = page.locator("form[method=post]", has=page.locator("textarea"))
    with page.expect_request(lambda one: one.method == "POST") as sent, page.expect_navigation():
        form.get_by_role("button").click()
    assert "An incident of high urgency" in page.inner_text("main")
    assert f"{origin}/console/rules" == sent.value.headers["referer"]

    fields: dict[str, str | float | bool] = {
        "alert": ALERT,
        "csrf_token": form.locator("[name=csrf_token]").input_value(),
    }
    answers = [
        context.request.post(f"{origin}/console/rules", form=fields, headers=headers).status
        for headers in ({"Referer": f"{origin}/console/rules"}, {}, {"Referer": "https://elsewhere.example.com/"})
    ]
    assert [200, 400, 400] == answers
    context.close()
