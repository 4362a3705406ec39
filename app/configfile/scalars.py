"""Plain values as YAML text: blocks of their own, or on one line."""

import json
import re
from typing import Any

INDENT = "  "
_PLAIN = re.compile(r"[A-Za-z][\w.@+/-]*(?: [\w.@+/-]+)*", re.ASCII)
_WORDS_OF_YAML = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def _scalar(value: object) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _WORDS_OF_YAML:
        return value
    return "".join(_printable(character) for character in json.dumps(value, ensure_ascii=False))


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    return f"\\u{ord(character):04x}" if ord(character) <= 0xFFFF else f"\\U{ord(character):08x}"


def flow(value: Any) -> str:
    """A value on one line, collections in ``{}`` and ``[]``."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(flow, value)) + "]"
    return _scalar(value)


def lines_of(value: Any) -> list[str]:
    """A value as a block of its own, beginning in the first column."""
    if isinstance(value, dict) and value:
        return [line for key, item in value.items() for line in lines_of_pair(key, item)]
    if isinstance(value, list) and value:
        return [line for item in value for line in lines_of_item(item)]
    return [flow(value)]


def lines_of_pair(key: str, value: Any) -> list[str]:
    """A key of a block, and its value."""
    if isinstance(value, dict | list) and value:
        return [f"{_scalar(key)}:", *(INDENT + line for line in lines_of(value))]
    return [f"{_scalar(key)}: {flow(value)}"]


def lines_of_item(value: Any) -> list[str]:
    """A member of a list in a block."""
    first, *others = lines_of(value)
    return [f"- {first}", *(INDENT + line for line in others)]
