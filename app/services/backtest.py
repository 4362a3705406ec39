"""Use case: what rules did, and what others would have done, over the alerts that are stored.

Alerts are read once, in order, and folded as they come; the memory used does not grow with their number.
"""

from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from app.domain.backtest import Backtest, PastAlert
from app.domain.backtest_record import Hits, ShadowTally
from app.domain.rulebook import Rulebook
from app.domain.rules import fields, understood
from app.ports import Transactions
from app.ports.past import PastAlerts
from app.services.shadow import DIFFERS

TELL_EVERY = 500
"""Alerts between two reports of progress."""

Told = Callable[[int, int], None]
"""Called while alerts are read, with how many were and how many there are."""


@dataclass(frozen=True)
class Backtests:
    """Reads the store and changes nothing. ``since`` is included, ``until`` is not. Raises ``StoreUnavailable``."""

    transactions: Transactions
    past: PastAlerts

    def run(
        self, live: Rulebook, draft: Rulebook, since: datetime, until: datetime, told: Told | None = None
    ) -> Backtest:
        """Both rulebooks over the alerts first heard of in that time."""
        test = Backtest(live, draft)
        for alert in self._alerts(since, until, told):
            test.add(alert)
        return test

    def hits(self, since: datetime, until: datetime) -> Hits:
        """How often each rule decided, as it was recorded then."""
        hits = Hits()
        for alert in self._alerts(since, until):
            hits.add(alert)
        return hits

    def silenced_by(self, match: str, since: datetime, until: datetime) -> tuple[int, int]:
        """How many alerts a silence with this trigger would have silenced, and how many came."""
        trigger, matched, all_of_them = understood(match), 0, 0
        for alert in self._alerts(since, until):
            all_of_them += 1
            matched += not isinstance(trigger, str) and trigger.matches(fields(alert.alert))
        return matched, all_of_them

    def shadow(self, since: datetime, until: datetime) -> ShadowTally:
        """Where the draft of ``shadow:`` decided otherwise, as the time lines have it."""
        tally = ShadowTally()
        with self.transactions.read() as tx:
            for line in self.past.lines(tx, DIFFERS, since, until):
                tally.add(line["alert_id"], line["at"], line["facts"])
        return tally

    def field_names(self, *, newest_only: bool = False) -> Set[str] | None:
        """The fields of TruthVouch's own that any stored alert ever had; None where there is no alert.

        ``newest_only``: of the newest thousand alone, which costs the same however many are stored.
        """
        with self.transactions.read() as tx:
            return self.past.field_names(tx, newest_only=newest_only)

    def _alerts(self, since: datetime, until: datetime, told: Told | None = None) -> Iterator[PastAlert]:
        with self.transactions.read() as tx:
            total = self.past.count(tx, since, until) if told else 0
            alerts, done = self.past.read(tx, since, until), 0
            while batch := list(islice(alerts, TELL_EVERY)):
                yield from batch
                done += len(batch)
                if told:
                    told(done, max(done, total))


def names_of(rulebook: Rulebook) -> Mapping[str, tuple[str, ...]]:
    """The fields that are none of ours, by the rule or silence that names them."""
    asked = [(rule.name, rule.trigger) for rule in rulebook.rules]
    asked += [(silence.name, silence.match) for silence in rulebook.silences]
    compiled = [(name, understood(text)) for name, text in asked]
    return {name: trigger.foreign_fields for name, trigger in compiled if not isinstance(trigger, str)}
