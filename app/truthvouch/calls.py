"""The operator's call templates, filled in. Pure."""

import re
from collections.abc import Mapping
from urllib.parse import quote

_PLACEHOLDER = re.compile(r"\{(alert_id|resolution)\}")


class _Absent(Exception):
    """A template wants a value that nobody gave."""


def path(template: str, alert_id: str) -> str:
    """The path with the alert id in it, percent-encoded whole; a template without a leading slash gets one."""
    filled = template.replace("{alert_id}", quote(alert_id, safe="", errors="replace"))
    return filled if filled.startswith("/") else "/" + filled


def body(template: Mapping[str, object], values: Mapping[str, str | None]) -> dict[str, object]:
    """The body with ``{alert_id}`` and ``{resolution}`` filled in, once: what a value says is never a template.

    A field whose placeholder has no value is left out.
    """
    filled = {}
    for name, value in template.items():
        try:
            filled[name] = _filled(value, values)
        except _Absent:
            continue
    return filled


def _filled(value: object, values: Mapping[str, str | None]) -> object:
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: _given(values, found[1]), value)
    if isinstance(value, Mapping):
        return body(value, values)
    if isinstance(value, list | tuple):
        return [_filled(entry, values) for entry in value]
    return value


def _given(values: Mapping[str, str | None], name: str) -> str:
    value = values.get(name)
    if not value:
        raise _Absent(name)
    return value
