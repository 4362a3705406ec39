"""Use case: what operators see of long work, of drafts and silences, and of what people did; and what has to be right
about a draft, a silence or a job before it is asked for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domain.rules.rulebook import Origin, Silence
from app.ports import Clock, RulebookSource, utc_now
from app.ports.console import WorkerConfiguration, WorkerConfigurations
from app.ports.jobs import BacktestWanted, JobWanted
from app.services.diagnostics.configuration import DEAD_AFTER
from app.services.jobs.commands import JobOverview
from app.services.operator.audit import AuditLog
from app.services.rules.rulebook import Backtests, Shadow, shadowed
from app.services.rules.stored import Preview, StoredRulesOverview, previewed, problem_of

UNTITLED = "the draft"
"""What a draft is called that was only pasted."""


@dataclass(frozen=True)
class Workbench:
    """Everything raises ``StoreUnavailable`` where the store cannot be read. Nothing here changes anything."""

    jobs: JobOverview
    encode_job: Callable[[JobWanted], str]
    """What ``Operate.start_job`` takes."""
    stored: StoredRulesOverview
    rules: RulebookSource
    shadow: Shadow
    backtests: Callable[[], Backtests]
    faults_of: Callable[[str, str], Sequence[str]]
    """Everything wrong with a draft, by its text and its name: a sentence each."""
    audit: AuditLog
    configurations: WorkerConfigurations
    clock: Clock = utc_now

    def silences(self) -> Sequence[Silence]:
        """Those of the file, in its order, then those of the store."""
        in_file = (one for one in self.rules.current().silences if one.origin is Origin.FILE)
        return (*in_file, *self.stored.silences())

    def preview(self, silence: Silence) -> Preview:
        """What it would do; why it cannot be made, where it cannot."""
        problem, now = problem_of(silence, self.clock()), self.clock()
        return Preview(problem) if problem else previewed(silence.match, self.rules.current(), self.backtests(), now)

    def problem_of_backtest(self, wanted: BacktestWanted) -> Sequence[str]:
        """Why a backtest would only fail."""
        if wanted.draft and self.stored.draft(wanted.draft) is None:
            return (f"The store has no draft {wanted.draft!r}.",)
        return self.faults_of(wanted.text, UNTITLED) if wanted.text else ()

    def workers(self) -> Sequence[WorkerConfiguration]:
        """What each worker that lives runs with."""
        with self.stored.transactions.read() as tx:
            return self.configurations.all(tx, self.clock() - DEAD_AFTER)

    def shadow_results(self, since: datetime) -> Mapping[str, Any]:
        """What a draft beside the rules said otherwise since then."""
        tally, draft = self.backtests().shadow(since, self.clock()), self.shadow.current()
        named = self.rules.current().shadow
        return shadowed(tally, since, named, draft.version if draft else None, self.shadow.fault)
