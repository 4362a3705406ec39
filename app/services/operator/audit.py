"""Use case: what people did, by whichever way. A command leaves its line where it is executed
(``services/sync/commands.py``); what acts at once, and at a partner or in a file, leaves it here.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TypedDict, cast

import structlog

from app.domain.model.events import Way
from app.ports import Clock, Transactions, utc_now
from app.ports.console import Audit, AuditEntry, AuditFilter, SubjectKind

log = structlog.get_logger()


class AuditRow(TypedDict):
    """One human action: names, ids and words of ours, never a text."""

    number: int
    """Ascending with age."""
    at: datetime
    actor: str
    way: Way
    action: str
    subject_kind: SubjectKind
    subject: str
    outcome: str


@dataclass(frozen=True)
class AuditLog:
    """Writes and reads the log of human actions."""

    transactions: Transactions
    audit: Audit
    clock: Clock = utc_now

    def record(
        self, actor: str, way: Way, action: str, subject_kind: SubjectKind, subject: str, outcome: str = "done"
    ) -> bool:
        """Write down what was done. Never raises: what was done is done, and where this cannot be written down, the log
        of the process has it.

        ``action`` and ``outcome`` are words of ours, ``subject`` is an id or a name; never a text.
        """
        entry = AuditEntry(self.clock(), actor, way, action, subject_kind, subject, outcome)
        try:
            with self.transactions.begin() as tx:
                self.audit.write(tx, entry)
        except Exception as fault:
            about = {"actor": actor, "way": way.value, "action": action, "subject": subject, "outcome": outcome}
            log.warning("audit.not_written", **about, reason=type(fault).__name__)
            return False
        return True

    def find(self, wanted: AuditFilter) -> Sequence[AuditEntry]:
        """Newest first. Raises ``StoreUnavailable``."""
        with self.transactions.read() as tx:
            return self.audit.find(tx, wanted)

    def rows(self, wanted: AuditFilter) -> Sequence[AuditRow]:
        """The same as values."""
        return [cast("AuditRow", asdict(entry)) for entry in self.find(wanted)]
