"""Links and events as JSON text: exact, tolerant of fields that older versions did not write.

Some fields and time line entries are stored under the name they had at first: the tables here say which. The readers
are made when the first text is, or by ``prepare``: a web process, which mostly reads none, does without twelve
megabytes.
"""

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Generic, TypeVar

from app.domain.escalation.state import Escalation
from app.domain.model.events import AlertEvent, IncidentEvent
from app.domain.model.types import EVIDENCE_FIELDS, Alert, LinkId
from app.domain.sync.link import Link

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, TypeAdapter

T = TypeVar("T")


class StoredNames:
    """Marks a type of which some fields are stored under another name."""

    def __init__(self, inner: "Mapping[str, StoredNames] | None" = None, **names: str) -> None:
        self._inner = inner or {}
        self._stored = names
        self._fields = {stored: field for field, stored in names.items()}

    def __get_pydantic_core_schema__(self, source: Any, handler: "GetCoreSchemaHandler") -> Any:
        from pydantic import BeforeValidator, WrapSerializer

        return handler.generate_schema(Annotated[source, BeforeValidator(self._read), WrapSerializer(self._write)])

    def _read(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        fields = _renamed(value, self._fields)
        return fields | {name: of._read(fields[name]) for name, of in self._inner.items() if name in fields}

    def _write(self, value: Any, as_it_is: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        fields = as_it_is(value)
        inner = {name: _renamed(fields[name], of._stored) for name, of in self._inner.items() if name in fields}
        return _renamed(fields | inner, self._stored)


def _renamed(fields: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in fields.items()}


_EVENT = StoredNames(type="verb", name="event")
StoredAlertEvent = Annotated[AlertEvent, _EVENT]
StoredIncidentEvent = Annotated[IncidentEvent, _EVENT]
StoredEscalation = Annotated[
    Escalation,
    StoredNames(
        {"plan": StoredNames(levels="rungs")},
        plan="course", levels_done="fired", policy_assigned="placed", dead_letter_id="letter_id",
    ),
]  # fmt: skip

ENTRIES = {
    "alert.not_kept": "alert.write_lost",
    "incident.not_kept": "incident.write_lost",
    "lane.resubmitted": "delivery.resubmitted",
    "letter.discarded": "dead_letter.discarded",
    "letter.nothing_to_do": "dead_letter.nothing_to_do",
    "letter.replayed": "dead_letter.replayed",
}
"""What entries of the time line are called today; their rows keep the name they were written under."""
VALUES = {
    "empty_mail": "empty_internal_event",
    "no_incident_deserved": "no_incident_wanted",
    "not_kept": "write_lost",
    "unknown_mail": "unknown_internal_event",
}
"""The same of outcomes and reasons, in the time line's facts and with dead letters."""


class Codec(Generic[T]):
    """Values of one type as JSON text, read as this version or an older one wrote them."""

    def __init__(self, kind: Any, exclude_defaults: bool = True) -> None:
        self._kind, self._exclude_defaults = kind, exclude_defaults

    @cached_property
    def _adapter(self) -> "TypeAdapter[T]":
        from pydantic import TypeAdapter

        return TypeAdapter(self._kind)

    def prepare(self) -> None:
        """Make the reader and writer now, not when the first value comes: that takes some tenths of a second."""
        _ = self._adapter

    def dump(self, value: T) -> str:
        """The whole value."""
        return self._adapter.dump_json(value, exclude_defaults=self._exclude_defaults).decode()

    def load(self, text: str | bytes) -> T:
        """Raises ``pydantic.ValidationError``, a ``ValueError``."""
        return self._adapter.validate_json(text)


class LinkCodec(Codec[Link]):
    """Links, their alerts' evidence apart: it is a text of its own."""

    def __init__(self) -> None:
        super().__init__(Link)
        self._alert = Codec[Alert](Alert)

    def prepare(self) -> None:
        super().prepare()
        self._alert.prepare()

    def split(self, link: Link) -> str:
        """The link without evidence."""
        words = {name: True for name, value in link.alert.extra.items() if isinstance(value, str)}
        hidden: dict[str, Any] = {"alert": _EVIDENCE | {"extra": words} if words else _EVIDENCE}
        return self._adapter.dump_json(link, exclude_defaults=True, exclude=hidden).decode()

    def evidence(self, alert: Alert) -> str:
        """The evidence; empty where the alert has none."""
        words = {name: True for name, value in alert.extra.items() if isinstance(value, str)}
        shown: dict[str, Any] = _EVIDENCE | {"extra": words} if words else _EVIDENCE
        text = self._alert._adapter.dump_json(alert, exclude_defaults=True, include=shown).decode()
        return "" if text == "{}" else text

    def join(self, state: str, texts: str | None, link_id: LinkId) -> Link:
        """The link again. Raises ``ValueError``. Evidence of an alert that is erased counts for nothing: a reader that
        waited for the one who erased it may still see it."""
        link = self.load(state)
        object.__setattr__(link, "link_id", link_id)  # as in ``complete``
        if texts:
            complete(link.alert, texts)
        return link


def complete(alert: Alert, texts: str) -> None:
    """Give an alert its evidence, unless it is erased. Only for one that was made just now and that nobody has seen:
    then it need not be copied, which would cost as much as to read it. Raises ``ValueError``, which quotes nothing."""
    if alert.erased_at is not None:
        return
    try:
        known = json.loads(texts)
    except ValueError:
        raise ValueError("evidence that cannot be read") from None
    if words := known.pop("extra", None):
        known["extra"] = {**alert.extra, **words}
    for name, value in known.items():
        object.__setattr__(alert, name, value)


_EVIDENCE: dict[str, Any] = dict.fromkeys((*EVIDENCE_FIELDS, "people"), True)
LINK = LinkCodec()
INCIDENT_EVENT = Codec[IncidentEvent](StoredIncidentEvent)
ESCALATION = Codec[Escalation](StoredEscalation)
FACTS = Codec[Any](Any, exclude_defaults=False)


def prepare() -> None:
    """For a worker, before it takes anything in: its first page must not wait for this."""
    for one in (LINK, INCIDENT_EVENT, ESCALATION, FACTS):
        one.prepare()


def value_of(stored: Any) -> Any:
    """An outcome or a reason by the name it has today."""
    return VALUES.get(stored, stored) if isinstance(stored, str) else stored


def load_entry(event: str, facts: str) -> dict[str, Any]:
    """The name and the facts of a time line entry, by this version or an older one."""
    known = FACTS.load(facts)
    if event.startswith("letter."):
        known = _renamed(known, {"letter": "dead_letter"})
    if known.get("kept") is True:  # an event that came before anybody knew whose it was
        known = _renamed(known, {"kept": "replayed"})
    known |= {name: value_of(known[name]) for name in ("outcome", "reason", "waits_behind") if name in known}
    return {"event": ENTRIES.get(event, event), "facts": known}
