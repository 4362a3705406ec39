"""The part of ``bridge.yaml`` that says how TruthVouch is called and linked to.

All of it is configurable because TruthVouch documents one call only, *resolve*.
https://docs.truthvouch.ai/developers/api/shield
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from app.configfile.tree import Node, plain
from app.domain.rulebook import DEFAULT_DASHBOARD_URL, Call, TruthVouchCalls


class Method(StrEnum):
    """How a TruthVouch call may be made."""

    PATCH = "PATCH"
    POST = "POST"
    PUT = "PUT"


def dashboard_url(section: Node) -> str:
    """The template of the link to an alert: http or https, ``{alert_id}`` its only placeholder."""
    template = section.text("dashboard_url", max_chars=1_000)
    if template is None:
        return DEFAULT_DASHBOARD_URL
    problem = _template_problem(template.strip())
    if problem:
        section.get("dashboard_url").fault(problem, f"write for example {DEFAULT_DASHBOARD_URL}")
    return template.strip()


def _template_problem(template: str) -> str:
    url = template.replace("{alert_id}", "x")
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return "must begin with https:// or http:// and a host"
    except ValueError:
        return "is no web address"
    if "{" in url or "}" in url:
        return "knows no other placeholder than {alert_id}"
    return "" if url.isascii() and url.isprintable() and " " not in url else "holds characters no web address has"


def calls(section: Node) -> TruthVouchCalls:
    """``truthvouch.calls``: what is written is laid over the defaults, call by call."""
    section.only("acknowledge", "resolve", "reopen", "note")
    default = TruthVouchCalls()
    note = section.section("note")
    if note.value is not None and note.get("path").value is None:
        note.get("path").fault("is missing", "TruthVouch documents no notes call: write the path of yours")
    return TruthVouchCalls(
        acknowledge=_call(section.section("acknowledge"), default.acknowledge),
        resolve=_call(section.section("resolve"), default.resolve),
        reopen=_call(section.section("reopen"), default.reopen),
        note=None if note.value is None else _call(note, Call("POST", "", {"note": "{resolution}"})),
    )


def _call(section: Node, default: Call) -> Call:
    section.only("method", "path", "body")
    path = section.text("path", max_chars=1_000)
    if path is not None and _path_problem(path):
        section.get("path").fault(_path_problem(path), "write for example /alerts/{alert_id}")
    body = section.section("body")
    return Call(
        method=section.choice("method", Method) or default.method,
        path=path or default.path,
        body=default.body if body.value is None else _json(body),
    )


def _path_problem(path: str) -> str:
    if not path.startswith("/") or path.startswith("//"):
        return "must begin with one slash; TRUTHVOUCH_API_URL goes before it"
    rest = path.replace("{alert_id}", "").replace("{resolution}", "")
    if "{" in rest or "}" in rest:
        return "knows no other placeholders than {alert_id} and {resolution}"
    return "" if path.isascii() and path.isprintable() and " " not in path else "holds characters no path has"


def _json(body: Node) -> Mapping[str, Any]:
    value: Any = plain(body.value)
    return value if isinstance(value, dict) else {}
