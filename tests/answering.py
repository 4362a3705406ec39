"""A transport that calls nobody: it hands out answers that were written beforehand, each with a clock of its own."""

import json
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

from app.remote.replies import Answer, Failure
from app.remote.transport import Transport

FIRST = datetime(2026, 1, 15, 9, 58, 7, tzinfo=UTC)
"""The partner's clock at its first answer; each answer is a second later than the one before."""
SECOND = FIRST + timedelta(seconds=1)
OUR_NOW = datetime(2026, 1, 15, 10, 0, tzinfo=UTC)


class Answering(Transport):
    """``dated=False``: a partner without a clock."""

    def __init__(self, *answers: tuple[int, object], dated: bool = True) -> None:
        super().__init__()
        self.answers, self.dated, self.given = deque(answers), dated, 0

    def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str | list[str]] | None = None,
        json: object = None,
        target: str = "",
    ) -> Answer | Failure:
        status, answer = self.answers.popleft()
        date = format_datetime(FIRST + timedelta(seconds=self.given), usegmt=True)
        self.given += 1
        return Answer(status, {"date": date} if self.dated else {}, _body(answer), OUR_NOW, method != "GET")


def _body(fields: object) -> bytes:
    return b"" if fields is None else json.dumps(fields).encode()
