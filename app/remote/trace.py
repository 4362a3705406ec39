"""W3C Trace Context: which trace a webhook belongs to, and the header by which our calls go on with it.

A trace is kept as one text, ``<trace id>-<flags>``, from the webhook through inbox and link to the calls that follow
from it. Each call is a span of its own. ``tracestate`` is not passed on, which the standard allows.
https://www.w3.org/TR/trace-context/
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import structlog

HEADER = "traceparent"
SAMPLED = 0x01
"""The only flag of version 00: whoever calls may have recorded the trace."""

_TRACEPARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<parent>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})(?P<more>-.*)?"
)
_KEPT = re.compile(r"[0-9a-f]{32}-0[01]")
_current: ContextVar[str] = ContextVar("trace", default="")


def of_request(header: str | None) -> str:
    """The trace that this header names; a new one, not sampled, where it names none or is not as the standard says."""
    found = _TRACEPARENT.fullmatch(header.strip(" \t")) if header else None
    if found is None or found["version"] == "ff" or (found["version"] == "00" and found["more"] is not None):
        return f"{_fresh(16)}-00"
    if not int(found["trace"], 16) or not int(found["parent"], 16):
        return f"{_fresh(16)}-00"
    return f"{found['trace']}-{int(found['flags'], 16) & SAMPLED:02x}"


def trace_id(trace: str) -> str:
    """The id alone, as log lines and incidents show it; empty for no trace."""
    return trace.partition("-")[0]


@contextmanager
def current(trace: str | None) -> Iterator[None]:
    """Inside, log lines name this trace and calls go on with it. Does nothing for what is no trace."""
    if not trace or not _KEPT.fullmatch(trace):
        yield
        return
    before = _current.set(trace)
    try:
        with structlog.contextvars.bound_contextvars(trace_id=trace_id(trace)):
            yield
    finally:
        _current.reset(before)


def call_headers() -> dict[str, str]:
    """What a call made now carries: a span of its own of the current trace; nothing outside of one."""
    trace = _current.get()
    if not trace:
        return {}
    ident, _, flags = trace.partition("-")
    return {HEADER: f"00-{ident}-{_fresh(8)}-{flags}"}


def _fresh(size: int) -> str:
    """An id of so many random bytes; one of zeros alone names nothing."""
    return next(text for text in iter(lambda: secrets.token_hex(size), "") if int(text, 16))
