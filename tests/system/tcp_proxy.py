"""A wire between a program and its server that a test can cut."""

import contextlib
import socket
import threading
from types import TracebackType

from tests.system.processes import free_port


class TcpProxy:
    """Hands bytes on between a port of its own and a server's, until told otherwise."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self.port = free_port()
        self._listener: socket.socket | None = None
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._changing = threading.Lock()
        self.served = 0
        """Connections handed on so far."""
        self.let_through()

    def __enter__(self) -> "TcpProxy":
        return self

    def __exit__(self, _kind: type[BaseException] | None, _fault: object, _trace: TracebackType | None) -> None:
        self.cut()

    def let_through(self) -> None:
        """Accept connections again."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen(64)
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def cut(self) -> None:
        """End every connection and refuse new ones."""
        listener, self._listener = self._listener, None
        if listener is not None:
            _end(listener)
        with self._changing:
            pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for end in pair:
                _end(end)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(self._server, 5)
            except OSError:
                return
            pair = (client, server)
            with self._changing:
                if self._listener is not listener:  # cut meanwhile
                    _end(client)
                    _end(server)
                    return
                self._pairs.add(pair)
                self.served += 1
            for source, target in (pair, pair[::-1]):
                threading.Thread(target=self._carry, args=(pair, source, target), daemon=True).start()

    def _carry(self, pair: tuple[socket.socket, socket.socket], source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with self._changing:
            self._pairs.discard(pair)
        for end in pair:
            _end(end)


def _end(end: socket.socket) -> None:
    """Closing alone would not wake a thread that waits in it."""
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
