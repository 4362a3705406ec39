"""The watch over the webhook subscription: what PagerDuty switched off is switched on, and the gap is filled."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from app.domain.model.outcome import Done, Held, Refused, Reply, Retry
from app.domain.model.subscription import Mend, Scope, Subscription, Wanted, from_text
from app.ports import Created
from app.services.diagnostics.health import KEY, WatchSubscriptions
from app.store.database import StoredKeyValues
from tests.rig import Rig

EVENTS = ("incident.triggered", "incident.resolved")
WANTED = Wanted("https://bridge.example.com", EVENTS, ("P1",))
GOOD = Subscription("S1", "https://bridge.example.com/pagerduty/webhook", (*EVENTS, "incident.escalated"))


@dataclass
class FakeSubscriptions:
    """Keeps state, counts calls, fails as told."""

    there: list[Subscription] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    list_fails: Held | Refused | Retry | None = None
    mend_fails: Refused | None = None

    def list(self) -> Reply[tuple[Subscription, ...]]:
        return self.list_fails or Done(tuple(self.there))

    def _change(self, ident: str, **changes: object) -> Reply[Subscription]:
        if self.mend_fails:
            return self.mend_fails
        (n,) = [n for n, one in enumerate(self.there) if one.subscription_id == ident]
        self.there[n] = replace(self.there[n], **changes)  # type: ignore[arg-type]
        return Done(self.there[n])

    def enable(self, subscription_id: str) -> Reply[None]:
        self.calls.append(f"enable {subscription_id}")
        reply = self._change(subscription_id, temporarily_disabled=False)
        return Done(None) if isinstance(reply, Done) else reply

    def update(self, subscription_id: str, events: Sequence[str]) -> Reply[Subscription]:
        self.calls.append(f"update {subscription_id}")
        return self._change(subscription_id, active=True, events=tuple(events))

    def create(self, url: str, events: Sequence[str], scope: Scope) -> Reply[Created]:
        raise AssertionError("only a command creates")

    def ping(self, subscription_id: str) -> Reply[None]:
        self.calls.append(f"ping {subscription_id}")
        return Done(None)


class Watched:
    """A watch over a real store."""

    def __init__(self, folder: Path) -> None:
        self.rig, self.far, self.asked = Rig(folder), FakeSubscriptions(), 0
        self.watch = WatchSubscriptions(
            self.far, lambda: WANTED, self.rig.database, StoredKeyValues(), self._ask, self.rig.clock
        )

    def _ask(self) -> None:
        self.asked += 1

    def remembered(self) -> list[str] | None:
        with self.rig.database.read() as tx:
            verdict = from_text(StoredKeyValues().read(tx, KEY))
        return None if verdict is None else [fault.code for fault in verdict.faults]


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_what_pagerduty_switched_off_is_switched_on_and_the_gap_is_filled(watched: Watched) -> None:
    watched.far.there = [replace(GOOD, temporarily_disabled=True)]
    verdict = watched.watch()
    assert (["enable S1", "ping S1"], 1) == (watched.far.calls, watched.asked)
    assert (("subscription_temporarily_disabled",), ()) == (verdict.mended, verdict.faults)
    assert [] == watched.remembered()


def test_a_healthy_one_is_left_alone(watched: Watched) -> None:
    watched.far.there = [GOOD]
    watched.watch()
    assert ([], 0, []) == (watched.far.calls, watched.asked, watched.remembered())


@pytest.mark.parametrize(
    ("there", "code"),
    [
        ([replace(GOOD, active=False)], "subscription_inactive"),
        ([replace(GOOD, events=EVENTS[:1])], "subscription_events_missing"),
        ([], "subscription_missing"),
    ],
)
def test_by_itself_it_changes_nothing_that_a_person_decided(
    watched: Watched, there: list[Subscription], code: str
) -> None:
    watched.far.there = list(there)
    watched.watch()
    assert ([], 0, [code]) == (watched.far.calls, watched.asked, watched.remembered())


def test_asked_by_a_person_it_mends_everything_and_keeps_the_events_there_were(watched: Watched) -> None:
    watched.far.there = [replace(GOOD, active=False, events=("incident.escalated",), temporarily_disabled=True)]
    verdict = watched.watch.repair(set(Mend))
    assert () == verdict.faults
    assert ("incident.escalated", *EVENTS) == watched.far.there[0].events
    assert 1 == watched.asked


def test_what_could_not_be_mended_is_still_wrong_and_asks_for_nothing(watched: Watched) -> None:
    watched.far.there = [replace(GOOD, temporarily_disabled=True)]
    watched.far.mend_fails = Refused("forbidden", 403)
    verdict = watched.watch()
    assert ((), 0) == (verdict.mended, watched.asked)
    assert ["subscription_temporarily_disabled"] == watched.remembered()


def test_a_key_that_may_not_look_is_a_warning(watched: Watched) -> None:
    watched.far.list_fails = Held("forbidden")
    (fault,) = watched.watch().faults
    assert ("subscriptions_not_readable", True) == (fault.code, fault.warning)
    assert ["subscriptions_not_readable"] == watched.remembered()


@pytest.mark.parametrize("reason", ["unauthorized", "redirected", "unsendable"])
def test_a_key_that_is_refused_is_no_key_that_may_not_look(watched: Watched, reason: str) -> None:
    watched.far.list_fails = Held(reason)
    (fault,) = watched.watch().faults
    assert ("subscriptions_not_read", "See the check `pagerduty_key`.") == (fault.code, fault.remedy)


def test_a_look_that_failed_leaves_the_last_ones_word(watched: Watched) -> None:
    watched.far.there = [replace(GOOD, active=False)]
    watched.watch()
    watched.far.list_fails = Retry("http_503")
    assert ["subscriptions_not_read"] == [fault.code for fault in watched.watch().faults]
    assert ["subscription_inactive"] == watched.remembered()


def test_every_fault_is_reported_in_the_log(watched: Watched) -> None:
    watched.far.there = [replace(GOOD, active=False)]
    with capture_logs() as lines:
        watched.watch()
    (line,) = [line for line in lines if line["event"] == "subscription.unhealthy"]
    assert ("subscription_inactive", "S1", "error") == (line["code"], line["subscription_id"], line["log_level"])
