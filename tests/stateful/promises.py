"""What has to be true of the two sides once it is quiet."""

import re
from collections import Counter

from app.domain.model.types import Status, Via
from app.domain.sync.link import Link
from tests.stateful.model import expected
from tests.stateful.world import WRITE_LOST, World

WANTS_INCIDENT = ("critical", "high")
MUCH = 2
"""Changes per act: one on the other side, and one to mend what an older event, heard late, did on its own."""
ASKED = 6
"""Calls that ask for one change, until it is kept or given up."""


def check(world: World, calm: bool) -> None:
    """Every promise. ``calm``: no webhook was lost, and no process died."""
    if calm:
        webhooks_alone_were_enough(world)
    nothing_waits(world)
    for link in world.all_links():
        one_incident(world, link)
        if link.alert.alert_id not in world.discarded:
            what_is_known_is_true(world, link)
            both_sides_agree(world, link)
            people_had_the_last_word(world, link)
    every_note_once(world)
    what_is_not_ours_is_left_alone(world)
    few_writes(world)


def nothing_waits(world: World) -> None:
    for link in world.all_links():
        assert not link.truthvouch.outstanding, link
        assert not link.pagerduty.outstanding, link
        assert None is link.frozen_at, link
    forgets = not world.switches.keeps_acknowledges
    assert [] == [
        dead_letter
        for dead_letter, _ in world.open_dead_letters()
        if not (forgets and dead_letter.reason == WRITE_LOST)
    ]
    assert {} == world.engine.waiting


def webhooks_alone_were_enough(world: World) -> None:
    """Both sides agree before anybody looks, where TruthVouch tells enough for that, in its order: *acknowledged* never
    follows *resolved*, whatever came in between is heard too late."""
    if not says_enough(world) or not world.switches.keeps_acknowledges or world.crossed_at_truthvouch:
        return
    for link, alert, incident in world.agreed_unlooked:
        assert alert is link.status or stays_closed(world, link), (alert, link)
        if incident is not None and not link.shares:
            assert incident is link.status, (incident, link)


def says_enough(world: World) -> bool:
    """Whether anything shows in which order things happened at TruthVouch. Where nothing does, nobody can tell a late
    echo of our own write from what a person did there, and what was not kept from what was taken back."""
    switches = world.switches
    return switches.reports_times or (switches.shows_single and switches.keeps_acknowledges)


def stays_closed(world: World, link: Link) -> bool:
    """Whether TruthVouch was asked to open what it does not open again."""
    closed = world.truthvouch.status[link.alert.alert_id] is Status.RESOLVED
    return closed and link.truthvouch.refused is not None and not world.switches.reopens


def is_refused(world: World, link: Link) -> bool:
    """Whether TruthVouch said a final no to an acknowledge or a reopen: the time line says so, and no dead letter."""
    refused = link.truthvouch.refused is not None and link.status is not Status.RESOLVED
    return refused and world.truthvouch.trouble.said_no


def is_reported_lost(world: World, link: Link) -> bool:
    """Whether TruthVouch forgot an acknowledge, and a dead letter says so."""
    dead_letters = [
        dead_letter for dead_letter, alert_id in world.all_dead_letters() if alert_id == link.alert.alert_id
    ]
    answer = any(dead_letter.reason == WRITE_LOST for dead_letter in dead_letters)
    return answer and link.status is Status.ACKNOWLEDGED and not world.switches.keeps_acknowledges


def one_incident(world: World, link: Link) -> None:
    """Never two open ones; one for every life, and one for every merge that it had to leave."""
    alert_id = link.alert.alert_id
    made = [facts for facts in world.pagerduty.incidents.values() if facts.incident_key == link.incident_key]
    still_open = [facts for facts in made if facts.status is not Status.RESOLVED]
    assert len(still_open) <= 1, made
    if world.truthvouch.severity[alert_id] not in WANTS_INCIDENT:
        assert [] == made
        return
    changes = world.changes_of(alert_id)
    merges = sum(bool(change.merged_into) for change in changes)
    # An event opens another one where PagerDuty's own alert has stayed resolved, or the old one has no id yet.
    reopened = (
        sum(c.before is Status.RESOLVED and c.by_person for c in changes) if world.switches.via is Via.EVENTS else 0
    )
    assert len(made) <= 1 + merges + reopened, made
    if link.status is not Status.RESOLVED and alert_id not in world.discarded:
        assert made, link


def what_is_known_is_true(world: World, link: Link) -> None:
    if link.is_over:
        return
    assert world.truthvouch.status[link.alert.alert_id] is link.alert_side.status, link
    if link.incident_id is not None:
        assert world.pagerduty.incidents[link.incident_id].status is link.incident_side.status, link


def both_sides_agree(world: World, link: Link) -> None:
    """The alert with the link, unless TruthVouch does not do what it is asked; the incident with all its alerts."""
    alert = world.truthvouch.status[link.alert.alert_id]
    excused = stays_closed(world, link) or is_reported_lost(world, link) or is_refused(world, link)
    assert alert is link.status or excused, (alert, link)
    if link.incident_id is None:
        return
    facts = world.pagerduty.incidents[link.incident_id]
    # What is over on both sides is not looked at any more: a merge after it, of which nobody told, changes nothing.
    assert not facts.merged_into or link.status is Status.RESOLVED, (facts, link)
    if link.incident_id in world.pagerduty.by_hand:
        assert facts.status is not Status.RESOLVED or link.status is Status.RESOLVED, (facts, link)
        return
    sharing = [other for other in world.all_links() if other.incident_id == link.incident_id]
    ended = {other.status for other in sharing} == {Status.RESOLVED}
    assert ended is (facts.status is Status.RESOLVED), (facts, sharing)
    if len(sharing) == 1 and not link.shares:
        assert facts.status is link.status, (facts, link)


def people_had_the_last_word(world: World, link: Link) -> None:
    """What one side's people did last; where each side's did one thing at a time, what came last; where both did one
    thing at once, the furthest along. Alerts that share an incident are judged in ``test_merges``; what was lost
    cannot be carried."""
    alert_id = link.alert.alert_id
    if world.lost or link.shares or alert_id not in world.agreed or not link.paged:
        return
    since, base = world.agreed[alert_id]
    changes = world.changes_of(alert_id, since)
    if any(change.merged_into for change in changes) or not says_enough(world):
        return
    wanted = expected(base, changes)
    if wanted is None or (world.switches.hold and link.flaps):
        return
    assert link.status in wanted, (wanted, changes, link)


def every_note_once(world: World) -> None:
    written = Counter(note.content for notes in world.pagerduty.notes_on.values() for note in notes)
    ours = {content: times for content, times in written.items() if content.startswith("[TruthVouch] ")}
    assert set(ours.values()) <= {1}, ours
    refs = {found[1] for content in ours if (found := re.search(r"\(ref (\w+)\)$", content))}
    # What was over before PagerDuty had anything about it leaves a note that has no incident to stand on.
    noted = [link for link in world.all_links() if link.incident_id is not None]
    pending = {note.ref for link in noted for note in link.notes if not note.given_up}
    assert pending <= refs or world.discarded, (pending, ours)


def what_is_not_ours_is_left_alone(world: World) -> None:
    # An event goes to wherever PagerDuty has our alert by then, a merge included of which nobody has told us.
    touched = {change.subject for change in world.written() if not change.by_event}
    assert set() == touched & world.pagerduty.by_hand


def few_writes(world: World) -> None:
    """Bounded by what people did, and by what went wrong on the way."""
    people = sum(change.by_person * max(len(change.about), 1) for change in world.journal)
    trouble = world.disturbances + world.pagerduty.trouble.met + world.truthvouch.trouble.met
    alerts = len(world.truthvouch.status)
    assert len(world.written()) <= MUCH * (people + alerts + trouble), (people, trouble, world.written())
    assert len(world.asked()) <= ASKED * (people + alerts + trouble), (people, trouble, world.asked())
