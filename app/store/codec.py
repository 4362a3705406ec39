"""Links and words as JSON text: exact, tolerant of fields that older versions did not write."""

from typing import Any

from pydantic import TypeAdapter

from app.domain.link import Link
from app.domain.words import IncidentWord

_link: TypeAdapter[Link] = TypeAdapter(Link)
_word: TypeAdapter[IncidentWord] = TypeAdapter(IncidentWord)
_facts: TypeAdapter[Any] = TypeAdapter(Any)


def dump_link(link: Link) -> str:
    """The whole link as JSON."""
    return _link.dump_json(link, exclude_defaults=True).decode()


def load_link(text: str) -> Link:
    """A link as ``dump_link`` wrote it, by this version or an older one."""
    return _link.validate_json(text)


def dump_word(word: IncidentWord) -> str:
    """One word as JSON."""
    return _word.dump_json(word, exclude_defaults=True).decode()


def load_word(text: str) -> IncidentWord:
    """A word as ``dump_word`` wrote it."""
    return _word.validate_json(text)


def load_facts(text: str) -> Any:
    """Facts as ``dump_facts`` wrote them."""
    return _facts.validate_json(text)


def dump_facts(facts: object) -> str:
    """Time line facts as JSON."""
    return _facts.dump_json(facts).decode()
