"""Instants and identifiers in the partners' spellings."""

import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class PartnerClock:
    """One partner's own clock: ``real`` time, plus an offset, plus what it gains every hour."""

    def __init__(self, real: Callable[[], float]) -> None:
        self.real = real
        self.set(0.0, 0.0)

    def set(self, offset_seconds: float, drift_seconds_per_hour: float) -> None:
        """How far it is ahead of real time now, and what it gains from now on; negative: behind, loses."""
        self._setting = (self.real(), offset_seconds, drift_seconds_per_hour)

    def __call__(self) -> float:
        return self.real() + self._offset()

    def _offset(self) -> float:
        since, offset, drift = self._setting
        return offset + drift * (self.real() - since) / 3600

    def as_json(self) -> dict[str, float]:
        """The words that ``set`` takes; the offset is that of this moment."""
        return {"offset_seconds": self._offset(), "drift_seconds_per_hour": self._setting[2]}


def iso(at: float, milliseconds: bool = False) -> str:
    """RFC 3339 in UTC with ``Z``; ``at`` is epoch seconds."""
    timespec = "milliseconds" if milliseconds else "seconds"
    return datetime.fromtimestamp(at, UTC).isoformat(timespec=timespec).replace("+00:00", "Z")


def epoch(text: object) -> float | None:
    """Epoch seconds of an ISO 8601 text (UTC where it has no zone) or of a number; None for anything else."""
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    try:
        read = datetime.fromisoformat(str(text).strip())
    except ValueError:
        return None
    return (read if read.tzinfo else read.replace(tzinfo=UTC)).timestamp()


def _in_base32(number: int, length: int) -> str:
    return "".join(_CROCKFORD[(number >> (5 * place)) & 31] for place in reversed(range(length)))


class Names:
    """Hands out identifiers: unique in this process, unlike those of any other run."""

    def __init__(self) -> None:
        self._serial = count(1)
        self._run = secrets.randbits(40)
        self._lock = threading.Lock()

    def next(self, prefix: str, length: int = 14) -> str:
        """An identifier of ``length`` characters beginning with ``prefix``, like PagerDuty's ``Q02JTUPZWHSN7Q``."""
        with self._lock:
            number = (self._run << 25) + next(self._serial)
        return prefix + _in_base32(number, length - len(prefix))

    def ulid(self, at: float) -> str:
        """Twenty-six characters that sort by time, like PagerDuty's event ids."""
        with self._lock:
            serial = next(self._serial)
        return _in_base32(int(at * 1000), 10) + _in_base32((self._run << 40) + serial, 16)
