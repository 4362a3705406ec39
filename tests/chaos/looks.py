"""What the bridge's log says of its reconciliations."""

from pathlib import Path
from typing import Any

from tests.system.journal import Journal

MARK = b'"reconciliation.done"'


class Looks:
    """Every reconciliation that has ended."""

    def __init__(self, log: Path) -> None:
        self._journal, self._done = Journal(log), list[dict[str, Any]]()

    def complete(self) -> int:
        """How many have read everything on both sides."""
        return sum(bool(look["complete"]) for look in self._read_on())

    def found(self) -> int:
        """What they found that nobody had told; what one of them could not yet put right, the next one counts again."""
        return sum(int(look["findings"]) for look in self._read_on())

    def _read_on(self) -> list[dict[str, Any]]:
        self._done += self._journal.news(MARK)
        return self._done
