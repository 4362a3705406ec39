"""One HTTP POST over kept-alive connections, with the standard library alone."""

import http.client
import threading
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

Post = Callable[[str, Mapping[str, str], bytes, float], int]
"""``post(url, headers, body, timeout)`` -> HTTP status. Raises ``OSError`` when no answer came."""

Origin = tuple[str, str]


class Postman:
    """Keeps one connection per thread and receiver."""

    def __init__(self) -> None:
        self._mine = threading.local()

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes, timeout: float) -> int:
        """The status of the answer. A dead kept-alive connection is replaced once: delivery is at least once anyway."""
        origin, path = _split(url)
        reused = origin in self._connections()
        try:
            return self._send(origin, path, headers, body, timeout)
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException):
            if not reused:
                raise
        return self._send(origin, path, headers, body, timeout)

    def _send(self, origin: Origin, path: str, headers: Mapping[str, str], body: bytes, timeout: float) -> int:
        connection = self._connection(origin, timeout)
        try:
            connection.request("POST", path, body, dict(headers))
            answer = connection.getresponse()
            answer.read()
            return answer.status
        except (OSError, http.client.HTTPException) as fault:
            connection.close()
            self._connections().pop(origin, None)
            raise fault if isinstance(fault, OSError) else ConnectionError(repr(fault)) from fault

    def _connection(self, origin: Origin, timeout: float) -> http.client.HTTPConnection:
        connections = self._connections()
        if origin not in connections:
            scheme, host = origin
            kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
            connections[origin] = kind(host)
        connection = connections[origin]
        connection.timeout = timeout
        if connection.sock is not None:
            connection.sock.settimeout(timeout)
        return connection

    def _connections(self) -> dict[Origin, http.client.HTTPConnection]:
        if not hasattr(self._mine, "connections"):
            self._mine.connections = {}
        connections: dict[Origin, http.client.HTTPConnection] = self._mine.connections
        return connections


def _split(url: str) -> tuple[Origin, str]:
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return (parts.scheme, parts.netloc.rpartition("@")[2]), path
