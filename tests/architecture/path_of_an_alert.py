"""Run by ``test_path.py`` in a process of its own: which modules of ours run while one alert goes to PagerDuty and what
a person does there comes back, each with its number of calls, in the order in which they are first called.

The doors, the worker's intake and its deliveries all run in this process; what a worker does besides, again and again,
is left out. One alert has gone the same way before, so nothing is counted for being loaded; which modules that one had
to load is told apart.
"""

import json
import math
import os
import queue
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType

from app import create_app
from app.bootstrap import migrate_stores
from app.bootstrap.worker import WorkerBridge
from app.config.settings import Settings
from app.services.rules import rulebook
from tests.system.bridge import Bridge
from tests.system.sandbox import Sandbox

ROOT = str(Path(__file__).parents[2] / "app") + "/"
calls: Counter[str] = Counter()
is_counted = False
webhooks: queue.Queue[tuple[str, bytes, dict[str, str]]] = queue.Queue()


def count(frame: FrameType, event: str, _: object) -> None:
    name = frame.f_code.co_filename
    if is_counted and event == "call" and name.startswith(ROOT) and frame.f_code.co_name != "<module>":
        calls[name.removeprefix(ROOT)] += 1


class Doorstep(BaseHTTPRequestHandler):
    """Where the sandbox leaves its webhooks."""

    def do_POST(self) -> None:
        webhooks.put((self.path, self.rfile.read(int(self.headers["Content-Length"])), dict(self.headers)))
        self.send_response(202)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing."""


def main(folder: Path) -> None:
    """Two alerts, one after the other; the second is counted."""
    global is_counted
    doorstep = ThreadingHTTPServer(("127.0.0.1", 0), Doorstep)
    threading.Thread(target=doorstep.serve_forever, daemon=True).start()
    sandbox = Sandbox(folder, f"http://127.0.0.1:{doorstep.server_address[1]}")
    rulebook.CHECK_EVERY_SECONDS = math.inf  # looking at the file once a second is no part of an alert's way
    threading.setprofile(count)
    sys.setprofile(count)
    try:
        bridge = Bridge(folder, sandbox.url)
        settings = Settings.from_env({**os.environ, **bridge.environment})
        migrate_stores(settings)
        client, worker = create_app(settings).test_client(), WorkerBridge(settings)
        take_in = worker.launch("path")

        def until(is_done: Callable[[], bool]) -> None:
            ends = time.monotonic() + 30
            while not is_done():
                assert time.monotonic() < ends
                while not webhooks.empty():
                    path, body, headers = webhooks.get()
                    assert client.post(path, data=body, headers=headers).status_code == 202
                take_in()
                time.sleep(0.01)

        def goes(alert_id: str) -> None:
            sandbox.raise_alert(alert_id)
            until(lambda: bool(sandbox.incidents(alert_id)))
            sandbox.at_pagerduty(alert_id, "acknowledge")
            until(lambda: sandbox.alert(alert_id)["status"] == "acknowledged")

        loaded = set(sys.modules)
        goes("warm-up")
        late = sorted(set(sys.modules) - loaded)
        is_counted = True
        goes("measured")
        is_counted = False
        (folder / "path.json").write_text(json.dumps({"calls": calls, "loaded_late": late}), "utf-8")
        worker.close(0)
    finally:
        sandbox.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
