"""A YAML file as a tree that knows its lines and collects its own faults.

The reader asks for what it wants (``text``, ``number``, ``choice``) and always gets an answer it can go on with; what
was wrong is noted in ``faults`` with path, line and remedy, so that one reading names everything at once.

The credentials that ``bridge.yaml`` may hold. They are read at the start, and the environment beats them.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from app.config.environment import E_MAIL_REMEDY, SENT_IN_HEADERS, e_mail_problem, secret_problem, url_problem
from app.errors import Fault, describe, meant, one_of

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
        for key in [key for key in self._mapping() if key not in allowed]:
            self.get(key).fault("unknown key", meant(str(key), allowed))
        return self

    def keys(self) -> tuple[str, ...]:
        """The keys of this section, in the order of the file; one that is no text is a fault."""
        for key in self._mapping():
            if not isinstance(key, str):
                self.get(key).fault("a key must be a text", "put it in quotes")
        return tuple(key for key in self._mapping() if isinstance(key, str))

    def has(self, key: str) -> bool:
        """Whether the key is written at all, even with nothing after it."""
        return key in self._mapping()

    def get(self, key: Any) -> "Node":
        """The value under a key; a node of None where there is none."""
        path = f"{self.path}.{key}" if self.path else str(key)
        line = _line(self.value, key) if key in self._mapping() else None
        return Node(self._mapping().get(key), path, line or self.line, self.faults)

    def section(self, key: str) -> "Node":
        """The section under a key; an empty one where there is none. Anything else but a section is a fault."""
        node = self.get(key)
        if node.value is not None and not isinstance(node.value, dict):
            node.fault(f"must be a section of keys and values, not {describe(node.value)}")
        return node

    def is_entry(self, of_kind: str) -> bool:
        """Whether this is a section, as an entry ``of_kind`` has to be. Anything else is a fault."""
        if not isinstance(self.value, dict):
            self.fault(f"must be {of_kind}, not {describe(self.value)}")
        return isinstance(self.value, dict)

    def items(self) -> "tuple[Node, ...]":
        """The members of this list; none where nothing is written."""
        if self.value is None:
            return ()
        if not isinstance(self.value, list):
            self.fault(f"must be a list, not {describe(self.value)}", "begin each entry with a dash")
            return ()
        return tuple(
            Node(item, f"{self.path}[{index}]", _line(self.value, index) or self.line, self.faults)
            for index, item in enumerate(self.value)
        )

    def text(self, key: str, *, needed: bool = False, max_chars: int = MAX_TEXT_CHARS) -> str | None:
        """The text under a key, not blank and at most ``max_chars`` long; None where there is none or it is wrong."""
        node = self.get(key)
        text = node.value
        if text is None and needed:
            node.fault("is missing")
        elif text is not None and not isinstance(text, str):
            node.fault(f"must be a text, not {describe(text)}", "put it in quotes")
        elif text is not None and not (text.strip() and len(text) <= max_chars):
            node.fault(f"must have 1 to {max_chars} characters")
        elif text is not None:
            return str(text)
        return None

    def number(self, key: str, *, least: float = 0, over: bool = False, most: float = math.inf) -> float | None:
        """The number under a key, at least ``least`` (above it with ``over``) and at most ``most``."""
        node = self.get(key)
        number = node.value
        if number is None:
            return None
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            node.fault(f"must be a number, not {describe(number)}")
            return None
        if not least <= number <= most or (over and number == least):
            upper = "" if most == math.inf else f" and at most {most:g}"
            node.fault(f"is {number:g}", f"must be {'more than' if over else 'at least'} {least:g}{upper}")
            return None
        return float(number)

    def flag(self, key: str, default: bool) -> bool:
        """The boolean under a key."""
        node = self.get(key)
        if node.value is not None and not isinstance(node.value, bool):
            node.fault(f"must be true or false, not {describe(node.value)}")
        return node.value if isinstance(node.value, bool) else default

    def choice(self, key: str, words: type[Word], *, needed: bool = False) -> Word | None:
        """The word under a key, one of an enumeration's."""
        node = self.get(key)
        word = node.value
        if isinstance(word, str) and word in list(words):
            return words(word)
        if word is not None:
            node.fault(f"is {describe(word)}", f"must be {one_of(words)}")
        elif needed:
            node.fault("is missing", f"write {one_of(words)}")
        return None

    def _mapping(self) -> Mapping[Any, Any]:
        return self.value if isinstance(self.value, dict) else {}


def read(text: str) -> Node:
    """The tree of a YAML text. Where it is no YAML, the tree is empty and holds the one fault that says why.

    Aliases, tags and deep nesting are refused before anything is built, so that a small file stays a small tree.
    """
    from ruamel.yaml import YAML  # where there is no file, no process carries its reader
    from ruamel.yaml.error import YAMLError

    value = None
    try:
        refused = _refused(YAML(typ="rt", pure=True).parse(text))
        if refused is None:
            value = YAML(typ="rt", pure=True).load(text)
    except (YAMLError, ValueError, OverflowError) as fault:
        problem = getattr(fault, "problem", None) or str(fault).partition("\n")[0]
        problem = problem.partition(" with value ")[0]  # of a key written twice: its value may be a secret
        mark = getattr(fault, "problem_mark", None)
        refused = Fault("", f"is no YAML: {problem}", "", mark and mark.line + 1)
    root = Node(value, "", None, [refused] if refused else [])
    if value is not None and not isinstance(value, dict):
        root.fault(f"the file must be a section of keys and values, not {describe(value)}")
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


def _line(collection: Any, key: Any) -> int | None:
    """The line of a key or of a list's member, as ruamel.yaml remembers it; None where it does not."""
    places: Any = getattr(collection, "lc", None)
    try:
        place = places.item(key) if isinstance(collection, list) else places.key(key)
        return int(place[0]) + 1
    except (AttributeError, KeyError, TypeError):
        return None


# ---------------------------------------------------------------------------------------------------------------- keys

# They are apart from the ``Rulebook``, which is logged, shown and compared, and has no secret in it.

VARIABLES: Mapping[str, str] = {
    f"{section}.{key}": f"{section}_{key}".upper()
    for section, keys in {
        "pagerduty": ("integration_key", "api_key", "webhook_secrets", "from_email", "service_id", "region"),
        "truthvouch": ("api_key", "webhook_secrets", "api_url"),
    }.items()
    for key in keys
}
"""What stands in the file, and the variable that beats it."""
SECRETS = frozenset(path for path in VARIABLES if path.endswith(("_key", "_secrets")))

SHOWN_CHARS = 4
MIN_MASKED_CHARS = 16
"""Of a shorter secret, four characters would be too much."""
_MAY_HOLD = re.compile(r"\b(?:integration_key|api_key|webhook_secrets|from_email|api_url)\b")


class Credentials(dict[str, Any]):
    """What the file says of both partners, by the place in it; what it does not say is not here."""

    def __repr__(self) -> str:
        return f"<{', '.join(self)}>"


def credentials(root: Node) -> Credentials:
    """The credentials of a file's tree. What is wrong is noted there, and never quotes a value."""
    found = Credentials()
    for path, read_one in READERS.items():
        section, _, key = path.partition(".")
        if value := read_one(root.get(section), key):  # whether that is a section is the rulebook's
            found[path] = value
    return found


def held_in(path: Path) -> Credentials:
    """The credentials in a file; none where it cannot be read, for whoever reads its rules says why."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return Credentials()
    if len(text) > MAX_FILE_BYTES or not _MAY_HOLD.search(text):  # no process reads YAML for a file without keys
        return Credentials()
    root = read(text)
    found = credentials(root)
    return found if not root.faults else Credentials()


def given_by_file(held: Credentials, environ: Mapping[str, str]) -> frozenset[str]:
    """The places in the file whose credentials are in force: it holds them, and the environment does not beat them."""
    return frozenset(held.keys() - overridden(held, environ).keys() - {"truthvouch.api_url"})


def overridden(paths: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """Which of these places in the file the environment beats, and by which variable, or its ``_FILE``. Blanks say
    nothing."""
    names = (
        (path, name) for path in paths if path in VARIABLES for name in (f"{VARIABLES[path]}_FILE", VARIABLES[path])
    )
    return {path: name for path, name in names if environ.get(name, "").strip()}


def before_others(path: Path, secrets: Iterable[str]) -> list[str]:
    """PagerDuty's webhook secrets of a file with these before them."""
    return list(dict.fromkeys((*secrets, *held_in(path).get("pagerduty.webhook_secrets", ()))))


def exposed(path: Path) -> str:
    """Why the keys in this file are no secret on this machine; empty where it holds none or only its owner reads it."""
    try:
        mode = path.stat().st_mode & 0o777
    except OSError:
        return ""
    if not mode & 0o044 or not SECRETS & held_in(path).keys():
        return ""
    return f"{path} holds keys and is readable by others (mode {mode:04o}): run `chmod 600 {path}`"


def without_secrets(tree: Mapping[str, Any]) -> dict[str, Any]:
    """A file's plain tree without its secrets, for what is shown or hashed."""
    return {
        section: {key: item for key, item in value.items() if f"{section}.{key}" not in SECRETS}
        if isinstance(value, Mapping)
        else value
        for section, value in tree.items()
    }


def masked(secret: str) -> str:
    """``****`` and the last four characters of a secret; of a short one nothing."""
    return "****" + (secret[-SHOWN_CHARS:] if len(secret) >= MIN_MASKED_CHARS else "")


def _secret(section: Node, key: str) -> str | None:
    node = section.get(key)
    if node.value is None:
        return None
    if not isinstance(node.value, str):
        node.fault("must be a text", "put it in quotes")
        return None
    return _checked(node, node.value)


def _secrets(section: Node, key: str) -> tuple[str, ...]:
    node = section.get(key)
    if node.value is not None and not isinstance(node.value, list):
        node.fault("must be a list", "begin each secret with a dash, the newest first")
        return ()
    found = []
    for entry in node.items():
        if not isinstance(entry.value, str) or not entry.value.strip():
            entry.fault("must be a text", "put it in quotes")
        elif secret := _checked(entry, entry.value):
            found.append(secret)
    return tuple(found)


def _checked(node: Node, value: str) -> str | None:
    """A secret without blanks and line breaks around it, as in the environment."""
    secret = value.strip()
    if problem := secret_problem(secret, in_header=VARIABLES.get(node.path) in SENT_IN_HEADERS):
        node.fault(problem, "copy it anew, by itself")
        return None
    return secret or None


def _e_mail(section: Node, key: str) -> str | None:
    text = section.text(key)
    if text is not None and e_mail_problem(text):
        section.get(key).fault("is no e-mail address that can be sent", E_MAIL_REMEDY)
    return text


def _url(section: Node, key: str) -> str | None:
    text = section.text(key)
    if text is not None and (problem := url_problem(text)):
        section.get(key).fault(problem, "write for example https://api.truthvouch.com/api/v1")
    return None if text is None else text.rstrip("/")


READERS: Mapping[str, Callable[[Node, str], object]] = {
    "pagerduty.integration_key": _secret,
    "pagerduty.api_key": _secret,
    "pagerduty.from_email": _e_mail,
    "pagerduty.webhook_secrets": _secrets,
    "truthvouch.api_key": _secret,
    "truthvouch.webhook_secrets": _secrets,
    "truthvouch.api_url": _url,
}
"""How each credential is read, by its place in the file."""


def credential_keys(section: str) -> list[str]:
    """The keys of a section that are credentials."""
    return [path.partition(".")[2] for path in READERS if path.startswith(f"{section}.")]
