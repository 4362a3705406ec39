"""Changes in a YAML text that leave every other character as it is: comments, order, blanks and quotes.

The loader says where each value begins and ends; only that stretch is written anew. What was meant is known as plain
values too, so a change that did not come out as meant is found by reading the new text, and is a fault.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from app.configfile.places import (
    Node,
    Pair,
    after_colon,
    compose,
    end,
    end_of_pair,
    find,
    in_block,
    insert_lines,
    is_mapping,
    is_nothing,
    line_start,
    newline,
    next_line,
)
from app.configfile.scalars import INDENT, flow, lines_of, lines_of_item, lines_of_pair
from app.configfile.tree import plain, read
from app.errors import ConfigFault, Fault

GONE: Final = object()


def put(text: str, path: str, value: object) -> str:
    """The text with this value at a dotted path; sections on the way are made. None takes the key out.

    A mapping replaces the mapping that is there key by key, so that comments inside it stay.
    Raises ``ConfigFault`` where the text is written in a way that cannot be changed without loss.
    """
    keys, meant = path.split("."), _tree(text)
    new = GONE if value is None else _plain(value)
    _put_plain(meant, keys, new)
    return _checked(_put(text, keys, new), meant)


def put_entry(text: str, section: str, key: str, entry: Mapping[str, object]) -> str:
    """The text with this entry in a list of mappings, in the place of the one with the same ``key``, else at the end.

    Raises ``ConfigFault`` as ``put`` does.
    """
    new, meant = _plain(entry), _tree(text)
    entries = meant.get(section) or []
    at = _index(entries, key, new[key])
    if at is None:
        meant[section] = [*entries, new]
        return _checked(_append(text, section, new), meant)
    if entries[at] == new:
        return text
    entries[at] = new
    return _checked(_exchange(text, section, at, new), meant)


def take_entry(text: str, section: str, key: str, value: str) -> str:
    """The text without the entry whose ``key`` is this value; the text as it is where there is none.

    Raises ``ConfigFault`` as ``put`` does.
    """
    meant = _tree(text)
    entries = meant.get(section) or []
    at = _index(entries, key, value)
    if at is None:
        return text
    del entries[at]
    return _checked(_cut_item(text, section, at, entries), meant)


# ------------------------------------------------------------------------------------------------ as plain values


def _tree(text: str) -> dict[str, Any]:
    root = read(text)
    if root.faults:
        raise ConfigFault("the text", root.faults)
    return plain(root.value) if isinstance(root.value, dict) else {}


def _checked(text: str, meant: Mapping[str, Any]) -> str:
    root = read(text)
    if root.faults or (plain(root.value) or {}) != meant:
        raise ConfigFault("the file", [Fault("", "is written in a way that cannot be changed", "change it by hand")])
    return text


def _plain(value: object) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return plain(value)


def _put_plain(tree: dict[str, Any], keys: Sequence[str], value: object) -> None:
    for key in keys[:-1]:
        if not isinstance(tree.get(key), dict):
            if value is GONE:
                return
            tree[key] = {}
        tree = tree[key]
    if value is GONE:
        tree.pop(keys[-1], None)
    else:
        tree[keys[-1]] = value


def _index(entries: Sequence[Any], key: str, value: object) -> int | None:
    return next((at for at, one in enumerate(entries) if isinstance(one, dict) and one.get(key) == value), None)


# ------------------------------------------------------------------------------------------------ keys


def _put(text: str, keys: Sequence[str], value: Any) -> str:
    root = compose(text)
    if root is None:
        return text if value is GONE else insert_lines(text, len(text), lines_of(_nested(keys, value)), 0)
    mapping = root
    for at, key in enumerate(keys[:-1], start=1):
        found = find(mapping, key)
        if found is None or not is_mapping(found[1]):
            return text if value is GONE else _set(text, mapping, key, _nested(keys[at:], value))
        mapping = found[1]
    if value is GONE:
        return _cut(text, mapping, keys[-1])
    old = find(mapping, keys[-1])
    if old and old[1].value and is_mapping(old[1]) and isinstance(value, dict) and value:
        return _merge(text, keys, [name.value for name, _ in old[1].value], value)
    return _set(text, mapping, keys[-1], value)


def _nested(keys: Sequence[str], value: Any) -> Any:
    for key in reversed(keys):
        value = {key: value}
    return value


def _merge(text: str, keys: Sequence[str], there: Sequence[str], value: Mapping[str, Any]) -> str:
    """One mapping in the place of another, key by key: first what is new, for it may never be empty in between."""
    for inner, item in value.items():
        text = _put(text, [*keys, inner], item)
    for inner in there:
        text = text if inner in value else _put(text, [*keys, inner], GONE)
    return text


def _set(text: str, mapping: Node, key: str, value: Any) -> str:
    found = find(mapping, key)
    if found is None:
        return _add(text, mapping, key, value)
    name, old = found
    if mapping.flow_style or not (isinstance(value, dict | list) and value):
        return _set_inline(text, name, old, flow(value))
    return _set_block(text, name, old, lines_of(value))


def _add(text: str, mapping: Node, key: str, value: Any) -> str:
    if mapping.flow_style:
        return _add_inline(
            text, mapping, [end_of_pair(text, member) for member in mapping.value], flow({key: value})[1:-1]
        )
    after = next_line(text, end_of_pair(text, mapping.value[-1]))
    return insert_lines(text, after, lines_of_pair(key, value), mapping.start_mark.column)


def _add_inline(text: str, collection: Node, ends: Sequence[int], new: str) -> str:
    """One more member of a ``{}`` or ``[]``."""
    if not ends:
        at = collection.start_mark.index + 1
        return text[:at] + new + text[at:]
    return f"{text[: ends[-1]]}, {new}{text[ends[-1] :]}"


def _set_inline(text: str, name: Node, old: Node, new: str) -> str:
    if is_nothing(old) or in_block(old):
        text = text if is_nothing(old) else _without_block(text, old)
        colon = after_colon(text, name)
        return f"{text[:colon]} {new}{text[colon:]}"
    return text[: old.start_mark.index] + new + text[end(text, old) :]


def _set_block(text: str, name: Node, old: Node, lines: Sequence[str]) -> str:
    column = name.start_mark.column + len(INDENT)
    if in_block(old):
        start = line_start(text, old.start_mark.index)
        return insert_lines(_without_block(text, old), start, lines, max(column, old.start_mark.column))
    colon = after_colon(text, name)
    if not is_nothing(old):
        text = text[:colon] + text[end(text, old) :]
    return insert_lines(text, next_line(text, colon), lines, column)


def _without_block(text: str, old: Node) -> str:
    return text[: line_start(text, old.start_mark.index)] + text[next_line(text, end(text, old)) :]


def _cut(text: str, mapping: Node, key: str) -> str:
    found = find(mapping, key)
    if found is None:
        return text
    name = found[0]
    if mapping.flow_style:
        kept = {inner.value: _plain_of(text, value) for inner, value in mapping.value if inner.value != key}
        return text[: mapping.start_mark.index] + flow(kept) + text[mapping.end_mark.index :]
    if len(mapping.value) > 1 or not mapping.start_mark.column:
        return text[: line_start(text, name.start_mark.index)] + text[next_line(text, end_of_pair(text, found)) :]
    return text[: name.start_mark.index] + "{}" + text[end_of_pair(text, found) :]


def _plain_of(text: str, node: Node) -> Any:
    """The plain value of a node that stands inside ``{}`` or ``[]``."""
    return plain(read(f"value: {text[node.start_mark.index : node.end_mark.index]}").value)["value"]


# ------------------------------------------------------------------------------------------------ entries of a list


def _list(text: str, section: str) -> tuple[Node, Pair | None]:
    root = compose(text)
    return root, None if root is None else find(root, section)


def _append(text: str, section: str, entry: dict[str, Any]) -> str:
    root, found = _list(text, section)
    if root is None or found is None or is_nothing(found[1]) or not found[1].value:
        return _put(text, [section], [entry])
    entries = found[1]
    if entries.flow_style:
        return _add_inline(text, entries, [end(text, item) for item in entries.value], flow(entry))
    after = next_line(text, end(text, entries))
    return insert_lines(text, after, lines_of_item(entry), entries.start_mark.column)


def _exchange(text: str, section: str, at: int, entry: dict[str, Any]) -> str:
    found = _list(text, section)[1]
    if found is None:
        return text
    old = found[1].value[at]
    start, stop = old.start_mark.index, end(text, old)
    if old.flow_style:
        return text[:start] + flow(entry) + text[stop:]
    margin = newline(text) + " " * int(old.start_mark.column)
    return text[:start] + margin.join(lines_of(entry)) + text[stop:]


def _cut_item(text: str, section: str, at: int, left: Sequence[Any]) -> str:
    found = _list(text, section)[1]
    if found is None:
        return text
    name, entries = found
    if not left or entries.flow_style:
        return _set_inline(text, name, entries, flow(list(left)))
    item = entries.value[at]
    dash = text.rindex("-", 0, item.start_mark.index)
    return text[: line_start(text, dash)] + text[next_line(text, end(text, item)) :]
