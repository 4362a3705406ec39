"""What proves and reads a webhook: pure, one per vendor."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from app.domain.words import Envelope, Reading


class Refusal(Exception):
    """A delivery that is not authentic. ``reason`` is one snake_case word for logs and counters."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Verify(Protocol):
    """``inbound.verify``: prove the raw bytes, then read only the envelope.

    Raises ``Refusal`` and nothing else, whatever the bytes are.
    ``headers`` is any case-insensitive mapping; ``now`` is epoch seconds.
    """

    def __call__(self, headers: Mapping[str, str], body: bytes, secrets: Sequence[str], now: float) -> Envelope: ...


class Read(Protocol):
    """``inbound.read``: the words in an authentic body. Never raises; at least one reading."""

    def __call__(self, body: bytes, content_encoding: str | None) -> tuple[Reading, ...]: ...
