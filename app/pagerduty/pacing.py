"""Every call to PagerDuty passes here: first our own budget of calls is asked, then the answer's word is heeded.

https://developer.pagerduty.com/docs/rest-api-rate-limits
"""

from collections import defaultdict
from collections.abc import Callable

import structlog

from app.domain.answer import TOO_MANY, Answer, Failure, rest_asked
from app.domain.budget import unsaid_pause
from app.domain.outcome import BUDGET_SPENT, Held
from app.ports import Budget

log = structlog.get_logger()


class Pacing:
    """One key's way out. Without a budget only the caller itself waits, as the reply says."""

    def __init__(self, budget: Budget | None = None, reserve: float = 0.0) -> None:
        """``reserve`` (0..1): the share of the budget's burst that all calls made through this leave to others."""
        self._budget, self._reserve = budget, reserve
        self._refusals: defaultdict[str, int] = defaultdict(int)

    def call(
        self, send: Callable[[], Answer | Failure], reserve: float = 0.0, part: str = ""
    ) -> Answer | Failure | Held:
        """Call when it is our turn. ``part`` names what has a limit of its own: its 429 rests nothing else."""
        if self._budget is None:
            return send()
        wait = self._budget.take(max(reserve, self._reserve), part)
        if wait:
            return Held(BUDGET_SPENT, after_seconds=wait)
        answer = send()
        if isinstance(answer, Answer):
            self._heed(self._budget, answer, part)
        return answer

    def _heed(self, budget: Budget, answer: Answer, part: str) -> None:
        refused = answer.status == TOO_MANY
        self._refusals[part] = self._refusals[part] + 1 if refused else 0
        rest = rest_asked(answer) or (unsaid_pause(self._refusals[part]) if refused else 0.0)
        if rest:
            budget.pause(rest, part)
            log.warning("budget.paused", part=part or "all", seconds=rest, status=answer.status)
