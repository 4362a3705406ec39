"""Thousands of random scenarios of one alert in many kinds of worlds, each with what has to be true at its end.

Every scenario is told by its seed and its world alone: a failure prints both, and its log.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest

from app.domain.model.types import Side, Via
from app.domain.sync.effects import AddNote
from app.domain.sync.side_state import MAX_AHEAD
from tests.properties.scenarios import ACKNOWLEDGED, OUR_WORDS, PD, RESOLVED, TV, Act, Scenario, Switches

SEEDS = int(os.environ.get("BRIDGETEST_SCENARIOS", "150"))
"""Scenarios per world."""

MOST_CALLS = 400


@dataclass(frozen=True)
class World:
    """A kind of world, and which laws hold in it."""

    switches: Switches
    last: bool = True
    """Where one side alone acted since everybody last agreed, its last act stands. Not where webhooks are lost: then
    nobody can know the order."""
    furthest: bool = True
    """Where each side acted once, and neither knew of the other, the furthest along stands."""


RACES = (0.1, 2.0)
"""Seconds between acts: most of them fall into the calls that carry the one before."""

TROUBLE: dict[str, Any] = {"killed": 0.1, "unclear": 0.1, "failing": 0.1}


def world(last: bool = True, furthest: bool = True, **switches: Any) -> World:
    return World(Switches(**switches), last, furthest)


WORLDS: Mapping[str, World] = {
    "plain": world(),
    "no reconciliation": world(reads=False),
    "no times from TruthVouch": world(reports_time=False),
    "TruthVouch tells of people only": world(reports_api_changes=False),
    "TruthVouch forgets acknowledges": world(keeps_acknowledges=False),
    "TruthVouch reopens nothing": world(reopens=False),
    "TruthVouch shows no single alert": world(readable=False),
    "shuffled and doubled": world(shuffled=True, doubled=0.3),
    "retried and doubled": world(retried=0.1, doubled=0.2),
    "clocks that drift": world(drift=300.0),
    "TruthVouch far ahead": world(skew=0.0, ahead=840.0),
    "TruthVouch too far ahead": world(skew=0.0, ahead=1200.0),
    "slow": world(gap=(1.0, 10.0), latency=20.0, webhook=15.0),
    "killed": world(**TROUBLE),
    # What comes without a time after the answer of our write cannot be placed: a read decides, and shows our write.
    "no times, retried and doubled": world(furthest=False, reports_time=False, retried=0.1, doubled=0.2),
    "races": world(gap=RACES),
    "races without reconciliation": world(gap=RACES, reads=False),
    "races, clocks that drift": world(gap=RACES, drift=300.0),
    "races, TruthVouch far ahead": world(gap=RACES, skew=0.0, ahead=840.0),
    "races, no times from TruthVouch": world(gap=RACES, reports_time=False),
    "races, TruthVouch tells of people only": world(gap=RACES, reports_api_changes=False),
    "races, TruthVouch forgets acknowledges": world(gap=RACES, keeps_acknowledges=False),
    "races, TruthVouch reopens nothing": world(gap=RACES, reopens=False),
    "races, TruthVouch shows no single alert": world(gap=RACES, readable=False),
    "races, shuffled and doubled": world(gap=RACES, shuffled=True, doubled=0.3),
    "races, killed": world(gap=RACES, furthest=False, **TROUBLE),
    "races, lost": world(gap=RACES, last=False, furthest=False, lost=0.3, shuffled=True),
    # Where neither a time nor a read can tell, what an earlier write of ours said is not taken for a person's.
    "no times, no single alert": world(furthest=False, reports_time=False, readable=False),
    "races, no times, no single alert": world(furthest=False, gap=RACES, reports_time=False, readable=False),
    "everything": world(
        last=False, furthest=False, gap=(0.1, 8.0), lost=0.2, shuffled=True, doubled=0.2, retried=0.05, latency=5.0,
        **TROUBLE,
    ),
    **{
        f"by event, {name}{kind}": world(via=Via.EVENTS, alerts_reopen=opens, **switches)
        for opens, kind in ((True, ""), (False, ", and what was resolved stays so behind an incident"))
        for name, switches in {
            "plain": dict[str, Any](),
            "TruthVouch tells of people only": {"reports_api_changes": False},
            "no times from TruthVouch": {"reports_time": False},
            "races": {"gap": RACES},
            "races, no times": {"gap": RACES, "reports_time": False},
            "shuffled and doubled": {"shuffled": True, "doubled": 0.3},
            "killed": {"killed": 0.1},
            "killed and unclear": {**TROUBLE},
            "races, killed": {"gap": RACES, **TROUBLE, "furthest": False},
            "everything": {
                "gap": (0.1, 8.0), "lost": 0.2, "shuffled": True, "doubled": 0.2, **TROUBLE, "last": False,
                "furthest": False,
            },
        }.items()
    },
}  # fmt: skip


def since_quiet(acts: list[Act]) -> list[Act]:
    """The acts from the last one that found everybody in agreement."""
    start = max((n for n, act in enumerate(acts) if act.quiet), default=0)
    return acts[start:]


def verdict(scenario: Scenario, world: World) -> str:
    """What is wrong with how a scenario ended; empty when nothing is."""
    link, switches = scenario.link, scenario.switches
    alert, incident = scenario.far[TV].status, scenario.far[PD].status
    if len(scenario.calls) >= MOST_CALLS:
        return "loop"
    if scenario.pages > 1:
        return "paged twice"
    if scenario.pages == 0:
        return "" if alert is RESOLVED and link.is_over else "nobody was paged"
    if link.incident_id is None:
        return "" if alert is incident is RESOLVED else "its incident is not known"
    if alert is not incident:
        refused = link.truthvouch.refused
        closed = not switches.reopens and alert is RESOLVED and refused is not None
        forgot = not switches.keeps_acknowledges and refused is ACKNOWLEDGED is incident
        if not closed and not forgot:
            return f"unequal: {alert}, {incident}"
    if (link.alert_side.status, link.incident_side.status) != (alert, incident):
        return f"known: {link.alert_side.status}, {link.incident_side.status}; real: {alert}, {incident}"
    if link.status is not incident:
        return f"should be {link.status}"
    if alert is incident and link.agreed is not alert:
        return f"agreed {link.agreed}"
    if any(link.side(side).pending for side in Side):
        return "a write is pending"
    if any(
        link.delivery(side).outstanding or scenario.outstanding[side].busy or scenario.outstanding[side].due is not None
        for side in Side
    ):
        return "a delivery is outstanding"
    group = since_quiet(scenario.acts)
    if not group:
        return ""
    if world.last and len({act.side for act in group}) == 1 and incident is not group[-1].status:
        return "" if _is_blurred(group, scenario) else f"the last act was {group[-1].status}"
    return (_furthest(group, scenario) if world.furthest else "") or words(scenario)


def words(scenario: Scenario) -> str:
    """What is wrong with the notes: what a person wrote with a resolve at TruthVouch makes one, whether its webhook or
    a read was first, and what the bridge wrote there makes none."""
    notes = {effect.content for _, effect in scenario.calls if isinstance(effect, AddNote)}
    if any(OUR_WORDS in note for note in notes) and not _is_blurred(scenario.acts, scenario):
        return "our own words came back"
    switches = scenario.switches
    if switches.lost or not switches.reports_time or timedelta(seconds=switches.ahead) > MAX_AHEAD:
        return ""
    for act in undisturbed(scenario.acts):
        found = [note for note in notes if act.words in note]
        if (act.side, act.status) == (TV, RESOLVED) and len(found) != 1:
            return f"{len(found)} notes of {act.words}"
    return ""


def undisturbed(acts: list[Act]) -> Iterator[Act]:
    """The acts that found everybody in agreement, and that nobody disturbed."""
    for n, act in enumerate(acts):
        if act.quiet and (n + 1 == len(acts) or acts[n + 1].quiet):
            yield act


def _is_blurred(group: list[Act], scenario: Scenario) -> bool:
    """Whether one of these acts fell into the second in which a write of ours arrived there. An answer tells no more
    than seconds, so nobody can tell which was first: then the furthest along counts, as if the act had been overruled
    by a write that did not know of it."""
    return any((act.side, act.second) in scenario.arrivals for act in group)


def _furthest(group: list[Act], scenario: Scenario) -> str:
    if len(group) != 2 or group[0].side is group[1].side or group[0].writes != group[1].writes:
        return ""
    if any(act.alike for act in group):
        return ""
    furthest = max(group, key=lambda act: act.status.rank)
    # Without a time nobody can tell it from the late echo of what a write of ours said there before.
    unplaced = furthest.side is TV and not scenario.switches.reports_time
    if unplaced and furthest.status in scenario.link.alert_side.written:
        return ""
    return "" if scenario.far[PD].status is furthest.status else f"the furthest was {furthest.status}"


@pytest.mark.parametrize("name", WORLDS)
def test_how_scenarios_end(name: str) -> None:
    world = WORLDS[name]
    for seed in range(SEEDS):
        scenario = Scenario(seed, world.switches).play()
        wrong = verdict(scenario, world)
        assert not wrong, f"{wrong}\nworld {name!r}, seed {seed}, {world.switches}\n" + "\n".join(scenario.log)
