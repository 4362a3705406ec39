"""Where in a YAML text the values stand that its loader found."""

from collections.abc import Sequence
from typing import Any

Node = Any
"""A node of the loader, which has no types for what is asked of it here: kind, style and marks."""
Pair = tuple[Node, Node]
"""A key and its value."""


def compose(text: str) -> Node:
    """The outermost node; None where the text says nothing."""
    from ruamel.yaml import YAML

    return YAML(typ="rt", pure=True).compose(text)


def find(mapping: Node, key: str) -> Pair | None:
    """A key of a mapping and its value; None where the key is not written."""
    return next(((name, value) for name, value in mapping.value if name.value == key), None)


def is_mapping(node: Node) -> bool:
    """Whether it is a section of keys and values."""
    return bool(node.id == "mapping")


def is_nothing(node: Node) -> bool:
    """Whether nothing is written where the value would stand; the marks of such a value say nothing."""
    return bool(node.id == "scalar" and node.value == "" and str(node.tag).endswith(":null"))


def in_block(node: Node) -> bool:
    """Whether it is a collection written over lines, without braces."""
    return bool(node.id != "scalar" and not node.flow_style)


def after_colon(text: str, name: Node) -> int:
    """Where the place for a key's value begins."""
    return text.index(":", name.end_mark.index) + 1


def end(text: str, node: Node) -> int:
    """Where the last character of a value stands, plus one. A block's own mark lies behind comments that follow it."""
    if in_block(node):
        if not is_mapping(node):
            return end(text, node.value[-1])
        return end_of_pair(text, node.value[-1])
    start = int(node.start_mark.index)
    return start + len(text[start : node.end_mark.index].rstrip())


def end_of_pair(text: str, pair: Pair) -> int:
    """Where the last character of a key and its value stands, plus one."""
    name, value = pair
    return after_colon(text, name) if is_nothing(value) else end(text, value)


def line_start(text: str, at: int) -> int:
    """Where the line begins that holds this character."""
    return text.rfind("\n", 0, at) + 1


def next_line(text: str, at: int) -> int:
    """Where the line behind this character begins."""
    found = text.find("\n", at)
    return len(text) if found < 0 else found + 1


def newline(text: str) -> str:
    """How this text ends its lines."""
    return "\r\n" if "\r\n" in text else "\n"


def insert_lines(text: str, at: int, lines: Sequence[str], column: int) -> str:
    """The text with these lines, so far to the right, before the line that begins at ``at``."""
    before = text[:at] if not at or text[at - 1] == "\n" else text[:at] + newline(text)
    return before + "".join(" " * column + line + newline(text) for line in lines) + text[at:]
