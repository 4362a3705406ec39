"""``truthvouch timeline``: why somebody was paged, or was not."""

import shutil
import sys
import textwrap
from collections.abc import Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any

import click

from app.cli import tables
from app.cli.asking import UNKNOWN_MATTER, at_the_desk, json_option
from app.cli.base import NOT_SO, refuse
from app.domain.names import instant

PAGE = 500
PARTNERS = {"truthvouch": "TruthVouch", "pagerduty": "PagerDuty"}
_OUTCOME_SENTENCES: Mapping[str, str] = {
    "opened": "An incident of {urgency} urgency is due, says {rule}.",
    "no_incident_deserved": "No incident, says {rule}.",
    "moved": "Both sides are to be {status}.",
    "frozen": "That was once too often.",
    "conflict": "From before our own change, and further along: both sides are to be {status}.",
    "already_so": "Nothing new.",
    "stale": "Older than what is known: without effect.",
    "to_be_read": "Which came first cannot be told: that side is read.",
    "not_kept": "Our change is not there: it is made again.",
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
    "delivery.held": "{partner} lets no call through ({reason}); one is tried until it does.",
    "delivery.unreadable": "What {partner} shows cannot be used ({reason}).",
    "delivery.dead": "A call to {partner} was given up ({reason}): see truthvouch dead-letters list.",
    "alert.refused": "TruthVouch refuses the change ({reason}).",
    "lane.resubmitted": "A delivery to {partner} was in no queue, and was put there again.",
}
_OTHERS: Mapping[str, str] = {
    "incident.opened_late": "A create that was thought lost opened the incident after all.",
    "incident.left": "The alert leaves incident {left}, which is not its own.",
    "incident.resolve_held": "PagerDuty is told of the resolve in {minutes} minutes, if it lasts.",
    "incident.flap_held": "The alert is open again: the resolve was not sent.",
    "link.frozen": "Frozen: {because}. Only a resolve is carried until truthvouch links thaw.",
    "link.thawed": "Thawed: both sides are kept in step again.",
    "link.history_full": "The history is full: the oldest moments are dropped from now on.",
    "link.note_dropped": "Notes were dropped: {notes}.",
    "silence.ended": "A silence has ended: the alert is decided anew.",
    "letter.replayed": "Dead letter {letter} is tried again.",
    "letter.discarded": "Dead letter {letter} was discarded.",
    "letter.nothing_to_do": "Dead letter {letter} was closed: nothing is missing any more.",
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


@click.command(short_help="Tell why somebody was paged, or was not.")
@click.argument("alert_or_incident")
@click.option("-v", "--verbose", is_flag=True, help="The records as they are kept: names, outcomes, microseconds, UTC.")
@click.option(
    "--tz", "time_zone", default="UTC", show_default=True, metavar="ZONE", help="Times of this IANA time zone."
)
@json_option
def timeline(alert_or_incident: str, verbose: bool, time_zone: str, as_json: bool) -> None:
    """Tell everything that happened to an alert or an incident (by its id or its number): why somebody was paged, or
    was not."""
    zone = _zone(time_zone)
    lines, other = _lines(alert_or_incident)
    if as_json:
        tables.as_json(lines)
    elif verbose:
        _list_records(lines)
    else:
        _print_lines(lines, zone)
    if other:
        named, other = tables.text(alert_or_incident), tables.text(other)
        click.echo(
            f"{named} is an alert's id. Incident {named} is another matter: truthvouch timeline {other}", err=True
        )
    if not lines:
        click.echo(UNKNOWN_MATTER, err=True)
        sys.exit(NOT_SO)


def sentence(line: Mapping[str, Any], zone: tzinfo = UTC) -> str:
    """One line of the time line in plain words, instants by the clocks of ``zone``; one of a kind that is not known
    here, as it is kept."""
    event = line["event"]
    facts = {name: tables.text(value) for name, value in tables.flat(line["facts"])}
    if "outcome" in facts and "side" not in facts and "level" not in facts:
        return _outcome_sentence(event, facts, line["author"])
    if event in _ESCALATION_SENTENCES:
        level = f"level {facts.get('level')} of {facts.get('of')}"
        due_at = instant(facts.get("due_at"))
        what = f"{level} at {_clock(due_at, zone)}" if due_at else facts.get("because", level)
        return f"{_ESCALATION_SENTENCES[event]}: {what}."
    told = _FAILED.get(event) or _OTHERS.get(event)
    if told is None and facts.get("outcome") == "done" and "side" in facts:
        return f"The bridge {_CALLS.get(event) or _change(event)}."
    by = f" ({tables.text(line['author'])})" if line["author"] else ""
    if told is None:
        return " ".join([f"{tables.text(event)}{by}", *(f"{name}={value}" for name, value in facts.items())])
    return f"{_filled(told, facts | {'partner': PARTNERS.get(facts.get('side', ''), 'a partner')})}{by}"


def _outcome_sentence(event: str, facts: Mapping[str, str], author: str | None) -> str:
    thing, _, what = event.partition(".")
    who = "TruthVouch" if thing == "alert" else "PagerDuty"
    found = f"Found at {who}" if facts.get("found_by") else who
    by = f" by {tables.text(author)}" if author else ""
    rule = _RULES.get(facts.get("reason", ""), "{}").format(facts.get("rule", "the rules"))
    came_of_it = _filled(_OUTCOME_SENTENCES.get(facts["outcome"], facts["outcome"]), {**facts, "rule": rule})
    return f"{found}: {thing} {tables.text(what).replace('_', ' ').replace('.', ' ')}{by}. {came_of_it}".rstrip()


def _change(event: str) -> str:
    thing, _, what = event.partition(".")
    return f"{what} the {thing} at {'TruthVouch' if thing == 'alert' else 'PagerDuty'}"


def _filled(words: str, facts: Mapping[str, str]) -> str:
    """The words with the facts they name; a dash where one is missing."""
    for name in [part.partition("}")[0] for part in words.split("{")[1:]]:
        words = words.replace(f"{{{name}}}", facts.get(name, "-"))
    return words


def _print_lines(lines: list[Any], zone: tzinfo) -> None:
    """A sentence each; an incident is named once, in the first line about it. A terminal gets no line broken within a
    word."""
    named: set[str] = set()
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    for line in lines:
        told, incident = sentence(line, zone), line["incident_id"]
        if incident and incident not in named:
            named.add(incident)
            number = f"#{line['incident_number']}, " if line["incident_number"] is not None else ""
            told = f"{told} [incident {number}{tables.text(incident)}]"
        at = _clock(line["at"], zone)
        wide = max(width - len(at) - 2, 20) if width else len(told) + 1
        first, *rest = textwrap.wrap(told, wide, break_long_words=False, break_on_hyphens=False)
        click.echo("\n".join([f"{at}  {first}", *(" " * (len(at) + 2) + more for more in rest)]))


def _clock(at: datetime, zone: tzinfo) -> str:
    return at.astimezone(zone).isoformat(" ", "seconds").replace("+00:00", "Z")


def _zone(name: str) -> tzinfo:
    from app.domain.stats_period import BadPeriod
    from app.services.report import zone_of

    try:
        return zone_of(name)
    except BadPeriod as fault:
        refuse(str(fault))


def _list_records(lines: list[Any]) -> None:
    """Each incident is named once, in the first line about it."""
    named: set[str] = set()
    for line in lines:
        facts = [f"{name}={tables.text(value)}" for name, value in tables.flat(line["facts"])]
        if line["incident_id"] and line["incident_id"] not in named:
            named.add(line["incident_id"])
            number = f" (#{line['incident_number']})" if line["incident_number"] is not None else ""
            facts.append(f"incident={tables.text(line['incident_id'])}{number}")
        by = f" by {tables.text(line['author'])}" if line["author"] else ""
        click.echo(f"{line['at']:%Y-%m-%d %H:%M:%S.%f}Z  {tables.text(line['event']):<24}{by} {' '.join(facts)}")


def _lines(wanted: str) -> tuple[list[Any], str | None]:
    """By the time each line tells, not by when it was written: words may come late. Besides: the incident that may have
    been meant instead."""
    from app.ports import Page

    lines: list[Any] = []
    with at_the_desk() as desk:
        while more := desk.overview.timeline(wanted, Page(PAGE, lines[-1]["id"] if lines else 0)):
            lines += more
        other = desk.overview.incident_of_that_number(wanted)
    return sorted(lines, key=lambda line: (line["at"], line["id"])), other
