"""What operators look for among the links, as one narrow row each; and what people did, as one line each."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from app.domain.model.events import Way
from app.ports import Tx


@dataclass(frozen=True, slots=True)
class LinkFilter:
    """Which links; what is None or empty asks nothing. Newest first, so many."""

    text: str = ""
    """An alert id, an incident's id or number (``#12``), or a part of the alert's title in any case."""
    is_open: bool | None = None
    paged: bool | None = None
    frozen: bool | None = None
    severity: str = ""
    since: datetime | None = None
    before: int | None = None
    """Only rows with a smaller number: the next page after the row of that number."""
    limit: int = 50


@dataclass(frozen=True, slots=True)
class FoundLink:
    """One link in a line."""

    number: int
    """Ascending with age; what ``LinkFilter.before`` takes."""
    alert_id: str
    title: str
    """What the alert is called, never its claim; empty where nobody knows or it was erased."""
    severity: str
    kind: str
    model: str
    category: str
    alert_status: str
    incident_status: str
    """Empty where there is no incident."""
    incident_id: str
    incident_number: int | None
    urgency: str
    paged: bool
    rule: str
    """The rule, silence or map entry that decided."""
    rulebook_version: str
    verdict: str
    frozen: bool
    first_seen_at: datetime


class LinkSearch(Protocol):
    """Finds links."""

    def find(self, tx: Tx, wanted: LinkFilter) -> Sequence[FoundLink]:
        """At most ``wanted.limit`` of them, newest first."""
        ...

    def per_hour(self, tx: Tx, since: datetime, at_most: int) -> Sequence[tuple[datetime, bool, int]]:
        """Alerts by the hour (UTC) in which they were first seen: its beginning, whether they paged, how many. Of more
        than ``at_most`` since then the newest count."""
        ...


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a process, for people."""

    name: str
    value: str
    """A secret is never here: only that it is set, and how many there are."""
    meaning: str = ""


@dataclass(frozen=True, slots=True)
class RunsWith:
    """What one process runs with."""

    rules: str
    """The version of ``bridge.yaml``, without what the store adds."""
    program: str
    """The version of the bridge."""
    settings: tuple[Setting, ...]
    faults: tuple[str, ...]
    """What is missing, what is broken, and what works only in part: a sentence each."""


@dataclass(frozen=True, slots=True)
class WorkerConfiguration:
    """What one worker runs with, as it published it."""

    worker: str
    """The executor's name: ``main``, ``worker-2``."""
    host: str
    since: datetime
    """Since when it runs with that."""
    seen_at: datetime
    """When it last said so."""
    runs_with: RunsWith


class WorkerConfigurations(Protocol):
    """What the workers published, a row each."""

    def publish(self, tx: Tx, one: WorkerConfiguration, dead_before: datetime) -> None:
        """Write that worker's, and remove those that said nothing since then."""

    def remove(self, tx: Tx, worker: str) -> None:
        """Remove that worker's, if there is one."""

    def all(self, tx: Tx, since: datetime) -> Sequence[WorkerConfiguration]:
        """Those that said so since then, in the order of their names."""


class SubjectKind(StrEnum):
    """What an action was about."""

    ALERT = "alert"
    INCIDENT = "incident"
    DEAD_LETTER = "dead_letter"
    TARGET = "target"
    TOKEN = "token"
    SESSION = "session"
    """A login to the console, by the name of the token or link behind it."""
    ADDRESS = "address"
    """Where wrong tokens came from."""
    SILENCE = "silence"
    DRAFT = "draft"
    JOB = "job"
    CONFIGURATION = "configuration"
    RECONCILIATION = "reconciliation"


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One human action: names, ids and words of our own, never a text."""

    at: datetime
    actor: str
    """Whoever did it, as far as it is known: a login, a token's name, *somebody with the link of #12*."""
    way: Way
    action: str
    """One snake_case word or a few: ``replay``, ``end_silence``."""
    subject_kind: SubjectKind
    subject: str
    """An id, a number or a name; empty where the action has none."""
    outcome: str
    """One snake_case word or a few: ``replayed``, ``no_such_link``, ``refused``."""
    number: int = 0
    """Of the line, ascending with age; 0 before it is written."""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Which lines; what is None or empty asks nothing. Newest first, so many."""

    since: datetime | None = None
    actor: str = ""
    subject: str = ""
    before: int | None = None
    """Only lines with a smaller number."""
    limit: int = 50


class Audit(Protocol):
    """The log of human actions. What is longer than a line should be is cut short."""

    def write(self, tx: Tx, entry: AuditEntry) -> None: ...

    def find(self, tx: Tx, wanted: AuditFilter) -> Sequence[AuditEntry]:
        """At most ``wanted.limit`` lines, newest first."""
