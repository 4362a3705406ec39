"""Evidence links: whoever has the link of one incident sees what it is about, and may press three buttons.

A link is a signed word and kept nowhere. It names the row of its alert and when it was made, signed with the keys of
the sessions, so any process can make one and any can read it. What ends a link is the age of it, the end of its
incident, a revocation in the store, or a change of the key.

A button carries a second signed word, bound to that very link, to what the button does, and to ten minutes.
"""

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from itsdangerous import BadData, URLSafeSerializer

from app.domain.model.types import IncidentKey, LinkId
from app.ports import Clock, utc_now

LASTS_AFTER = timedelta(hours=24)
"""How long a link works once its incident is over."""
LONGEST = timedelta(days=14)
"""However long the incident lasts, a link works for so long."""
CLOCKS_APART = timedelta(minutes=2)
"""A link says when it was made by the clock of the machine that made it. A revocation reaches so much further than the
clock of its own, so that a link of a machine whose clock is ahead ends, too."""
BUTTON_LASTS = timedelta(minutes=10)
MOST_REQUESTS = 60
"""Of one link within ``WINDOW``, in each web process."""
WINDOW = timedelta(minutes=1)
MAX_COUNTED = 1_000
"""Links whose requests are counted at once; beyond that, those with an old count are forgotten."""
MAX_TOKEN_CHARS = 400
KEY_CHARS = 16


class EvidenceAction(StrEnum):
    """What a button of the page does."""

    ACKNOWLEDGE = "acknowledge"
    FALSE_ALERT = "false_alert"
    SILENCE = "silence"


@dataclass(frozen=True, slots=True)
class EvidenceToken:
    """What a link says, once its signature was right."""

    link_id: LinkId
    key: str
    """How the incident's key goes on behind its prefix: a number alone may mean another alert in another store."""
    made_at: datetime
    """To the second."""

    def fits(self, incident_key: IncidentKey) -> bool:
        """Whether it was made for the link with this key."""
        return self.key == _part_of(incident_key)

    def has_expired(self, over_at: datetime | None, now: datetime) -> bool:
        """Whether it is too old. ``over_at``: since when its incident is over."""
        return now >= self.made_at + LONGEST or (over_at is not None and now >= over_at + LASTS_AFTER)


@dataclass(frozen=True)
class EvidenceTokens:
    """Makes and reads links. ``keys``: newest first; everything raises ``StoreUnavailable`` where it does."""

    keys: Callable[[], Sequence[str]]
    clock: Clock = utc_now

    def make(self, link_id: LinkId, incident_key: IncidentKey) -> str:
        """The secret part of a link."""
        return self._sign("link", [link_id, _part_of(incident_key), self._now()])

    def read(self, token: str) -> EvidenceToken | None:
        """What a link says; None for whatever we did not sign."""
        match self._signed("link", token):
            case [int(number), str(key), int(at)]:
                return EvidenceToken(LinkId(number), key, datetime.fromtimestamp(at, UTC))
            case _:
                return None

    def make_button(self, token: str, action: EvidenceAction) -> str:
        """What the form of a button carries."""
        return self._sign("button", [_digest(token), action.value, self._now()])

    def is_button(self, token: str, action: EvidenceAction, given: str) -> bool:
        """Whether this was made for this button of this link, within the last ten minutes."""
        match self._signed("button", given):
            case [str(digest), str(word), int(at)]:
                is_young = self.clock() - datetime.fromtimestamp(at, UTC) < BUTTON_LASTS
                return (digest, word) == (_digest(token), action.value) and is_young
            case _:
                return False

    def _sign(self, use: str, content: list[object]) -> str:
        return self._serializer(use).dumps(content)

    def _signed(self, use: str, text: str) -> object:
        if len(text) > MAX_TOKEN_CHARS or not text.isascii():
            return None
        try:
            content: object = self._serializer(use).loads(text)
        except BadData:
            return None
        return content

    def _serializer(self, use: str) -> URLSafeSerializer:
        """Itsdangerous signs with the last key of a list and reads with any; our lists begin with the newest."""
        kwargs = {"digest_method": hashlib.sha256}
        return URLSafeSerializer([*reversed(self.keys())], salt=f"truthvouch-evidence-{use}", signer_kwargs=kwargs)

    def _now(self) -> int:
        return int(self.clock().timestamp())


def _part_of(incident_key: IncidentKey) -> str:
    return incident_key[-KEY_CHARS:]


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()[:32]


@dataclass
class EvidencePace:
    """Counts the requests of each link, in this process. Thread-safe."""

    clock: Clock = utc_now
    _counts: dict[LinkId, tuple[datetime, int]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def wait(self, link_id: LinkId) -> int:
        """Seconds until the next request of this link is answered; 0 = now, and it counts."""
        now = self.clock()
        with self._lock:
            if len(self._counts) >= MAX_COUNTED:
                self._counts = {one: seen for one, seen in self._counts.items() if now - seen[0] < WINDOW}
            began, count = self._counts.get(link_id, (now, 0))
            if not timedelta(0) <= now - began < WINDOW:
                began, count = now, 0
            if count >= MOST_REQUESTS:
                return max(1, int((began + WINDOW - now).total_seconds()))
            self._counts[link_id] = (began, count + 1)
            return 0
