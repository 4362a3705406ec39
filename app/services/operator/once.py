"""Use case: a request under an idempotency key is answered once; the same request again gets the same answer.

https://datatracker.ietf.org/doc/html/draft-ietf-httpapi-idempotency-key-header
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus

from app.ports import AnswerStore, Clock, KeptAnswer, KeyUse, Transactions, utc_now

KEPT = timedelta(hours=24)
"""How long an answer is kept."""
UNDER_WAY = timedelta(seconds=60)
"""After so long without an answer, the process that began is taken for dead: whoever asks next begins anew."""


@dataclass(frozen=True)
class Once:
    """Keeps answers by scope (who asks for which route) and key. Raises ``StoreUnavailable``."""

    transactions: Transactions
    answers: AnswerStore
    clock: Clock = utc_now

    def __call__(self, scope: str, key: str, request: bytes, make: Callable[[], tuple[int, bytes]]) -> KeptAnswer:
        """The answer kept for this request, or the one that ``make`` makes (its status and body).

        An answer that says nothing for good (202, or a fault of ours) is not kept: the same request asks anew.
        """
        name, digest = _digest(f"{scope}\0{key}".encode()), _digest(request)
        now = self.clock()
        with self.transactions.begin() as tx:
            self.answers.forget_before(tx, now - KEPT)
            kept = self.answers.begin(tx, name, digest, now, now - UNDER_WAY)
        if kept is not None:
            return kept
        status, body = 0, b""
        try:
            status, body = make()
        finally:
            with self.transactions.begin() as tx:
                if status in (0, HTTPStatus.ACCEPTED) or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                    self.answers.forget(tx, name)
                else:
                    self.answers.keep(tx, name, status, body)
        return KeptAnswer(KeyUse.ANSWERED, status, body)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
