"""Logging: events of ours and records of libraries leave through one formatter, as one JSON object a line.

On a terminal (or with ``LOG_FORMAT=console``) the same events are coloured columns. Everything goes to standard error,
so that what a command prints can be piped. Values under names that look like secrets are masked, the secrets of this
process are concealed wherever they turn up, and no text from outside can begin a line or steer a terminal.
"""

import json
import logging
import os
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any, TextIO, cast
from urllib.parse import urlsplit

# structlog draws in rich when it is installed, which costs every process 5 MiB; nothing here renders with it.
_BLOCKED = "rich" not in sys.modules
if _BLOCKED:
    sys.modules["rich"] = None  # type: ignore[assignment]
try:
    import structlog
    from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger
finally:
    if _BLOCKED:
        del sys.modules["rich"]

FORMATS = ("json", "console")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
MASK = "***"
MAX_FRAMES = 20
SHORTEST_CONCEALED = 4
"""A shorter secret would blank half the log."""

SECRET_NAME = re.compile(
    r"(?:secrets?|tokens?|passw(?:or)?d|authorization|cookies?|credentials?|signatures?"
    r"|(?:api|integration|routing|secret|private|admin)_?keys?|database_?url|dsn)$",
    re.IGNORECASE,
)
UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]")
"""Control characters, separators, and what turns the direction of writing round."""

SECRET_PATH = re.compile(r"^((?:[a-z]+://[^/]*)?(?:/+console/+link/|/+e/)).*", re.DOTALL | re.IGNORECASE)
"""What follows lets in whoever knows it."""

TALKATIVE = ("dbos", "alembic")
"""Libraries that say a line for each migration and plugin: heard from WARNING on, or with LOG_LEVEL=DEBUG."""

_concealed: set[str] = set()


def configure(form: str | None, level: str = "INFO", stream: TextIO | None = None, for_good: bool = False) -> None:
    """Send every log line of this process to ``stream`` (standard error) in one form.

    ``form``: ``json``, ``console``, or None: console on a terminal, else json. ``level``: a name of ``LEVELS``.
    May be called again, unless it was ``for_good``: then every logger keeps what it has at its first line, which saves
    a server a third of each line's cost. Handlers of others are left alone.
    """
    root = logging.getLogger()
    for handler in [one for one in root.handlers if isinstance(one, _Handler)]:
        root.removeHandler(handler)
    handler = _Handler(stream)
    handler.form = form or ("console" if handler.stream.isatty() else "json")
    handler.setFormatter(_formatter(handler.form, handler.stream))
    root.addHandler(handler)
    root.setLevel(level)
    named = structlog.stdlib.LoggerFactory(ignore_frame_names=[__name__])
    structlog.configure(
        processors=[*_common(), _whole],
        logger_factory=lambda *names: _Ours(named(*names).name, handler),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        cache_logger_on_first_use=for_good,
    )
    # DBOS adds a handler of its own, and keeps its records to itself, unless it finds one.
    dbos = logging.getLogger("dbos")
    dbos.handlers, dbos.propagate = [logging.NullHandler()], True
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(level if level == "DEBUG" else max(logging.WARNING, root.level))
    logging.captureWarnings(True)
    sys.excepthook, threading.excepthook = _process_broke, _thread_broke


def configure_from(environ: Mapping[str, str]) -> None:
    """Configure from ``LOG_FORMAT`` and ``LOG_LEVEL``, taking a malformed value for an absent one.

    For the lines before the settings are read; whoever reads them reports the malformed value.
    """
    form, level = environ.get("LOG_FORMAT", "").lower(), environ.get("LOG_LEVEL", "").upper()
    configure(form if form in FORMATS else None, level if level in LEVELS else "INFO")


def refuse(event: str, message: str) -> None:
    """Say why this process ends, in one event; people at a console get the words as they are, line by line."""
    handler = next(one for one in logging.getLogger().handlers if isinstance(one, _Handler))
    if handler.form == "json":
        structlog.get_logger().critical(event, message=message)
        return
    for line in message.splitlines():
        handler.stream.write(_escaped(line) + "\n")


def conceal(secrets: Iterable[str]) -> None:
    """Never let these texts leave through a log line of this process, whatever they are part of."""
    for secret in secrets:
        if len(secret) >= SHORTEST_CONCEALED:
            _concealed.update((secret, json.dumps(secret)[1:-1]))


def without_link(path: str) -> str:
    """A path without what follows in it where that is a secret: one-time links and evidence links."""
    return SECRET_PATH.sub(r"\1…", path)


def hidden_in(record: Any) -> Iterator[str]:
    """The texts in the fields a dataclass keeps out of its ``repr``: its secrets, of URLs the password. An address of
    the web without one is a secret itself, and libraries log the part behind its host alone."""
    for field in fields(record):
        value = getattr(record, field.name)
        if is_dataclass(value):
            yield from hidden_in(value)
        elif not field.repr:
            yield from _texts(value)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        url = urlsplit(value if "://" in value else "")
        yield url.password or value
        if url.scheme in ("http", "https"):
            yield from (url.path, f"{url.path}?{url.query}")
    elif isinstance(value, Mapping | Sequence):
        yield from (text for item in (value.values() if isinstance(value, Mapping) else value) for text in _texts(item))


def _common() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        mask,
    ]


def _formatter(form: str, stream: TextIO) -> structlog.stdlib.ProcessorFormatter:
    last: list[Processor]
    if form == "console":
        plain = structlog.dev.plain_traceback
        columns = structlog.dev.ConsoleRenderer(colors=stream.isatty(), exception_formatter=plain, pad_event_to=28)
        last = [structlog.processors.ExceptionRenderer(_indented), _printable, columns]
    else:
        transformer = structlog.tracebacks.ExceptionDictTransformer(show_locals=False, max_frames=MAX_FRAMES)
        last = [_add_pid, structlog.processors.ExceptionRenderer(transformer), structlog.processors.JSONRenderer(_json)]
    first = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=_common(), processors=[first, *last, _conceal])


def _whole(_logger: WrappedLogger, _name: str, event: EventDict) -> tuple[tuple[EventDict], dict[str, Any]]:
    return (event,), {}


class _Ours:
    """Says events of ours. To make a record of the library's out of each costs as much as everything else about it."""

    __slots__ = ("_handler", "name")

    def __init__(self, name: str, handler: "_Handler") -> None:
        self.name, self._handler = name, handler

    def _say(self, event: EventDict) -> None:
        self._handler.say(self.name, event)

    debug = info = warning = error = critical = _say


def _json(event: EventDict, default: Callable[[Any], Any]) -> str:
    return _encoder(default).encode(event)


@lru_cache(1)
def _encoder(default: Callable[[Any], Any]) -> json.JSONEncoder:
    return json.JSONEncoder(default=default)


def _add_pid(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    event["pid"] = os.getpid()
    return event


def mask(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    """Blank the text under every name that looks like a secret's, at any depth."""
    if not any(isinstance(value, dict) or _names_a_secret(name) for name, value in event.items()):
        return event
    return {name: _masked(name, value) for name, value in event.items()}


def _masked(name: object, value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _masked(key, item) for key, item in value.items()}
    if isinstance(name, str) and value and not isinstance(value, bool | int | float) and _names_a_secret(name):
        return MASK
    return value


@lru_cache(1024)
def _names_a_secret(name: str) -> bool:
    return SECRET_NAME.search(name) is not None


def _indented(exc_info: ExcInfo) -> str:
    """A stack whose lines cannot be taken for log lines, whatever the error's message holds."""
    lines = "".join(traceback.format_exception(*exc_info)).splitlines()
    return "\n".join(f"  | {_escaped(line)}" for line in lines)


def _printable(_logger: WrappedLogger, _name: str, event: EventDict) -> EventDict:
    def plain(value: Any) -> Any:
        return (
            value
            if isinstance(value, bool | int | float | None)
            else _escaped(value if isinstance(value, str) else repr(value))
        )

    return {name: value if name == "exception" else plain(value) for name, value in event.items()}


def _escaped(text: str) -> str:
    return UNPRINTABLE.sub(lambda found: found.group().encode("unicode_escape", "surrogatepass").decode(), text)


def _conceal(_logger: WrappedLogger, _name: str, line: Any) -> Any:
    for secret in _concealed:
        if secret in line:
            line = line.replace(secret, MASK)
    return line


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to standard error as it is at that moment, unless given a stream; fails in one line, never in a stack."""

    form = "json"

    def __init__(self, stream: TextIO | None) -> None:
        self._given = stream
        super().__init__(stream)

    @property
    def stream(self) -> TextIO:
        return self._given or sys.stderr

    @stream.setter
    def stream(self, _stream: TextIO) -> None:
        """The base class sets it once; what counts is ``_given``."""

    def say(self, name: str, event: Any) -> None:
        """Write one event of ours."""
        formatter = cast(structlog.stdlib.ProcessorFormatter, self.formatter)
        try:
            for process in formatter.processors[1:]:  # the first takes out what records alone have
                event = process(None, name, event)
            with cast(threading.RLock, self.lock):
                self.stream.write(f"{event}\n")
                self.flush()
        except Exception:
            self._say_failed(name)

    def handleError(self, record: logging.LogRecord) -> None:
        self._say_failed(record.name)

    def _say_failed(self, name: str) -> None:
        kind = sys.exc_info()[0]
        line = {"event": "log.failed", "level": "error", "logger": name, "error": kind.__name__ if kind else ""}
        try:
            self.stream.write(json.dumps(line) + "\n")
        except (OSError, ValueError):
            return


def _process_broke(kind: type[BaseException], error: BaseException, stack: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logging.getLogger("process").critical("process.broke", exc_info=(kind, error, stack))


def _thread_broke(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_value is not None and not issubclass(failure.exc_type, SystemExit):
        stack = (failure.exc_type, failure.exc_value, failure.exc_traceback)
        name = failure.thread.name if failure.thread else None
        structlog.get_logger("thread").critical("thread.broke", thread=name, exc_info=stack)
