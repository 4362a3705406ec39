"""W3C Trace Context: which trace a webhook belongs to, and the headers by which our calls go on with it.

A trace is kept as one text, from the webhook through inbox and link to the calls that follow from it:
``<trace id>-<flags>``, then ``-<span id>`` where a span of ours is exported (``remote.spans``), then ``;<tracestate>``
where the webhook had one, which is passed on as it came. Each call is a span of its own.
https://www.w3.org/TR/trace-context/
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import structlog

HEADER, STATE_HEADER = "traceparent", "tracestate"
MAX_STATE_CHARS = 512
"""As much as anybody has to pass on. Of a longer one, whole entries are left out from its end."""
MAX_STATE_ENTRIES = 32
SAMPLED = 0x01
"""The only flag of version 00: whoever calls may have recorded the trace."""

_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_KEPT = re.compile(r"(?P<trace>[0-9a-f]{32})-(?P<flags>0[01])(?:-(?P<span>[0-9a-f]{16}))?(?:;(?P<state>[ -~]{1,512}))?")
_STATE_ENTRY = re.compile(r"[a-z0-9][a-z0-9_*/@-]{0,255}=[ -+\--<>-~]{0,255}[!-+\--<>-~]")
_current: ContextVar[str] = ContextVar("trace", default="")


@dataclass(frozen=True, slots=True)
class Kept:
    """A trace as its parts."""

    trace: str
    flags: str
    span: str
    """The span that what follows is below of; empty where nobody exported one."""
    state: str

    def __str__(self) -> str:
        span, state = f"-{self.span}" if self.span else "", f";{self.state}" if self.state else ""
        return f"{self.trace}-{self.flags}{span}{state}"


def of_request(header: str | None, state: str | None = None, with_parent: bool = False) -> str:
    """The trace that these headers name; a new one, not sampled, where they name none or are not as the standard says.
    ``with_parent``: also the sender's span, of which a new trace has none."""
    found = _TRACEPARENT.fullmatch(header.strip(" \t")) if header else None
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"] is not None):
        return f"{_fresh(16)}-00"
    if not int(found["trace"], 16) or not int(found["parent"], 16):
        return f"{_fresh(16)}-00"
    flags = f"{int(found['flags'], 16) & SAMPLED:02x}"
    return str(Kept(found["trace"], flags, found["parent"] if with_parent else "", _state(state or "")))


def _state(header: str) -> str:
    """What of it is passed on: all, or nothing where it is not as the standard says."""
    entries = [entry.strip(" \t") for entry in header.split(",")]
    entries = [entry for entry in entries if entry]
    names = {entry.partition("=")[0] for entry in entries}
    if len(entries) > MAX_STATE_ENTRIES or len(names) < len(entries) or not all(map(_STATE_ENTRY.fullmatch, entries)):
        return ""
    while len(",".join(entries)) > MAX_STATE_CHARS:
        entries.pop()
    return ",".join(entries)


def kept(text: str | None) -> Kept | None:
    """The parts of a trace; None for what is none."""
    found = _KEPT.fullmatch(text) if text else None
    return Kept(found["trace"], found["flags"], found["span"] or "", found["state"] or "") if found else None


def carried() -> Kept | None:
    """The current trace; None outside of one."""
    return kept(_current.get())


def trace_id(trace: str) -> str:
    """The id alone, as log lines and incidents show it; empty for no trace."""
    return trace.partition("-")[0]


@contextmanager
def current(trace: str | None) -> Iterator[None]:
    """Inside, log lines name this trace and calls go on with it. Does nothing for what is no trace."""
    if kept(trace) is None:
        yield
        return
    assert trace
    before = _current.set(trace)
    try:
        with structlog.contextvars.bound_contextvars(trace_id=trace_id(trace)):
            yield
    finally:
        _current.reset(before)


def call_headers() -> dict[str, str]:
    """What a call made now carries: a span of its own of the current trace; nothing outside of one."""
    trace = carried()
    return headers_of(trace, _fresh(8)) if trace else {}


def headers_of(trace: Kept, span: str) -> dict[str, str]:
    """What a call carries that is this span of the trace."""
    headers = {HEADER: f"00-{trace.trace}-{span}-{trace.flags}"}
    return headers | {STATE_HEADER: trace.state} if trace.state else headers


def fresh_span() -> str:
    """An id for a span that nobody exports."""
    return _fresh(8)


def _fresh(size: int) -> str:
    """An id of so many random bytes; one of zeros alone names nothing."""
    return next(text for text in iter(lambda: secrets.token_hex(size), "") if int(text, 16))
