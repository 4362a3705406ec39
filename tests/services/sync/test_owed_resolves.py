"""Every trigger is owed a resolve: whatever is changed while an incident is open, the alert's resolve still closes it,
to the API it was opened by."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from app.domain.model.events import AlertEventType, CommandType
from app.domain.model.incident import IncidentDraft
from app.domain.model.outcome import Retry
from app.domain.model.types import Status, Urgency, Via
from app.domain.rules.rulebook import Rule, RuleAction, Rulebook
from app.pagerduty.events_api import EventsApi
from app.remote.replies import Answer, Failure
from app.services.sync.execute_effect import Perform
from tests.fakes import FakePagerDuty, FakeTruthVouch
from tests.rig import Rig
from tests.services.rigs import DatedTruthVouch, TimedEngine, TimedRig

MAIN, SECOND = "PMAIN", "P2"
KEYS = {MAIN: "key-of-main", SECOND: "key-of-second"}


@dataclass
class Account(FakePagerDuty):
    """PagerDuty as both APIs know it: an alert belongs to the integration key it was triggered with."""

    opened_with: dict[str, str] = field(default_factory=dict)
    """Incident -> routing key."""
    in_maintenance: bool = False

    def call(self, _method: str, _url: str, *, json: Mapping[str, Any], **_: Any) -> Answer | Failure:
        """An event that was let in: 202, whatever comes of it; or its answer is lost (``reset``)."""
        action, key, routing_key = json["event_action"], json["dedup_key"], json["routing_key"]
        self.calls.append(f"event {action} {routing_key}")
        fault = self.faults.next()
        ours = [i for i in self.open_with(key) if self.opened_with.get(i.incident_id) == routing_key]
        if self.in_maintenance:
            ours = []
        elif action == "trigger" and not ours:
            draft = IncidentDraft(key, json["payload"]["summary"], Urgency.HIGH, "critical", "source", {})
            self.opened_with[self._new(draft).incident_id] = routing_key
        else:
            for incident in ours:
                self.put(incident.incident_id, Status.RESOLVED if action == "resolve" else Status.ACKNOWLEDGED)
        done = Answer(202, {}, b'{"status": "success"}', self.clock(), True)
        return Failure("connection_reset", unclear=True) if fault == "reset" else done


class Bridge(TimedRig):
    """A bridge with both APIs, which can be stopped and started with other settings on the same store."""

    def __init__(
        self,
        folder: Path,
        via: Via,
        rulebook: Rulebook = Rulebook(),  # noqa: B008 - a frozen value
        keys: Mapping[str, str] = KEYS,
        default_key: str | None = None,
        before: "Bridge | None" = None,
        has_api_key: bool = True,
    ) -> None:
        self._folder, self._before = folder, before
        super().__init__(folder, via, has_api_key)
        self.rulebook.rulebook = rulebook
        if before is not None:
            self.said = before.said
        events = EventsApi(self.account, "https://events.test", default_key, keys)  # type: ignore[arg-type]
        self.deliver.perform = Perform(self.pagerduty if has_api_key else None, events, self.truthvouch, self.rulebook)

    def far_sides(self) -> tuple[FakePagerDuty, FakeTruthVouch]:
        if self._before is None:
            self.account = Account(self.clock)
            return self.account, DatedTruthVouch(clock=self.clock)
        self.clock, self.account = self._before.clock, self._before.account
        return self.account, self._before.truthvouch

    def an_engine(self) -> TimedEngine:
        return self._before.engine if self._before else super().an_engine()

    def restarted(self, via: Via, **changes: Any) -> "Bridge":
        """The same installation after a restart."""
        return Bridge(self._folder, via, **{"rulebook": self.rulebook.rulebook, "before": self, **changes})

    def run_until_quiet(self) -> None:
        self.wait(60)

    def incident_status(self) -> list[Status]:
        return [incident.status for incident in self.account.incidents.values()]


OPENING = Rule("page-it", "severity == critical", RuleAction.CREATE_INCIDENT, urgency=Urgency.HIGH, service_id=SECOND)
SUPPRESSING = Rule("hush", "severity in [low, medium, high, critical]", RuleAction.SUPPRESS)
NOTHING_PAGES: Mapping[str, Urgency | None] = dict.fromkeys(("critical", "high", "medium", "low"))
BY_RULE = Rulebook(rules=(OPENING,), service_id=MAIN, version="one")


def other(via: Via) -> Via:
    return Via.REST if via is Via.EVENTS else Via.EVENTS


Change = Callable[[Bridge, Via], Bridge]


def _rulebook(**changes: Any) -> Change:
    def change(bridge: Bridge, _via: Via) -> Bridge:
        bridge.rulebook.rulebook = replace(bridge.rulebook.rulebook, version="two", **changes)
        return bridge

    return change


def _severity_drops(bridge: Bridge, _via: Via) -> Bridge:
    bridge.alert(AlertEventType.CREATED, severity="low")
    bridge.run_until_quiet()
    return bridge


def _there_and_back(bridge: Bridge, via: Via) -> Bridge:
    elsewhere = bridge.restarted(other(via))
    elsewhere.run_until_quiet()
    return elsewhere.restarted(via)


CHANGES: Mapping[str, Change] = {
    "nothing changes": lambda bridge, _via: bridge,
    "the severity drops": _severity_drops,
    "a suppressing rule is put first": _rulebook(rules=(SUPPRESSING, OPENING)),
    "the rule is deleted": _rulebook(rules=(), severity_map=NOTHING_PAGES),
    "the severity map says none": _rulebook(severity_map=NOTHING_PAGES),
    "the rule names another service": _rulebook(rules=(replace(OPENING, service_id=MAIN),)),
    "the default service is another": _rulebook(service_id="P9"),
    "via changes": lambda bridge, via: bridge.restarted(other(via)),
    "via changes and changes back": _there_and_back,
    "the bridge restarts": lambda bridge, via: bridge.restarted(via),
    "everything changes at once": lambda bridge, via: bridge.restarted(
        other(via), rulebook=Rulebook(rules=(SUPPRESSING,), severity_map=NOTHING_PAGES, service_id=MAIN)
    ),
}


@pytest.mark.parametrize("via", [Via.REST, Via.EVENTS])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("severity", ["critical", "low"])
def test_the_resolve_goes_out_to_the_api_the_incident_was_opened_by(
    tmp_path: Path, via: Via, change: str, severity: str
) -> None:
    bridge = Bridge(tmp_path, via, BY_RULE)
    bridge.alert(AlertEventType.CREATED)
    bridge.run_until_quiet()
    assert [Status.OPEN] == bridge.incident_status()
    bridge = CHANGES[change](bridge, via)
    bridge.account.calls.clear()
    bridge.alert(AlertEventType.RESOLVED, severity=severity)
    bridge.run_until_quiet()
    assert [Status.RESOLVED] == bridge.incident_status()
    closing = {Via.REST: "put resolved", Via.EVENTS: f"event resolve {KEYS[SECOND]}"}
    assert closing[via] == bridge.account.calls[0]
    assert 1 == len([call for call in bridge.account.calls if "resolve" in call])


@pytest.mark.parametrize("via", [Via.REST, Via.EVENTS])
@pytest.mark.parametrize("change", CHANGES)
def test_a_resolve_that_comes_while_the_create_is_unclear_still_closes_what_it_made(
    tmp_path: Path, via: Via, change: str
) -> None:
    """The answer to the create is lost, the settings change, the alert is resolved."""
    bridge = Bridge(tmp_path, via, BY_RULE)
    bridge.account.faults.queue.append("reset")
    bridge.alert(AlertEventType.CREATED)
    bridge.engine.run(bridge.deliver, at_most=1)
    bridge.clock.move(1)
    bridge = CHANGES[change](bridge, via)
    bridge.alert(AlertEventType.RESOLVED)
    bridge.run_until_quiet()
    assert [Status.RESOLVED] * len(bridge.account.incidents) == bridge.incident_status()
    assert bridge.account.incidents


# ------------------------------------------------------------------------------------------------ the key is gone


def opened_by_event(tmp_path: Path, **settings: Any) -> Bridge:
    bridge = Bridge(tmp_path, Via.EVENTS, BY_RULE, **settings)
    bridge.alert(AlertEventType.CREATED)
    bridge.run_until_quiet()
    bridge.account.calls.clear()
    return bridge


def test_without_any_integration_key_the_resolve_is_held_and_goes_out_when_the_key_is_back(tmp_path: Path) -> None:
    bridge = opened_by_event(tmp_path).restarted(Via.EVENTS, keys={MAIN: KEYS[MAIN]})
    bridge.alert(AlertEventType.RESOLVED)
    bridge.engine.run(bridge.deliver, at_most=5)
    delivery = bridge.link().pagerduty
    assert ([Status.OPEN], [], "no_integration_key") == (
        bridge.incident_status(),
        bridge.account.calls,
        delivery.failing,
    )
    assert delivery.outstanding
    back = bridge.restarted(Via.EVENTS, keys=KEYS)
    back.run_until_quiet()
    assert [Status.RESOLVED] == back.incident_status()
    assert [f"event resolve {KEYS[SECOND]}"] == [call for call in back.account.calls if "resolve" in call]


# ------------------------------------------------------------------------------------------------ maintenance


def resolves(bridge: Bridge) -> list[str]:
    return [call for call in bridge.account.calls if "resolve" in call]


def test_a_resolve_without_effect_is_repeated_until_it_has_one(tmp_path: Path) -> None:
    bridge = opened_by_event(tmp_path)
    bridge.account.in_maintenance = True
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(4)
    assert [Status.OPEN] == bridge.incident_status()
    pending = bridge.link().incident_side.pending
    assert pending is not None
    assert (Status.RESOLVED, Status.OPEN) == (pending.status, bridge.link().agreed)
    bridge.wait(4)
    bridge.account.in_maintenance = False
    bridge.run_until_quiet()
    assert ([Status.RESOLVED], None) == (bridge.incident_status(), bridge.link().incident_side.pending)
    assert [f"event resolve {KEYS[SECOND]}"] * 3 == resolves(bridge)
    assert not bridge.link().pagerduty.outstanding


def test_who_resolved_it_by_hand_in_the_meantime_ends_the_repeating(tmp_path: Path) -> None:
    bridge = opened_by_event(tmp_path)
    bridge.account.in_maintenance = True
    bridge.alert(AlertEventType.RESOLVED)
    bridge.wait(5)
    bridge.account.put("Q1", Status.RESOLVED)
    tried = resolves(bridge)
    bridge.run_until_quiet()
    assert [f"event resolve {KEYS[SECOND]}"] == tried == resolves(bridge)
    assert not bridge.link().pagerduty.outstanding


def test_a_page_swallowed_by_a_maintenance_window_becomes_a_dead_letter_and_its_replay_pages(tmp_path: Path) -> None:
    bridge = Bridge(tmp_path, Via.EVENTS, BY_RULE)
    bridge.account.in_maintenance = True
    bridge.alert(AlertEventType.CREATED)
    bridge.engine.run(bridge.deliver, at_most=30)
    assert ("trigger_had_no_effect", False) == (bridge.link().pagerduty.dead, bridge.link().pagerduty.outstanding)
    bridge.account.in_maintenance = False
    bridge.command(CommandType.REPLAY, 1)
    bridge.run_until_quiet()
    assert [Status.OPEN] == bridge.incident_status()
    assert "Q1" == bridge.link().incident_id
    bridge.alert(AlertEventType.RESOLVED)
    bridge.run_until_quiet()
    assert [Status.RESOLVED] == bridge.incident_status()


def test_an_alert_resolved_in_the_window_it_was_raised_in_pages_nobody_afterwards(tmp_path: Path) -> None:
    bridge = Bridge(tmp_path, Via.EVENTS, BY_RULE)
    bridge.account.in_maintenance = True
    bridge.alert(AlertEventType.CREATED)
    bridge.engine.run(bridge.deliver, at_most=13)
    bridge.alert(AlertEventType.RESOLVED)
    bridge.account.in_maintenance = False
    bridge.run_until_quiet()
    assert [] == bridge.incident_status()
    assert not bridge.link().pagerduty.outstanding


def test_a_resolve_sent_to_another_key_than_the_trigger_is_made_up_for_by_rest(tmp_path: Path) -> None:
    """Without its own key a service falls back to the default one, where nobody knows of the incident."""
    bridge = opened_by_event(tmp_path).restarted(Via.EVENTS, keys={}, default_key=KEYS[MAIN])
    bridge.alert(AlertEventType.RESOLVED)
    bridge.run_until_quiet()
    assert [Status.RESOLVED] == bridge.incident_status()
    assert "put resolved" in bridge.account.calls


def test_a_page_that_could_not_be_looked_for_in_a_week_is_closed_by_a_replay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its create was unclear and had its effect; its alert is over."""
    rig = Rig(tmp_path)
    rig.pagerduty.faults.queue.append("reset")
    rig.alert(AlertEventType.CREATED)
    with monkeypatch.context() as patch:
        patch.setattr(rig.pagerduty, "find", lambda *_: Retry("http_500"))
        rig.engine.run(rig.deliver, at_most=1)
        rig.clock.move(1)
        rig.alert(AlertEventType.RESOLVED)
        for _ in range(8 * 24):
            rig.clock.move(3600)
            rig.engine.run(rig.deliver, at_most=1)
    assert ("gave_up:http_500", {}) == (rig.link().pagerduty.dead, rig.engine.waiting)
    assert ["open"] == [facts.status for facts in rig.pagerduty.incidents.values()]
    rig.command(CommandType.REPLAY, 1)
    rig.run()
    assert ["resolved"] == [facts.status for facts in rig.pagerduty.incidents.values()]
