"""Changes to ``bridge.yaml`` by commands and by ``PagerDutyHandler``: what they do not touch stays as it was written.

A file that was broken before is left alone, and one that would be broken afterwards is never written. The new file is
whole or not there: it is written beside the old one, brought to the disk and put into its place in one step.
"""

import contextlib
import errno
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from app.configfile.keys import is_secret, masked
from app.configfile.lines import put, put_entry, take_entry
from app.configfile.reading import parse
from app.configfile.tree import MAX_FILE_BYTES, plain, read
from app.errors import ConfigFault, Fault, told

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
    """Write each value at its dotted path, for example ``{"pagerduty.service_id": "P1"}``; None takes the key out.

    A mapping replaces the section that is there (``{"severity_map": {"critical": "high"}}``). The answer is one line
    for each value that is another one now, secrets masked; empty when everything was so already.
    Raises ``ConfigFault``, and then the file is as it was.
    """

    def change(text: str) -> str:
        for dotted, value in values.items():
            text = put(text, dotted, value)
        return text

    old, new, remarks = _edit(path, change)
    return (*_differences(_leaves(old), _leaves(new)), *remarks)


def upsert(path: Path, section: str, key: str, entry: Mapping[str, object]) -> tuple[str, ...]:
    """Put an entry into a list of mappings (``rules``), over the one with the same ``key`` (``name``) if there is one.

    A new one goes to the end. The answer says whether it was added or changed; empty when it was so already.
    Raises ``ConfigFault``, and then the file is as it was.
    """
    old, new, remarks = _edit(path, lambda text: put_entry(text, section, key, entry))
    before, after = _entry(old, section, key, entry[key]), _entry(new, section, key, entry[key])
    if before == after:
        return remarks
    return (f"{section}: {told(entry[key])} {'added' if before is None else 'changed'}", *remarks)


def remove(path: Path, section: str, key: str, value: str) -> tuple[str, ...]:
    """Take an entry out of a list of mappings. The answer says so; empty when there was none.

    Raises ``ConfigFault``, and then the file is as it was.
    """
    old, _, remarks = _edit(path, lambda text: take_entry(text, section, key, value))
    gone = _entry(old, section, key, value) is not None
    return (*((f"{section}: {told(value)} removed",) if gone else ()), *remarks)


# ------------------------------------------------------------------------------------------------ one change

Tree = Mapping[str, Any]


def _edit(path: Path, change: Callable[[str], str]) -> tuple[Tree, Tree, tuple[str, ...]]:
    """The values before and after, and what else is to be told. Two changes at once come one after the other."""
    place = path.resolve()  # a link stays a link
    with _told_of(path), _alone(place.parent):
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
def _told_of(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        remedy = _REMEDIES.get(fault.errno or 0, "see to the file and its folder")
        problem = f"cannot be changed: {fault.strerror}"
        raise ConfigFault(str(path), [Fault("", problem, f"nothing was written; {remedy}")]) from fault


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
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigFault(str(place), [Fault("", f"is larger than {MAX_FILE_BYTES // 1024} KiB")])
    try:
        return raw.decode("utf-8-sig"), _MARK if raw.startswith(_MARK) else b"", status
    except UnicodeDecodeError as fault:
        raise ConfigFault(str(place), [Fault("", "is not written in UTF-8")]) from fault


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
    return any(is_secret(path) and value for path, value in _leaves(_values(text)).items())


def _entry(tree: Tree, section: str, key: str, value: object) -> Any:
    entries = tree.get(section) or ()
    return next((one for one in entries if isinstance(one, dict) and one.get(key) == value), None)


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
    if not is_secret(path):
        return told(value)
    return ", ".join(map(masked, value)) if isinstance(value, list) else masked(str(value))
