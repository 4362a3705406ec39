"""Links and words as JSON text: exact, tolerant of fields that older versions did not write.

The readers are made when the first text is: a web process, which mostly reads none, does without twelve megabytes.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

from app.domain.escalation import Climb
from app.domain.link import Link
from app.domain.words import IncidentWord

if TYPE_CHECKING:
    from pydantic import TypeAdapter


@cache
def _adapter(kind: Any) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def dump_link(link: Link) -> str:
    """The whole link as JSON."""
    return _adapter(Link).dump_json(link, exclude_defaults=True).decode()


def load_link(text: str) -> Link:
    """A link as ``dump_link`` wrote it, by this version or an older one."""
    link: Link = _adapter(Link).validate_json(text)
    return link


def dump_word(word: IncidentWord) -> str:
    """One word as JSON."""
    return _adapter(IncidentWord).dump_json(word, exclude_defaults=True).decode()


def load_word(text: str) -> IncidentWord:
    """A word as ``dump_word`` wrote it."""
    word: IncidentWord = _adapter(IncidentWord).validate_json(text)
    return word


def dump_climb(climb: Climb) -> str:
    """A whole climb as JSON."""
    return _adapter(Climb).dump_json(climb, exclude_defaults=True).decode()


def load_climb(text: str) -> Climb:
    """A climb as ``dump_climb`` wrote it."""
    climb: Climb = _adapter(Climb).validate_json(text)
    return climb


def load_facts(text: str) -> Any:
    """Facts as ``dump_facts`` wrote them."""
    return _adapter(Any).validate_json(text)


def dump_facts(facts: object) -> str:
    """Time line facts as JSON."""
    return _adapter(Any).dump_json(facts).decode()
