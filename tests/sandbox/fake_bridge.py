"""The smallest thing that could be called a bridge: enough to see the sandbox from the other side. Real sockets."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.request import Request, urlopen

URGENCIES = {"critical": "high", "high": "low"}


class FakeBridge:
    """Opens incidents for critical and high alerts, and tells TruthVouch what people do to them."""

    def __init__(self, sandbox_url: str, urgencies: dict[str, str] = URGENCIES, answers: int = 202) -> None:
        self.sandbox_url, self.urgencies, self.answers = sandbox_url, urgencies, answers
        self.alert_of: dict[str, str] = {}
        self.notes: dict[str, str] = {}
        self.received: list[tuple[str, dict[str, str], bytes]] = []
        self.says: dict[str, tuple[int, Any]] = {}
        """Path -> status and JSON of the answer to a GET; what is not here gets 200 and an empty object."""
        self.moved: dict[str, str] = {}
        """Path -> where the answer to a GET sends whoever asks."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> "FakeBridge":
        self._thread.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def take(self, path: str, headers: dict[str, str], body: bytes) -> int:
        """Store, act, answer."""
        self.received.append((path, headers, body))
        if self.answers >= 300:
            return self.answers
        if path == "/truthvouch/alerts":
            self._take_alert(json.loads(body))
        else:
            self._take_incident(json.loads(body)["event"])
        return self.answers

    def _take_alert(self, event: dict[str, Any]) -> None:
        data = event["data"]
        urgency = self.urgencies.get(data.get("severity", ""))
        if event["type"] != "alert.created" or urgency is None:
            return
        key = "truthvouch-" + hashlib.sha256(data["alertId"].encode()).hexdigest()
        incident = {
            "type": "incident", "title": data["message"], "urgency": urgency, "incident_key": key,
            "service": {"id": "PSANDBX", "type": "service_reference"},
            "body": {"type": "incident_body", "details": f"claim: {data.get('fact')}\ntruth: {data.get('actualFact')}"},
        }  # fmt: skip
        made = self._call("POST", "/incidents", {"incident": incident})["incident"]
        self.alert_of[made["id"]] = data["alertId"]

    def _take_incident(self, event: dict[str, Any]) -> None:
        kind, data = event["event_type"], event["data"]
        if kind == "incident.annotated":
            self.notes[data["incident"]["id"]] = data["content"]
        status = {"incident.acknowledged": "acknowledged", "incident.resolved": "resolved"}.get(kind)
        if status and data["id"] in self.alert_of:
            body = {"status": status} | ({"resolution": self.notes.get(data["id"])} if status == "resolved" else {})
            self._call("PATCH", f"/api/v1/alerts/{self.alert_of[data['id']]}", body)

    def _call(self, method: str, path: str, body: dict[str, Any]) -> Any:
        key = "Bearer key" if method == "PATCH" else "Token token=key"
        headers = {"Authorization": key, "From": "oncall@example.com", "Content-Type": "application/json"}
        with urlopen(Request(self.sandbox_url + path, json.dumps(body).encode(), headers, method=method)) as reply:
            return json.load(reply)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        bridge = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                bridge.received.append((self.path, dict(self.headers.items()), b""))
                status, said = bridge.says.get(self.path, (200, {}))
                moved = bridge.moved.get(self.path)
                self._say(302 if moved else status, json.dumps(said).encode(), moved)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self._say(bridge.take(self.path, dict(self.headers.items()), body))

            def _say(self, status: int, body: bytes = b"{}", moved: str | None = None) -> None:
                self.send_response(status)
                if moved:
                    self.send_header("Location", moved)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *words: object) -> None:
                """Say nothing: the tests look at ``received``."""

        return Handler
