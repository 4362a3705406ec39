"""Every line has one form, whoever says it; none holds a secret; none can be forged."""

import io
import json
import logging
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog

from app import logs
from app.config.settings import Settings


@contextmanager
def configured(form: str | None, level: str = "INFO") -> Iterator[io.StringIO]:
    """A process that logs into this buffer, and afterwards as it did."""
    out = io.StringIO()
    hooks, level_before, config = (
        (sys.excepthook, threading.excepthook),
        logging.getLogger().level,
        structlog.get_config() if structlog.is_configured() else None,
    )
    concealed = set(logs._concealed)
    logs.configure(form, level, out)
    try:
        yield out
    finally:
        root = logging.getLogger()
        root.handlers = [handler for handler in root.handlers if not isinstance(handler, logs._Handler)]
        sys.excepthook, threading.excepthook = hooks
        root.setLevel(level_before)
        structlog.configure(**config) if config is not None else structlog.reset_defaults()
        logs._concealed.clear()
        logs._concealed.update(concealed)
        logging.captureWarnings(False)
        structlog.contextvars.clear_contextvars()


@pytest.fixture
def out() -> Iterator[io.StringIO]:
    with configured("json") as out:
        yield out


@pytest.fixture
def console() -> Iterator[io.StringIO]:
    with configured("console") as out:
        yield out


def lines(out: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.getvalue().splitlines()]


def python(code: str) -> list[dict[str, Any]]:
    """What a process of its own logs."""
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "" == answer.stdout
    return [json.loads(line) for line in answer.stderr.splitlines()]


def test_an_event_of_ours_is_one_json_object_with_its_facts(out: io.StringIO):
    structlog.get_logger().info("alert.accepted", alert_id="a-1", bytes=3)
    (line,) = lines(out)
    assert {"event": "alert.accepted", "level": "info", "alert_id": "a-1", "bytes": 3, "logger": "tests.test_logs"} == {
        name: line[name] for name in ("event", "level", "alert_id", "bytes", "logger")
    }
    assert line["timestamp"].endswith("Z")
    assert line["pid"] > 0


@pytest.mark.parametrize("name", ["gunicorn.error", "werkzeug", "dbos", "anything"])
def test_a_record_of_a_library_has_the_same_form(out: io.StringIO, name: str):
    logging.getLogger(name).warning("listening at %s", "port 1")
    (line,) = lines(out)
    assert ("listening at port 1", "warning", name) == (line["event"], line["level"], line["logger"])


def test_a_warning_of_python_is_a_line_too(out: io.StringIO):
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    (line,) = lines(out)
    assert "py.warnings" == line["logger"]
    assert "old" in line["event"]


def test_what_is_bound_to_the_context_is_in_every_line(out: io.StringIO):
    structlog.contextvars.bind_contextvars(request_id="r-1", link_id=7)
    structlog.get_logger().info("ours.said")
    logging.getLogger("theirs").info("said")
    assert [("r-1", 7)] * 2 == [(line["request_id"], line["link_id"]) for line in lines(out)]


def test_the_level_holds_for_ours_and_theirs():
    with configured("json", "WARNING") as out:
        structlog.get_logger().info("ours.quiet")
        logging.getLogger("theirs").info("quiet")
        structlog.get_logger().warning("ours.loud")
        logging.getLogger("theirs").warning("loud")
        assert ["ours.loud", "loud"] == [line["event"] for line in lines(out)]


def test_an_exception_is_structured_and_shows_no_values(out: io.StringIO):
    def broken(body: str) -> None:
        raise ValueError("no good")

    try:
        broken("prompt of a person")
    except ValueError:
        structlog.get_logger().exception("thing.broke")
        logging.getLogger("theirs").exception("broke")
    for line in lines(out):
        (answer,) = line["exception"]
        assert ("ValueError", "no good") == (answer["exc_type"], answer["exc_value"])
        assert "broken" == answer["frames"][-1]["name"]
    assert "prompt of a person" not in out.getvalue()
    assert "Traceback" not in out.getvalue()


@pytest.mark.parametrize(
    "name",
    [
        "api_key", "API_KEY", "apiKey", "webhook_secret", "webhook_secrets", "authorization", "Authorization", "token",
        "admin_token", "password", "integration_key", "routing_key", "X-PagerDuty-Signature", "cookie", "database_url",
        "Set-Cookie", "secret_key", "credentials",
    ],
)  # fmt: skip
def test_what_is_named_like_a_secret_is_masked_at_any_depth(out: io.StringIO, name: str):
    structlog.get_logger().info("said", **{name: "hush"}, nested={"deeper": {name: ["hush"]}})
    assert "hush" not in out.getvalue()
    assert out.getvalue().count(logs.MASK) == 2


@pytest.mark.parametrize("name", ["incident_key", "dedup_key", "alert_id", "request_id", "reason", "path"])
def test_other_names_are_not_masked(out: io.StringIO, name: str):
    structlog.get_logger().info("said", **{name: "seen"}, secret_index=1)
    assert ("seen", 1) == (lines(out)[0][name], lines(out)[0]["secret_index"])


@pytest.mark.parametrize("form", ["json", "console"])
def test_the_secrets_of_this_process_are_concealed_wherever_they_are(form: str):
    settings = Settings.from_env(
        {
            "TRUTHVOUCH_WEBHOOK_SECRETS": "first-secret,second\u00e9secret",
            "PAGERDUTY_API_KEY": "key-of-a-user",
            "PAGERDUTY_INTEGRATION_KEY_PX": "key-of-a-service",
            "DATABASE_URL": "postgresql://bridge:word-to-pass@db.example.com/bridge",
        }
    )
    with configured(form) as out:
        logs.conceal(logs.hidden_in(settings))
        for secret in ("first-secret", "second\u00e9secret", "key-of-a-user", "key-of-a-service", "word-to-pass"):
            structlog.get_logger().info("said", words=f"it was {secret}!")
            try:
                raise ValueError(secret)
            except ValueError:
                logging.getLogger("theirs").exception("it was %s", secret)
        said = out.getvalue()
    assert [] == [word for word in ("first-secret", "second", "key-of", "word-to-pass") if word in said]
    assert "***" in said


FORGERY = 'a\r\n2026-01-01 [info] forged\x1b[2J\x00\x85\u2028{"event": "forged"}\u202e\ud800'


def test_no_text_can_begin_a_line_in_json(out: io.StringIO):
    structlog.get_logger().info("said", alert_id=FORGERY, nested=[FORGERY])
    logging.getLogger("theirs").warning(FORGERY)
    assert 2 == len(lines(out))
    assert out.getvalue().isascii()


def test_no_text_can_begin_a_line_or_steer_the_terminal_on_a_console(console: io.StringIO):
    structlog.get_logger().info("said", alert_id=FORGERY, nested=[FORGERY])
    logging.getLogger("theirs").warning(FORGERY)
    said = console.getvalue()
    assert 2 == len(said.splitlines())
    assert [] == [mark for mark in "\x1b\x00\r\x85\u2028\u202e\ud800" if mark in said]


def test_no_line_of_a_stack_can_be_taken_for_an_event_on_a_console(console: io.StringIO):
    try:
        raise ValueError(FORGERY)
    except ValueError:
        structlog.get_logger().exception("thing.broke")
    first, *rest = console.getvalue().splitlines()
    assert "thing.broke" in first
    assert rest
    assert [] == [line for line in rest if not line.startswith("  | ")]


SHY = """
import structlog
from app import logs

class Shy:
    def __repr__(self):
        raise RuntimeError("not now")

logs.configure("json")
structlog.get_logger().info("said", who=Shy())
"""


def test_what_cannot_be_shown_costs_one_line_and_no_stack():
    (line,) = python(SHY)
    assert ("log.failed", "RuntimeError") == (line["event"], line["error"])


def test_a_thread_that_breaks_says_so_in_the_same_form(out: io.StringIO):
    def broken() -> None:
        raise ValueError("no good")

    thread = threading.Thread(target=broken, name="relay")
    thread.start()
    thread.join()
    (line,) = lines(out)
    assert ("thread.broke", "relay") == (line["event"], line["thread"])


@pytest.mark.parametrize(("form", "expected"), [(None, "json"), ("json", "json"), ("console", "console")])
def test_without_a_terminal_the_form_is_json(form: str | None, expected: str):
    with configured(form) as out:
        structlog.get_logger().info("said")
        assert (expected == "json") == out.getvalue().startswith("{")


@pytest.mark.parametrize("environ", [{}, {"LOG_FORMAT": "yaml", "LOG_LEVEL": "loud"}, {"LOG_FORMAT": "JSON"}])
def test_a_malformed_setting_is_taken_for_none_until_the_settings_are_read(environ: dict[str, str]):
    code = (
        f"from app import logs; from app.process import supervisor as supervise; logs.configure_from({environ!r}); "
        "supervise.log.info('said')"
    )
    assert ["said"] == [line["event"] for line in python(code)]


def test_a_process_that_breaks_says_so_in_the_same_form():
    code = "from app import logs; logs.configure('json'); raise ValueError('no good')"
    assert ["process.broke"] == [line["event"] for line in python(code)]


def test_logging_does_not_draw_in_rich():
    code = "import sys; from app import logs; print([name for name in sys.modules if name.startswith('rich')])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "[]" == answer.stdout.strip()
