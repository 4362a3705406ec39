"""Spans of requests and of calls to the partners, where somebody exports them (``bootstrap.spans``); nothing elsewhere.

Names and attributes are those of OpenTelemetry's conventions for HTTP
(https://opentelemetry.io/docs/specs/semconv/http/http-spans/). A span holds no body, no header and no query.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Protocol
from urllib.parse import urlsplit

from app.remote import trace

Attributes = Mapping[str, str | int]
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class SpanKind(Enum):
    """Who began it."""

    SERVER = auto()
    """Somebody asks us."""
    CLIENT = auto()
    """We ask somebody."""


class Span(Protocol):
    """One piece of work, under way."""

    @property
    def context(self) -> trace.Kept:
        """What follows from it is below this."""
        ...

    def end(self, attributes: Attributes, error: str = "") -> None:
        """It is over. ``error``: why it failed, in a word or as a status; empty when it did not."""
        ...


class Tracer(Protocol):
    """Begins spans and exports them when they end."""

    def begin(self, name: str, kind: SpanKind, parent: trace.Kept | None, attributes: Attributes) -> Span:
        """``parent`` None, or without a span where the kind is ``SERVER``: a trace of its own."""
        ...


tracer: Tracer | None = None
"""Of this process; None: nobody exports spans, and whoever would begin one asks no further."""


def export_by(exporter: Tracer | None) -> None:
    """From now on, in this process."""
    global tracer
    tracer = exporter


def of_request(method: str, path: str, route: str, scheme: str, parent: str, state: str) -> Span | None:
    """A request to us; None where nobody exports spans. ``path`` holds no secret; ``parent``, ``state``: headers."""
    if tracer is None:
        return None
    method = method if method in METHODS else "_OTHER"
    attributes: dict[str, str | int] = {"http.request.method": method, "url.path": path, "url.scheme": scheme}
    if route:
        attributes["http.route"] = route
    sender = trace.kept(trace.of_request(parent, state, with_parent=True))
    return tracer.begin(f"{method} {route}".rstrip(), SpanKind.SERVER, sender, attributes)


def of_call(method: str, url: str, target: str, hides_path: bool) -> Span | None:
    """A call of ours; None where nobody exports it. ``hides_path``: the address itself is a secret."""
    if tracer is None:
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:
        return None
    at = f"[{host}]" if ":" in host else host
    place = f"{parts.scheme}://{at}{f':{parts.port}' if parts.port else ''}"
    attributes: dict[str, str | int] = {
        "http.request.method": method,
        "server.address": host,
        "server.port": port,
        "url.full": place if hides_path else f"{place}{parts.path}",
    }
    if target:
        attributes["peer.service"] = target
    return tracer.begin(method, SpanKind.CLIENT, trace.carried(), attributes)


def answered(span: Span, status: int, fails_from: int) -> None:
    """It ends with this status of HTTP, which from ``fails_from`` on means that it failed."""
    span.end({"http.response.status_code": status}, str(status) if status >= fails_from else "")
