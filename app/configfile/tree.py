"""A YAML file as a tree that knows its lines and collects its own faults.

The reader asks for what it wants (``text``, ``number``, ``choice``) and always gets an answer it can go on with; what
was wrong is noted in ``faults`` with path, line and remedy, so that one reading names everything at once.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, TypeVar

from app.errors import Fault, meant, one_of, told

if TYPE_CHECKING:
    from ruamel.yaml.events import Event

MAX_FILE_BYTES = 256 * 1024
MAX_DEPTH = 16
MAX_TEXT_CHARS = 4_000

Word = TypeVar("Word", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Node:
    """One value of the file with its place. ``faults`` is one list for the whole tree."""

    value: Any
    path: str
    line: int | None
    faults: list[Fault]

    def fault(self, problem: str, remedy: str = "") -> None:
        """Note that this value is wrong."""
        self.faults.append(Fault(self.path, problem, remedy, self.line))

    def only(self, *allowed: str) -> "Node":
        """This section; every key that is not among the allowed ones is a fault."""
        for key in self._mapping():
            if key not in allowed:
                self._at(key).fault("unknown key", meant(str(key), allowed))
        return self

    def keys(self) -> tuple[str, ...]:
        """The keys of this section, in the order of the file; one that is no text is a fault."""
        for key in self._mapping():
            if not isinstance(key, str):
                self._at(key).fault("a key must be a text", "put it in quotes")
        return tuple(key for key in self._mapping() if isinstance(key, str))

    def has(self, key: str) -> bool:
        """Whether the key is written at all, even with nothing after it."""
        return key in self._mapping()

    def get(self, key: str) -> "Node":
        """The value under a key; a node of None where there is none."""
        return self._at(key)

    def section(self, key: str) -> "Node":
        """The section under a key; an empty one where there is none. Anything else but a section is a fault."""
        node = self._at(key)
        if node.value is not None and not isinstance(node.value, dict):
            node.fault(f"must be a section of keys and values, not {told(node.value)}")
        return node

    def items(self) -> "tuple[Node, ...]":
        """The members of this list; none where nothing is written."""
        if self.value is None:
            return ()
        if not isinstance(self.value, list):
            self.fault(f"must be a list, not {told(self.value)}", "begin each entry with a dash")
            return ()
        return tuple(
            Node(item, f"{self.path}[{index}]", _line(self.value, index) or self.line, self.faults)
            for index, item in enumerate(self.value)
        )

    def text(self, key: str, *, needed: bool = False, max_chars: int = MAX_TEXT_CHARS) -> str | None:
        """The text under a key, not blank and at most ``max_chars`` long; None where there is none or it is wrong."""
        node = self._at(key)
        if node.value is None:
            if needed:
                node.fault("is missing")
            return None
        if not isinstance(node.value, str):
            node.fault(f"must be a text, not {told(node.value)}", "put it in quotes")
            return None
        if not node.value.strip() or len(node.value) > max_chars:
            node.fault(f"must have 1 to {max_chars} characters")
            return None
        return str(node.value)

    def number(self, key: str, *, least: float = 0, over: bool = False, most: float = math.inf) -> float | None:
        """The number under a key, at least ``least`` (above it with ``over``) and at most ``most``."""
        node = self._at(key)
        if node.value is None:
            return None
        number = node.value
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            node.fault(f"must be a number, not {told(number)}")
            return None
        if not least <= number <= most or (over and number == least):
            upper = "" if most == math.inf else f" and at most {most:g}"
            node.fault(f"is {number:g}", f"must be {'more than' if over else 'at least'} {least:g}{upper}")
            return None
        return float(number)

    def flag(self, key: str, default: bool) -> bool:
        """The boolean under a key."""
        node = self._at(key)
        if node.value is None:
            return default
        if not isinstance(node.value, bool):
            node.fault(f"must be true or false, not {told(node.value)}")
            return default
        return node.value

    def choice(self, key: str, words: type[Word], *, needed: bool = False) -> Word | None:
        """The word under a key, one of an enumeration's."""
        node = self._at(key)
        if node.value is None:
            if needed:
                node.fault("is missing", f"write {one_of(words)}")
            return None
        if not isinstance(node.value, str) or node.value not in list(words):
            node.fault(f"is {told(node.value)}", f"must be {one_of(words)}")
            return None
        return words(node.value)

    def _mapping(self) -> Mapping[Any, Any]:
        return self.value if isinstance(self.value, dict) else {}

    def _at(self, key: Any) -> "Node":
        path = f"{self.path}.{key}" if self.path else str(key)
        line = _line(self.value, key) if key in self._mapping() else None
        return Node(self._mapping().get(key), path, line or self.line, self.faults)


def read(text: str) -> Node:
    """The tree of a YAML text. Where it is no YAML, the tree is empty and holds the one fault that says why.

    Aliases, tags and deep nesting are refused before anything is built, so that a small file stays a small tree.
    """
    from ruamel.yaml import YAML  # where there is no file, no process carries its reader
    from ruamel.yaml.error import YAMLError

    faults: list[Fault] = []
    value = None
    try:
        refused = _refused(YAML(typ="rt", pure=True).parse(text))
        if refused is None:
            value = YAML(typ="rt", pure=True).load(text)
    except (YAMLError, ValueError, OverflowError) as fault:
        refused = Fault("", _first_words(fault), "", _fault_line(fault))
    if refused is not None:
        faults.append(refused)
    root = Node(value, "", None, faults)
    if value is not None and not isinstance(value, dict):
        root.fault(f"the file must be a section of keys and values, not {told(value)}")
    return root


def plain(value: Any) -> Any:
    """A YAML value as JSON knows it, without the loader's own types."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, float) else str(value)


def _refused(events: "Iterable[Event]") -> Fault | None:
    from ruamel.yaml.events import CollectionEndEvent, CollectionStartEvent

    depth = 0
    for event in events:
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        problem = _unwanted(event) or (f"nests deeper than {MAX_DEPTH} levels" if depth > MAX_DEPTH else "")
        if problem:
            return Fault("", problem, "", event.start_mark.line + 1)
    return None


def _unwanted(event: "Event") -> str:
    from ruamel.yaml.events import AliasEvent, CollectionStartEvent, ScalarEvent

    if isinstance(event, AliasEvent) or getattr(event, "anchor", None):
        return "anchors and aliases (& and *) are not read; write the value out, or put it in quotes"
    if isinstance(event, ScalarEvent | CollectionStartEvent) and event.tag is not None:
        return f"the tag {event.tag} is not read; write the plain value"
    return ""


def _first_words(fault: Exception) -> str:
    problem = getattr(fault, "problem", None) or str(fault).partition("\n")[0]
    problem = problem.partition(" with value ")[0]  # of a key written twice: its value may be a secret
    return f"is no YAML: {problem}"


def _fault_line(fault: Exception) -> int | None:
    mark = getattr(fault, "problem_mark", None)
    return None if mark is None else mark.line + 1


def _line(collection: Any, key: Any) -> int | None:
    """The line of a key or of a list's member, as ruamel.yaml remembers it; None where it does not."""
    places: Any = getattr(collection, "lc", None)
    try:
        place = places.item(key) if isinstance(collection, list) else places.key(key)
        return int(place[0]) + 1
    except (AttributeError, KeyError, TypeError):
        return None
