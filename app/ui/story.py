"""A link's time line in sentences: who did what on which side, what decided, and what came of each call.

One table for every kind of line; a test collects the kinds that the program writes, and fails on one without a
sentence.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from typing import Any

from app.domain.model.types import instant
from app.logs import UNPRINTABLE

PARTNERS = {"truthvouch": "TruthVouch", "pagerduty": "PagerDuty"}
_OUTCOME_SENTENCES: Mapping[str, str] = {
    "opened": "An incident of {urgency} urgency is due, says {rule}.",
    "no_incident_wanted": "No incident, says {rule}.",
    "moved": "Both sides are to be {status}.",
    "frozen": "That was once too often.",
    "conflict": "From before our own change, and further along: both sides are to be {status}.",
    "already_so": "Nothing new.",
    "explained": "This was seen before: now it is known who did it, and why.",
    "stale": "Older than what is known: without effect.",
    "to_be_read": "The order is not certain: that side is read.",
    "write_lost": "Our change is not there: it is made again.",
    "under_way": "A change of ours is on its way there: without effect.",
    "absorbed": "Resolved stays resolved.",
    "merged": "The alert goes on with the surviving incident.",
    "noted": "Kept for the resolution.",
    "own_note": "Our own note.",
    "timeline_only": "",
    "no_incident": "Not about this alert's incident.",
}
"""What came of an event, by its outcome."""
_RULES: Mapping[str, str] = {
    "severity_map": "the severity map",
    "severity_none": "the severity map",
    "unknown_severity": "the severity map, which does not know this severity",
    "silenced": "the silence {!r}",
    "suppressed": "the rule {!r}",
    "rule": "the rule {!r}",
}
_CALLS: Mapping[str, str] = {
    "incident.triggered": "opened the incident at PagerDuty",
    "incident.found": "looked for the incident at PagerDuty",
    "incident.read": "read the incident at PagerDuty",
    "incident.note_read": "read a note at PagerDuty",
    "incident.annotated": "wrote a note to the incident",
    "alert.read": "read the alert at TruthVouch",
}
"""What a call did, by its event; a change of status says itself."""
_FAILED: Mapping[str, str] = {
    "delivery.retried": "A call to {partner} failed ({reason}); it is made again.",
    "delivery.held": "{partner} accepts no call ({reason}); probes go out until it does.",
    "delivery.unreadable": "The answer of {partner} cannot be used ({reason}).",
    "delivery.dead": "A call to {partner} was given up ({reason}): see truthvouch dead-letters list.",
    "alert.refused": "TruthVouch refuses the change ({reason}).",
    "delivery.resubmitted": "A delivery to {partner} was in no queue, and was put there again.",
    "alert.write_lost": "TruthVouch took our change and does not show it; it is made again.",
    "incident.write_lost": "PagerDuty took our change and does not show it; it is made again.",
}
_OTHERS: Mapping[str, str] = {
    "incident.opened_late": "A create without an answer opened the incident after all.",
    "incident.left": "The alert leaves incident {left}, which is not its own.",
    "incident.resolve_held": "The resolve goes to PagerDuty in {minutes} minutes, unless the alert reopens.",
    "incident.flap_held": "The alert is open again: the resolve was not sent.",
    "link.frozen": "Frozen: {because}. Only a resolve is carried until truthvouch links thaw.",
    "link.thawed": "Thawed: both sides are kept in step again.",
    "alert.erased": "The alert's texts and people were erased ({because}).",
    "link.acknowledged": "Acknowledged at the bridge: both sides are to be acknowledged.",
    "link.resolved": "Resolved at the bridge: both sides are to be resolved.",
    "link.silenced": "What looks like it is silenced until {until}.",
    "link.noted": "A note is to be written to the incident.",
    "escalation.hurried": "Level {level} of {of} is asked for now.",
    "link.judged": "Marked as a {verdict}.",
    "link.history_full": "The history is full: the oldest entries are dropped from now on.",
    "link.note_dropped": "Notes were dropped: {notes}.",
    "silence.ended": "A silence has ended: the alert is decided anew.",
    "dead_letter.replayed": "Dead letter {dead_letter} is tried again.",
    "dead_letter.discarded": "Dead letter {dead_letter} was discarded.",
    "dead_letter.nothing_to_do": "Dead letter {dead_letter} was closed: nothing is missing any more.",
    "rules.shadow_differs": "The draft decides otherwise ({change}): {draft.urgency} urgency by {draft.rule}.",
    "incident.escalated": "Escalated: level {level}.",
    "escalation.urgency_raised": "Its urgency was raised to {urgency}, so that it can be escalated.",
    "escalation.skipped": "Level {level} was skipped: {because}.",
    "escalation.refused": "Level {level} was refused ({reason}): see truthvouch dead-letters list.",
    "escalation.retried": "Level {level} could not be moved ({reason}); it is tried again.",
}
_ESCALATION_SENTENCES: Mapping[str, str] = {
    "escalation.armed": "Escalation is armed",
    "escalation.restarted": "Escalation begins anew",
    "escalation.resumed": "Escalation goes on",
    "escalation.stopped": "Escalation has stopped",
}
_TONES: Mapping[str, str] = {
    **dict.fromkeys(("delivery.dead", "alert.refused", "escalation.refused", "alert.write_lost", "incident.write_lost"),
                    "bad"),
    **dict.fromkeys(("delivery.retried", "delivery.held", "delivery.unreadable", "link.frozen", "link.note_dropped",
                     "escalation.retried", "escalation.skipped", "incident.escalated"), "warn"),
    **dict.fromkeys(("alert.resolved", "incident.resolved", "link.resolved", "link.thawed"), "good"),
}  # fmt: skip
_WITHOUT_COMMANDS = (
    (": see truthvouch dead-letters list", ", and waits among the dead letters"),
    ("until truthvouch links thaw", "until somebody thaws it"),
)
"""How a page says what a command says with another command."""


@dataclass(frozen=True, slots=True)
class Moment:
    """One line of a story."""

    at: datetime
    text: str
    """What happened, in one or two sentences."""
    more: tuple[str, ...]
    """What else is known of it: the rules' version, the partner's own words, failed tries."""
    tone: str
    """``bad``, ``warn``, ``good`` or nothing."""
    event: str
    facts: Mapping[str, object]
    """As they are kept, with flat names."""


def moments(lines: Iterable[Mapping[str, Any]], zone: tzinfo = UTC) -> list[Moment]:
    """A time line as a story, by the time that each line tells and not by when it was written."""
    return [_moment(line, zone) for line in sorted(lines, key=lambda line: (line["at"], line["id"]))]


def _moment(line: Mapping[str, Any], zone: tzinfo) -> Moment:
    text, facts = sentence(line, zone), line["facts"]
    for command, page in _WITHOUT_COMMANDS:
        text = text.replace(command, page)
    partner = PARTNERS.get(str(facts.get("side")), "The partner")
    more = []
    if version := facts.get("rulebook"):
        more.append(f"Decided by version {one_line(version)} of the rules.")
    if said := facts.get("said"):
        more.append(f"{partner} says: {one_line(said)}")
    if isinstance(tries := facts.get("attempt"), int) and tries > 1:
        more.append(f"After {tries} failed tries.")
    if isinstance(took := facts.get("took_ms"), int) and took > 0:
        more.append(f"It took {_lasting_ms(took)}.")
    if late := facts.get("late_seconds"):
        more.append(f"{one_line(late)} s after it was due.")
    shown = dict(flat(facts)) | {name: line[name] for name in ("incident_id", "author") if line.get(name)}
    return Moment(line["at"], text, tuple(more), _TONES.get(line["event"], ""), line["event"], shown)


def _lasting_ms(milliseconds: int) -> str:
    return f"{milliseconds} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def has_sentence(event: str) -> bool:
    """Whether a line of this kind, written by the program itself, is said in words of its own."""
    changed = event.partition(".")[2] in _CHANGES
    return changed or any(event in table for table in (_FAILED, _OTHERS, _ESCALATION_SENTENCES, _CALLS))


_CHANGES = ("open", "acknowledged", "resolved", "reopened", "triggered")
"""What a call can do to a side, as its event says it."""


def sentence(line: Mapping[str, Any], zone: tzinfo = UTC) -> str:
    """One line of the time line in plain words, instants by the clocks of ``zone``; one of a kind that is not known
    here, as it is kept."""
    event = line["event"]
    facts = {name: one_line(value) for name, value in flat(line["facts"])}
    if "outcome" in facts and "side" not in facts and "level" not in facts:
        return _outcome_sentence(event, facts, line["author"])
    if event in _ESCALATION_SENTENCES:
        level = f"level {facts.get('level')} of {facts.get('of')}"
        due_at = instant(facts.get("due_at"))
        what = f"{level} at {written(due_at, zone)}" if due_at else facts.get("because", level)
        return f"{_ESCALATION_SENTENCES[event]}: {what}."
    template = _FAILED.get(event) or _OTHERS.get(event)
    if template is None and facts.get("outcome") == "done" and "side" in facts:
        thing, _, what = event.partition(".")
        changed = f"{what} the {thing} at {'TruthVouch' if thing == 'alert' else 'PagerDuty'}"
        return f"The bridge {_CALLS.get(event) or changed}."
    by = f" ({one_line(line['author'])})" if line["author"] else ""
    if template is None:
        return " ".join([f"{one_line(event)}{by}", *(f"{name}={value}" for name, value in facts.items())])
    return f"{_filled(template, facts | {'partner': PARTNERS.get(facts.get('side', ''), 'a partner')})}{by}"


def _outcome_sentence(event: str, facts: Mapping[str, str], author: str | None) -> str:
    thing, _, what = event.partition(".")
    who = "TruthVouch" if thing == "alert" else "PagerDuty"
    found = f"Found at {who}" if facts.get("found_by") else who
    by = f" by {one_line(author)}" if author else ""
    rule = _RULES.get(facts.get("reason", ""), "{}").format(facts.get("rule", "the rules"))
    came_of_it = _filled(_OUTCOME_SENTENCES.get(facts["outcome"], facts["outcome"]), {**facts, "rule": rule})
    return f"{found}: {thing} {one_line(what).replace('_', ' ').replace('.', ' ')}{by}. {came_of_it}".rstrip()


def _filled(template: str, facts: Mapping[str, str]) -> str:
    """The words with the facts they name; a dash where one is missing."""
    for name in [part.partition("}")[0] for part in template.split("{")[1:]]:
        template = template.replace(f"{{{name}}}", facts.get(name, "-"))
    return template


def written(at: datetime, zone: tzinfo) -> str:
    """An instant by the clocks of the zone, to the second; UTC as ``Z``."""
    return at.astimezone(zone).isoformat(" ", "seconds").replace("+00:00", "Z")


def flat(named: Mapping[str, Any], before: str = "") -> Iterable[tuple[str, object]]:
    """What is inside a fact follows its name: ``alert.status``."""
    for name, value in named.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{name}.")
        else:
            yield before + name, value


def one_line(value: object) -> str:
    """A value for one line: nothing that came from outside can begin a line or steer a terminal."""
    match value:
        case None | "" | []:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}Z"
        case list() | tuple():
            return ", ".join(map(one_line, value))
        case _:
            return UNPRINTABLE.sub("?", str(value))
