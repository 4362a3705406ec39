"""Changes to ``bridge.yaml`` by commands and by ``PagerDutyHandler``. Every other character stays as it is: comments,
order, blanks and quotes.

A file that was broken before is left alone, and one that would be broken afterwards is never written: ``ConfigFault``
says why. The new file is whole or not there: it is written beside the old one, brought to the disk and put into its
place in one step.
"""

import contextlib
import errno
import fcntl
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from app.config.bridge_yaml import decoded, parse
from app.config.schema import MAX_FILE_BYTES, SECRETS, masked, plain, read
from app.errors import ConfigFault, Fault, describe

Node = Any
"""A node of the loader, which has no types for what is asked of it here: kind, style and marks."""
Pair = tuple[Node, Node]
"""A key and its value."""

# The loader says where each value begins and ends; only that stretch is written anew. What was meant is known as plain
# values too, so a change that did not come out as meant is found by reading the new text, and is a fault.


def put(text: str, path: str, value: object) -> str:
    """The text with this value at a dotted path; sections on the way are made.

    Raises ``ConfigFault`` where the text is written in a way that cannot be changed without loss.
    """
    keys, meant = path.split("."), _tree(text)
    new = _plain(value)
    inner = meant
    for key in keys[:-1]:
        if not isinstance(inner.get(key), dict):
            inner[key] = {}
        inner = inner[key]
    inner[keys[-1]] = new
    return _checked(_put(text, keys, new), meant)


def put_entry(text: str, section: str, key: str, entry: Mapping[str, object]) -> str:
    """The text with this entry in a list of mappings, over the one with the same ``key``, else at the end."""
    new, meant = _plain(entry), _tree(text)
    entries = meant.get(section) or []
    old = _entry(entries, key, new[key])
    if old is None:
        meant[section] = [*entries, new]
        return _checked(_append(text, section, new), meant)
    if old == new:
        return text
    at = entries.index(old)
    entries[at] = new
    return _checked(_exchange(text, section, at, new), meant)


def take_entry(text: str, section: str, key: str, value: str) -> str:
    """The text without the entry whose ``key`` is this value; the text as it is where there is none."""
    meant = _tree(text)
    entries = meant.get(section) or []
    old = _entry(entries, key, value)
    if old is None:
        return text
    at = entries.index(old)
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


def _entry(entries: Sequence[Any], key: str, value: object) -> Any:
    return next((one for one in entries if isinstance(one, dict) and one.get(key) == value), None)


# ------------------------------------------------------------------------------------------------ keys


def _put(text: str, keys: Sequence[str], value: Any) -> str:
    mapping = compose(text)
    if mapping is None:
        return insert_lines(text, len(text), lines_of(_nested(keys, value)), 0)
    for at, key in enumerate(keys[:-1], start=1):
        found = find(mapping, key)
        if found is None or not is_mapping(found[1]):
            return _set(text, mapping, key, _nested(keys[at:], value))
        mapping = found[1]
    return _set(text, mapping, keys[-1], value)


def _nested(keys: Sequence[str], value: Any) -> Any:
    for key in reversed(keys):
        value = {key: value}
    return value


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


# ---------------------------------------------------------------- where the values stand that the loader found


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


# ---------------------------------------------------------------- plain values as YAML text

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


# ---------------------------------------------------------------------------------------------------------------- edit

PRIVATE = 0o600
"""The mode of a file that holds credentials."""
_REMEDIES = {
    errno.EBUSY: "it is mounted as a single file, which nothing can replace: mount its folder and set BRIDGE_CONFIG",
    errno.EROFS: "it lies where nothing can be written: change it where it comes from",
    errno.ENOSPC: "make room on the disk",
}
"""What to do about it, where the system's words do not say."""
_MARK = b"\xef\xbb\xbf"


def set_values(path: Path, values: Mapping[str, object]) -> tuple[str, ...]:
    """Write each value at its dotted path, for example ``{"pagerduty.service_id": "P1"}``. The answer is one line for
    each value that is another one now, secrets masked; empty when everything was so already."""

    def change(text: str) -> str:
        for dotted, value in values.items():
            text = put(text, dotted, value)
        return text

    old, new, remarks = _edit(path, change)
    return (*_differences(_leaves(old), _leaves(new)), *remarks)


def upsert(path: Path, section: str, key: str, entry: Mapping[str, object]) -> tuple[str, ...]:
    """Put an entry into a list of mappings (``rules``), over the one with the same ``key`` (``name``) if there is one.

    A new one goes to the end. The answer says whether it was added or changed; empty when it was so already."""
    old, new, remarks = _edit(path, lambda text: put_entry(text, section, key, entry))
    before, after = (_entry(tree.get(section) or (), key, entry[key]) for tree in (old, new))
    if before == after:
        return remarks
    return (f"{section}: {describe(entry[key])} {'added' if before is None else 'changed'}", *remarks)


def remove(path: Path, section: str, key: str, value: str) -> tuple[str, ...]:
    """Take an entry out of a list of mappings. The answer says so; empty when there was none."""
    old, _, remarks = _edit(path, lambda text: take_entry(text, section, key, value))
    gone = _entry(old.get(section) or (), key, value) is not None
    return (*((f"{section}: {describe(value)} removed",) if gone else ()), *remarks)


# ------------------------------------------------------------------------------------------------ one change

Tree = Mapping[str, Any]


def _edit(path: Path, change: Callable[[str], str]) -> tuple[Tree, Tree, tuple[str, ...]]:
    """The values before and after, and what else is to be told. Two changes at once come one after the other."""
    try:
        return _edit_alone(path, change)
    except OSError as fault:
        remedy = f"nothing was written; {_REMEDIES.get(fault.errno or 0, 'see to the file and its folder')}"
        raise ConfigFault(str(path), [Fault("", f"cannot be changed: {fault.strerror}", remedy)]) from fault


def _edit_alone(path: Path, change: Callable[[str], str]) -> tuple[Tree, Tree, tuple[str, ...]]:
    place = path.resolve()  # a link stays a link
    with _alone(place.parent):
        text, mark, status = _read(place)
        parse(text, str(path))
        try:
            new = change(text)
        except ConfigFault as fault:
            raise ConfigFault(str(path), fault.faults) from fault
        parse(new, str(path))
        remarks: tuple[str, ...] = ()
        mode = PRIVATE if status is None else status.st_mode & 0o777
        if status is not None and mode != PRIVATE and _holds_secrets(new):
            remarks = (f"mode: 0600 (was {mode:04o}), because the file holds keys",)
            mode = PRIVATE
        if new != text or remarks or status is None:
            _replace(place, mark + new.encode(), mode, status)
    return _values(text), _values(new), remarks


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Only one process changes files in this folder; where the disk knows no locks, nobody is kept out."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(place: Path) -> tuple[str, bytes, os.stat_result | None]:
    """The text, the byte order mark before it, and what the file is; of a file that is not there, nothing."""
    try:
        with place.open("rb") as file:
            status, raw = os.fstat(file.fileno()), file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return "", b"", None
    return decoded(raw, place), _MARK if raw.startswith(_MARK) else b"", status


def _replace(place: Path, content: bytes, mode: int, status: os.stat_result | None) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if status is not None:
                with contextlib.suppress(PermissionError):
                    os.fchown(file.fileno(), status.st_uid, status.st_gid)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


# ------------------------------------------------------------------------------------------------ what changed


def _values(text: str) -> Tree:
    return plain(read(text).value) or {}


def _holds_secrets(text: str) -> bool:
    return any(path in SECRETS and value for path, value in _leaves(_values(text)).items())


def _leaves(tree: Tree, before: str = "") -> dict[str, Any]:
    """Every value that is no section, by its dotted path."""
    found: dict[str, Any] = {}
    for key, value in tree.items():
        inner = _leaves(value, f"{before}{key}.") if isinstance(value, dict) and value else {f"{before}{key}": value}
        found.update(inner)
    return found


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for path in dict.fromkeys((*new, *old)):
        before, after = old.get(path), new.get(path)
        if before != after:
            was = f" (was {_shown(path, before)})" if before is not None else ""
            yield f"{path}: {'removed' if after is None else _shown(path, after)}{was}"


def _shown(path: str, value: Any) -> str:
    if path not in SECRETS:
        return describe(value)
    return ", ".join(map(masked, value)) if isinstance(value, list) else masked(str(value))
