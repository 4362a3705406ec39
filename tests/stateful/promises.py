"""What has to be true of the two sides once it is quiet."""

from collections import Counter

from app.domain.echo import TOLERANCE
from app.domain.link import Link
from app.domain.names import Side, Status, Via
from tests.stateful.model import Deed, allowed
from tests.stateful.world import World

DESERVES = ("critical", "high")
MUCH = 2
"""Writes per deed: one on the other side, and one to mend what an older word, heard late, did on its own."""


def check(world: World, calm: bool) -> None:
    """Every promise. ``calm``: no webhook was lost, and no process died."""
    if calm:
        webhooks_alone_were_enough(world)
    nothing_waits(world)
    for link in world.all_links():
        one_incident(world, link)
        if link.alert.alert_id not in world.discarded:
            both_sides_agree(world, link)
            the_newest_word_won(world, link)
    every_note_once(world)
    what_is_not_ours_is_left_alone(world)
    few_writes(world)


def nothing_waits(world: World) -> None:
    for link in world.all_links():
        assert not link.truthvouch.outstanding, link
        assert not link.pagerduty.outstanding, link
        assert None is link.frozen_at, link
    assert [] == world.open_letters()
    assert {} == world.engine.waiting


def webhooks_alone_were_enough(world: World) -> None:
    """Both sides agree before anybody looks."""
    for link, alert, incident in world.agreed_unlooked:
        refused_to_go_back = link.truthvouch.refused is link.status and link.status is not Status.RESOLVED
        assert alert is link.status or refused_to_go_back, (alert, link)
        if incident is not None and not link.shares:
            assert incident is link.status, (incident, link)


def one_incident(world: World, link: Link) -> None:
    """Exactly one ever, for an alert that deserves one and was not over before it was heard of."""
    made = [facts for facts in world.pagerduty.incidents.values() if facts.incident_key == link.incident_key]
    still_open = [facts for facts in made if facts.status is not Status.RESOLVED]
    assert len(still_open) <= 1, made
    if world.truthvouch.severity[link.alert.alert_id] not in DESERVES:
        assert [] == made
        return
    # The Events API cannot reopen what has no id yet: design says a new trigger.
    reopened = any(deed.kind == "reopen" for deed in deeds_of(world, link))
    most = 2 if world.via is Via.EVENTS and reopened else 1
    assert len(made) <= most, made
    if link.status is not Status.RESOLVED and link.alert.alert_id not in world.discarded:
        assert made, link


def both_sides_agree(world: World, link: Link) -> None:
    """The alert with the link, unless TruthVouch refused for good to go back; the incident with all its alerts."""
    alert = world.truthvouch.status[link.alert.alert_id]
    refused_to_go_back = link.truthvouch.refused is link.status and link.status is not Status.RESOLVED
    assert alert is link.status or refused_to_go_back, (alert, link)
    if link.incident_id is None:
        return
    facts = world.pagerduty.incidents[link.incident_id]
    # What is over on both sides is not looked at any more: a merge after it, of which nobody told, changes nothing.
    assert not facts.merged_into or link.status is Status.RESOLVED, (facts, link)
    sharing = [other for other in world.all_links() if other.incident_id == link.incident_id]
    if link.incident_id in world.pagerduty.by_hand:
        return
    statuses = {other.status for other in sharing}
    ended = statuses == {Status.RESOLVED}
    assert ended is (facts.status is Status.RESOLVED), (facts, sharing)
    if len(sharing) == 1:
        assert facts.status is link.status, (facts, link)


def the_newest_word_won(world: World, link: Link) -> None:
    """Whatever people did last, by time. Alerts that share an incident share its acknowledges too: not judged here."""
    if link.shares:
        return
    deeds = deeds_of(world, link)
    unsure = [deed for deed in deeds if is_beside_our_own(world, link, deed)]
    assert link.status in allowed(deeds, world.looks, unsure, world.hold), (deeds, link)


def deeds_of(world: World, link: Link) -> list[Deed]:
    return world.deeds.get(link.alert.alert_id, [])


def is_beside_our_own(world: World, link: Link, deed: Deed) -> bool:
    """Whether a write of ours said the same there at about the same time: then nobody can tell whose word it is."""
    here, there = (link.alert.alert_id,), (link.incident_id, link.incident_key)
    return any(
        write.subject in (here if deed.side is Side.TRUTHVOUCH else there)
        and abs(write.at - deed.at) <= TOLERANCE
        and (write.status is deed.says or (deed.kind == "reopen" and write.status is Status.ACKNOWLEDGED))
        for write in world.asked()
    )


def every_note_once(world: World) -> None:
    written = Counter(note.content for notes in world.pagerduty.notes_on.values() for note in notes)
    ours = {content: times for content, times in written.items() if content.startswith("[TruthVouch] ")}
    assert set(ours.values()) <= {1}, ours
    # What was over before PagerDuty had anything about it leaves a note that has no incident to stand on.
    noted = [link for link in world.all_links() if link.incident_id is not None]
    owed = {note.content for link in noted for note in link.notes if not note.given_up}
    assert owed == set(ours) or world.discarded, (owed, ours)


def what_is_not_ours_is_left_alone(world: World) -> None:
    # An event goes to wherever PagerDuty has our alert by then, a merge included of which nobody has told us.
    touched = {write.subject for write in world.written() if write.status is not None and not write.by_event}
    assert set() == touched & world.pagerduty.by_hand


def few_writes(world: World) -> None:
    """Bounded by what people did, and by what went wrong on the way."""
    people = sum(len(deeds) for deeds in world.deeds.values())
    trouble = world.disturbances + world.pagerduty.trouble.met + world.truthvouch.trouble.met
    creates_and_notes = 2 * len(world.truthvouch.status)
    assert len(world.written()) <= MUCH * people + creates_and_notes + 2 * trouble, (people, trouble, world.written())
