"""A log of JSON lines, read on while it is being written."""

import json
from pathlib import Path
from typing import Any


class Journal:
    """Remembers how far it has read: whoever asks again and again does not read everything again and again."""

    def __init__(self, log: Path) -> None:
        self._log, self._offset = log, 0

    def news(self, mark: bytes = b"") -> list[dict[str, Any]]:
        """The whole lines since the last time that are JSON objects, and among those the ones with these bytes."""
        if not self._log.exists():
            return []
        with self._log.open("rb") as file:
            file.seek(self._offset)
            whole, newline, _ = file.read().rpartition(b"\n")
        self._offset += len(whole) + len(newline)
        return [json.loads(line) for line in whole.splitlines() if line.startswith(b"{") and mark in line]
