"""The rulebook in force: a changed file is picked up without a restart, a broken one is refused loudly.

What it does with one alert, and why, rule by rule, down to the incident that would be opened. And what rules did, or
others would have done, over the alerts that are stored: they are read once, in order, and folded as they come, so the
memory used does not grow with their number.
"""

import threading
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Set
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from itertools import islice
from time import monotonic
from typing import Any

import structlog

from app.domain.model.types import Alert, AlertId, Via
from app.domain.reports.backtest import Backtest, Change, Group, Hits, PastAlert, ShadowTally, difference
from app.domain.rules.decide import SEVERITY_MAP, Tried, decide, explain, fields, matches, understood
from app.domain.rules.rulebook import SILENCED, Decision, Redaction, Rulebook, TruthVouchCalls
from app.domain.sync.incident_draft import draft
from app.ports import SHADOW_DIFFERS, Records, RulebookSource, StoreUnavailable, Transactions
from app.ports.history import PastAlerts
from app.ports.rules import STORED_PREFIX, StoredPart, StoredPartReader

log = structlog.get_logger()

CHECK_EVERY_SECONDS = 1.0


@dataclass
class LiveRulebook:
    """Keeps the last good rulebook; looks at the file at most once a second, and reads it only when it changed."""

    load: Callable[[], Rulebook]
    """Raises one of ``faults`` for a broken file; the first load's fault is the caller's to handle."""
    fingerprint: Callable[[], Hashable]
    faults: type[Exception]
    clock: Callable[[], float] = monotonic
    fault: str = ""
    """Why the file on disk is not in force; empty when it is."""
    with_stored: Callable[[Rulebook], Rulebook] | None = None
    """Adds what the store has (``LiveStoredPart``); None: the file is all."""

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._seen = self.fingerprint()
        self._rulebook = self.load()
        self._checked = self.clock()

    def current(self) -> Rulebook:
        """The rulebook in force."""
        in_file = self.in_file()
        return in_file if self.with_stored is None else self.with_stored(in_file)

    def in_file(self) -> Rulebook:
        """The file's part of it, which asks no store."""
        if self.clock() - self._checked >= CHECK_EVERY_SECONDS:
            with self._lock:
                self._check()
        return self._rulebook

    def via(self) -> Via:
        """The PagerDuty API for new incidents."""
        return self.current().via or Via.REST

    def calls(self) -> TruthVouchCalls:
        """How TruthVouch is told."""
        return self.current().calls

    def redaction(self) -> Redaction:
        """What may leave for PagerDuty."""
        return self.current().redaction

    def _check(self) -> None:
        self._checked, before = self.clock(), self._seen
        self._seen = self.fingerprint()
        if self._seen == before:
            return
        if self._seen is None:
            self._refuse("the file is gone or empty")
            return
        try:
            self._rulebook, self.fault = self.load(), ""
            log.info("rulebook.reloaded", version=self._rulebook.version)
        except self.faults as fault:
            self._refuse(str(fault))

    def _refuse(self, fault: str) -> None:
        self.fault = fault
        log.error("rulebook.refused", in_force=self._rulebook.version, faults=fault)


class LiveStoredPart:
    """What the store adds to the rulebook. The mark is read at most once a second, the rest only when that changed.

    While the store cannot be read, what was read last stays in force; at a start that is nothing, so alerts page.
    """

    def __init__(self, rules: StoredPartReader, clock: Callable[[], float] = monotonic) -> None:
        self._rules, self._clock = rules, clock
        self._lock = threading.Lock()
        self._part = StoredPart()
        self._checked = float("-inf")
        self._made: tuple[Rulebook, StoredPart, Rulebook] | None = None

    def __call__(self, in_file: Rulebook) -> Rulebook:
        """The rulebook of the file and the store together; its version names both."""
        # Whoever comes while another one reads goes on with what there is.
        if self._clock() - self._checked >= CHECK_EVERY_SECONDS and self._lock.acquire(blocking=False):
            try:
                self._check()
            finally:
                self._lock.release()
        part, made = self._part, self._made
        if not part.mark:
            return in_file
        if made is None or made[0] is not in_file or made[1] is not part:
            made = self._made = (in_file, part, joined(in_file, part))
        return made[2]

    def _check(self) -> None:
        self._checked = self._clock()
        try:
            if self._rules.mark() == self._part.mark:
                return
            self._part = self._rules.part()
        except StoreUnavailable:
            return  # whoever needs the store says so
        log.info("rulebook.stored_part_read", mark=self._part.mark, silences=len(self._part.silences))


def joined(in_file: Rulebook, part: StoredPart) -> Rulebook:
    """Silences of the file come first; a shadow draft of the store takes the place of the file's."""
    shadow = STORED_PREFIX + part.shadow if part.shadow else in_file.shadow
    version = f"{in_file.version}+{part.mark}"
    return replace(in_file, silences=in_file.silences + part.silences, shadow=shadow, version=version)


@dataclass(frozen=True, slots=True)
class InFile:
    """The file's part of the rulebook in force. Implements ``ports.RulebookSource`` and asks no store."""

    live: LiveRulebook

    def current(self) -> Rulebook:
        """The part in force."""
        return self.live.in_file()


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything that was asked about one alert, and the answer."""

    alert_id: str
    tried: tuple[Tried, ...]
    """Silences, then rules, in order and up to the first match; the severity map last when none matched."""
    decision: Decision
    message: str
    title: str | None
    """The incident's, as it would be sent; None where there would be none."""
    details: dict[str, str]
    """What PagerDuty would see, with everything left out that may not leave."""


def explained(rulebook: Rulebook, alert: Alert, now: datetime) -> Explanation:
    """What this rulebook does with this alert, were it created now."""
    decision = decide(rulebook, alert, now)
    made = draft(alert, decision, rulebook) if decision.urgency else None
    details = dict(made.details) if made else {}
    title = made.title if made else None
    return Explanation(alert.alert_id, explain(rulebook, alert, now), decision, described(decision), title, details)


def described(decision: Decision) -> str:
    """The decision as a sentence."""
    by = "the severity map" if decision.rule == SEVERITY_MAP else f"the rule {decision.rule!r}"
    if decision.reason == SILENCED:
        return f"No incident: the silence {decision.rule!r} is in force."
    if decision.urgency is None:
        return f"No incident: {by} says so."
    where = f"service {decision.service_id}" if decision.service_id else "the integration key's own service"
    policy = f"policy {decision.escalation_policy_id}" if decision.escalation_policy_id else "the service's own policy"
    minutes = decision.hold_resolve_minutes
    held = f" A resolve from TruthVouch is held back for {minutes:g} minutes." if minutes else ""
    return f"An incident of {decision.urgency} urgency on {where}, {policy}: {by} says so.{held}"


@dataclass(frozen=True)
class StoredAlerts:
    """Alerts the bridge knows, for an explanation."""

    transactions: Transactions
    records: Records

    def __call__(self, alert_id: str) -> tuple[Alert, Decision | None] | None:
        """The alert as it is known now and what was decided when it came; None when the bridge does not know it."""
        with self.transactions.read() as tx:
            link = self.records.link(tx, AlertId(alert_id))
        return None if link is None else (link.alert, link.decision)


# --------------------------------------------------------------------------------------------- a draft beside the rules

# Whatever is wrong with the draft is said, and never touches live routing: then there is simply nothing to compare
# with.

MISSING = "the file is missing or empty"


@dataclass
class Shadow:
    """The draft that the rulebook in force names (``shadow:``), hot-reloaded with it."""

    live: RulebookSource
    load: Callable[[str], Rulebook]
    """Reads the draft of this name; may raise anything."""
    fingerprint: Callable[[str], Hashable]
    """Changes when the draft changes; None when it is not there."""
    count: Callable[[str], None] = lambda _kind: None
    """Told of every comparison: ``same``, ``gained``, ``lost``, ``moved``."""
    clock: Callable[[], float] = monotonic

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._seen: Hashable = ()
        self._draft: Rulebook | None = None
        self._fault = ""
        self._checked = float("-inf")

    @property
    def fault(self) -> str:
        """Why the draft is not asked; empty when it is, and when there is to be none."""
        self.current()
        return self._fault

    def current(self) -> Rulebook | None:
        """The draft; None when none is wanted or it cannot be read."""
        if self.clock() - self._checked >= CHECK_EVERY_SECONDS:
            with self._lock:
                self._check()
        return self._draft

    def _check(self) -> None:
        self._checked = self.clock()
        live = self.live.current()
        name = live.shadow
        # what the draft leaves out is the live rulebook's, so another one of that is another draft
        seen = (name, self.fingerprint(name), live.version) if name else None
        if seen == self._seen:
            return
        self._seen, self._draft, self._fault = seen, None, ""
        if name is None or seen is None:
            return
        try:
            if seen[1] is None:
                raise FileNotFoundError(MISSING)
            self._draft = replace(self.load(name), silences=())
            log.info("shadow.loaded", version=self._draft.version)
        except Exception as fault:  # whatever it is, the live rulebook goes on
            self._fault = str(fault)
            log.error("shadow.refused", faults=self._fault)

    def differs(self, live: Decision, alert: Alert, now: datetime) -> dict[str, Any] | None:
        """What the draft says otherwise about an alert, as facts for its time line; None when nothing. Silences are no
        part of the comparison: an alert that is silenced is not asked about."""
        try:
            draft = self.current()
            if draft is None or live.reason == SILENCED:
                return None
            said = decide(draft, alert, now)
            kind, moved = difference(live, said)
            self.count(kind)
        except Exception as fault:
            log.error("shadow.broke", reason=type(fault).__name__)
            return None
        if kind == "same":
            return None
        return {"change": kind, "moved": list(moved), "live": _decision_facts(live), "draft": _decision_facts(said)}


def _decision_facts(decision: Decision) -> dict[str, Any]:
    return {
        "urgency": decision.urgency.value if decision.urgency else "none",
        "rule": decision.rule,
        "reason": decision.reason,
        "service": decision.service_id,
        "policy": decision.escalation_policy_id,
        "title": decision.title,
        "rulebook": decision.version,
    }


REPORT_EVERY = 500
"""Alerts between two reports of progress."""

Progress = Callable[[int, int], None]
"""Called while alerts are read, with how many were and how many there are."""


@dataclass(frozen=True)
class Backtests:
    """Reads the store and changes nothing. ``since`` is included, ``until`` is not. Raises ``StoreUnavailable``."""

    transactions: Transactions
    past: PastAlerts

    def run(
        self, live: Rulebook, draft: Rulebook, since: datetime, until: datetime, progress: Progress | None = None
    ) -> Backtest:
        """Both rulebooks over the alerts first seen in that time."""
        test = Backtest(live, draft)
        for alert in self._alerts(since, until, progress):
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
        answers = Counter(matches(match, fields(alert.alert)) for alert in self._alerts(since, until))
        return answers[True], answers.total()

    def shadow(self, since: datetime, until: datetime) -> ShadowTally:
        """Where the draft of ``shadow:`` decided otherwise, as the time lines have it."""
        tally = ShadowTally()
        with self.transactions.read() as tx:
            for line in self.past.lines(tx, SHADOW_DIFFERS, since, until):
                tally.add(line["alert_id"], line["at"], line["facts"])
        return tally

    def field_names(self, *, newest_only: bool = False) -> Set[str] | None:
        """The fields of TruthVouch's own that any stored alert ever had; None where there is no alert. ``newest_only``:
        of the newest thousand alone, which costs the same however many are stored."""
        with self.transactions.read() as tx:
            return self.past.field_names(tx, newest_only=newest_only)

    def _alerts(self, since: datetime, until: datetime, progress: Progress | None = None) -> Iterator[PastAlert]:
        with self.transactions.read() as tx:
            total = self.past.count(tx, since, until) if progress else 0
            alerts, done = self.past.read(tx, since, until), 0
            while batch := list(islice(alerts, REPORT_EVERY)):
                yield from batch
                done += len(batch)
                if progress:
                    progress(done, max(done, total))


def backtested(found: Backtest, since: datetime, until: datetime, live: str, draft: str) -> dict[str, Any]:
    """A backtest as values, for people, machines and pages. ``live``, ``draft``: what either is called."""
    return {
        "since": since,
        "until": until,
        "live": {"file": live, "version": found.live.version},
        "draft": {"file": draft, "version": found.draft.version},
        "alerts": found.alerts,
        "left_out": found.undecided,
        "not_decidable": {"count": found.not_decidable.total(), "by_rule": dict(found.not_decidable.most_common())},
        "pages": asdict(found.total),
        "differences": differences(found.groups),
        "moved_in": dict(found.moved_in.most_common()),
        "noise_saved": {"count": sum(found.saved().values()), "by": dict(found.saved())},
        "cost": {"count": sum(found.costs().values()), "by": dict(found.costs())},
        "still_open": found.still_open,
        "rules": {
            name: {"matched": asdict(matched), "pages": asdict(found.by_rule[name])}
            for name, matched in found.matched.items()
        },
        "days": {day: asdict(pages) for day, pages in sorted(found.by_day.items())},
        "recorded_differs": dict(found.recorded_differs),
    }


def differences(groups: Mapping[Change, Group]) -> dict[str, Any]:
    """What a draft changes, by kind of change, as values."""
    return {
        kind: {"count": group.count, "by_rule": dict(group.by_rule.most_common()), "examples": group.examples}
        for kind, group in groups.items()
    }


def shadowed(tally: ShadowTally, since: datetime, draft: str | None, version: str | None, fault: str) -> dict[str, Any]:
    """What a draft beside the rules said otherwise, as values."""
    return {
        "since": since,
        "draft": draft,
        "version": version,
        "fault": fault or None,
        "differences": differences(tally.groups),
        "moved_in": dict(tally.moved_in),
        "days": dict(sorted(tally.by_day.items())),
        "versions": dict(tally.by_version),
    }


def names_of(rulebook: Rulebook) -> Mapping[str, tuple[str, ...]]:
    """The fields that are none of ours, by the rule or silence that names them."""
    asked = [(rule.name, rule.trigger) for rule in rulebook.rules]
    asked += [(silence.name, silence.match) for silence in rulebook.silences]
    compiled = [(name, understood(text)) for name, text in asked]
    return {name: trigger.foreign_fields for name, trigger in compiled if not isinstance(trigger, str)}
