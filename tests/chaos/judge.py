"""What the evidence of a run says. Values in, values out: what it must find, its own tests show it."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from tests.chaos.acts import last_acts, was_carried, webhook_was_lost
from tests.chaos.evidence import (
    ACKNOWLEDGED,
    OPEN,
    RESOLVED,
    TRUTHVOUCH,
    WANTS_INCIDENT,
    Act,
    AlertSeen,
    Evidence,
    IncidentSeen,
    Webhook,
    Write,
)
from tests.chaos.merged import Merges
from tests.chaos.sequence import BACK, Version, furthest, inverted, meant, repeated, versions
from tests.chaos.verdict import Finding, Verdict

WRITE_LOST = "write_lost"
"""The reason of the bridge's dead letter about a change that a partner took and did not keep."""


class Judge:
    """Asks the questions, one method each."""

    def __init__(self, seen: Evidence) -> None:
        self._seen, self._merges = seen, Merges(seen.incidents)
        self._acts: dict[str, list[Act]] = defaultdict(list)
        self._writes: dict[str, list[Write]] = defaultdict(list)
        self._lost: dict[str, list[Webhook]] = defaultdict(list)
        for act in seen.acts:
            self._acts[act.alert_id].append(act)
        for write in seen.writes:
            self._writes[write.subject].append(write)
        for webhook in seen.sent:
            if webhook.outcome == "dropped":
                self._lost[webhook.subject].append(webhook)
        self._write_lost = {alert_id for alert_id, reason in seen.dead_letters if reason == WRITE_LOST}

    def verdict(self) -> Verdict:
        """All findings."""
        each = [finding for alert in self._seen.alerts for finding in self._about(alert)]
        rest = [*self._groups_that_disagree(), *self._notes_doubled(), *self._of_nobody()]
        log = [Finding("log", "", line) for line in self._seen.log_faults]
        again = sum(
            repeated(sequence, alive) for alert in self._seen.alerts for sequence, alive in self._sequences(alert)
        )
        return Verdict([*each, *rest, *log], again)

    def _about(self, alert: AlertSeen) -> Iterator[Finding]:
        incidents = self._merges.by_key[alert.key]
        wants_incident = alert.severity in WANTS_INCIDENT
        if not wants_incident and incidents:
            yield Finding("unwanted", alert.alert_id, f"severity {alert.severity} opened an incident")
        if len(incidents) > 1:
            yield Finding(self._why_twice(alert.key), alert.alert_id, f"incidents {_names(incidents)}")
        if wants_incident and not incidents and not self._was_over_before(alert):
            yield Finding("lost", alert.alert_id, "no incident was ever opened")
        if wants_incident and len(incidents) == 1 and alert.key not in self._merges.mixed:
            yield from self._sides(alert, incidents[0])
        for sequence, alive in self._sequences(alert):
            for write in inverted(sequence, alive):
                yield Finding("inverted", alert.alert_id, f"{write.side} was told {write.says} after something newer")

    def _why_twice(self, key: str) -> str:
        if self._merges.were_pending(key):
            return "left_a_merge"
        return "paged_again" if self._could_not_look(key) else "doubled"

    def _could_not_look(self, key: str) -> bool:
        """Whether every page after the first went out by event because nobody could look for the one before; a page
        must not wait for the API of another key. Two that are open at once have no excuse."""
        is_open = [incident.status != RESOLVED for incident in self._merges.by_key[key]]
        pages = [write for write in self._writes[key] if write.creates and write.took]
        blind = [
            any(look.key == key and first.at < look.at < again.at for look in self._seen.failed_looks)
            for first, again in pairwise(pages)
        ]
        return sum(is_open) <= 1 and bool(blind) and all(blind) and all(page.by_event for page in pages)

    def _was_over_before(self, alert: AlertSeen) -> bool:
        """Whether a person closed it at TruthVouch: then nobody needs to be paged any more, if it stayed closed."""
        closed = any(
            act.side == TRUTHVOUCH and act.action in ("resolve", "dismiss") for act in self._acts[alert.alert_id]
        )
        return closed and alert.status == RESOLVED

    # ------------------------------------------------------------ whether the two sides agree

    def _sides(self, alert: AlertSeen, incident: IncidentSeen) -> Iterator[Finding]:
        wanted = self._versions(alert)[-1].status
        if alert.status != incident.status:
            what = f"alert {alert.status}, incident {incident.status}, meant {wanted}"
            yield Finding(self._why_apart(alert, incident.status, wanted), alert.alert_id, what)
        elif alert.status != wanted:
            what = f"both {alert.status}; people last said {wanted}"
            yield Finding(self._why_not_the_last(alert, incident), alert.alert_id, what)

    def _why_apart(self, alert: AlertSeen, incident: str, wanted: str) -> str:
        if self._was_refused(alert) and (wanted != RESOLVED or self._is_crossed(alert, incident)):
            return "refused" if wanted != RESOLVED else "crossed"
        return "write_lost" if (alert.status, incident) == (OPEN, ACKNOWLEDGED) and self._forgot(alert) else "lost"

    def _was_refused(self, alert: AlertSeen) -> bool:
        answer = [write for write in self._writes[alert.alert_id] if write.side == TRUTHVOUCH]
        return alert.status == RESOLVED and bool(answer) and answer[-1].status == 409

    def _forgot(self, alert: AlertSeen) -> bool:
        """Whether TruthVouch did not keep an acknowledge, as it was set to, and the bridge says so."""
        keeps = self._seen.settings.get("truthvouch_keeps_acknowledges", True)
        return not keeps and alert.alert_id in self._write_lost

    def _why_not_the_last(self, alert: AlertSeen, incident: IncidentSeen) -> str:
        """Where both sides acted before either was carried, the furthest along of their last statuses is right."""
        acts = self._acts[alert.alert_id]
        last, other = last_acts(acts)
        if last is None or other is None:
            return "overruled"
        if self._is_contested(alert) and alert.status == furthest(meant(last), meant(other)):
            return "contested"
        if self._is_crossed(alert, alert.status):
            return "crossed"
        lost = [*self._lost[alert.alert_id], *self._lost[incident.incident_id]]
        return "webhook_lost" if any(webhook_was_lost(act, lost) for act in acts) else "overruled"

    def _is_contested(self, alert: AlertSeen) -> bool:
        """Whether the last act was done before the last one of the other side had been carried there."""
        last, other = last_acts(self._acts[alert.alert_id])
        return last is not None and other is not None and not was_carried(self._all_writes(alert), other, last)

    def _is_crossed(self, alert: AlertSeen, status: str) -> bool:
        """Whether no clock could help: both sides were heard to be where the last act left its own, and that the other
        one had been taken back before was heard after that."""
        _, other = last_acts(self._acts[alert.alert_id])
        return status == OPEN and other is not None and other.action in BACK and self._is_contested(alert)

    def _groups_that_disagree(self) -> Iterator[Finding]:
        """Merged incidents: acknowledged with the first of their alerts, resolved with the last. What an alert was
        before it came to another incident changes nothing there. One that people opened themselves is theirs alone: its
        alerts go along with it, and it not with them."""
        groups: dict[str, list[AlertSeen]] = defaultdict(list)
        for alert in self._seen.alerts:
            if alert.key in self._merges.mixed:
                groups[self._merges.of(alert.key).incident_id].append(alert)
        for incident_id, alerts in groups.items():
            status = self._merges.by_id[incident_id].status
            joint = _joint([alert.status for alert in alerts])
            if incident_id in self._seen.by_hand:
                joint = status if all(furthest(alert.status, status) == alert.status for alert in alerts) else joint
            as_they_came = all(alert.status != ACKNOWLEDGED or self._came(alert) for alert in alerts)
            if joint == status or (as_they_came and (joint, status) == (ACKNOWLEDGED, OPEN)):
                continue
            if (joint, status) == (OPEN, ACKNOWLEDGED) and any(map(self._was_in_hand, alerts)):
                continue
            answer = ", ".join(f"{alert.alert_id} {alert.status}" for alert in alerts)
            kind = self._why_apart_from_group(alerts, status)
            yield Finding(kind, alerts[0].alert_id, f"merged into {incident_id} ({status}): {answer}")

    def _was_in_hand(self, alert: AlertSeen) -> bool:
        """Whether it was acknowledged when it was resolved: the incident that it was acknowledged on stays so, for
        nobody has taken that back."""
        before = [version.status for version in self._versions(alert)][-2:]
        return alert.status == RESOLVED and before == [ACKNOWLEDGED, RESOLVED]

    def _came(self, alert: AlertSeen) -> bool:
        """Whether it came to the incident that it is on by a merge."""
        return self._merges.by_key[alert.key][-1].merged_into is not None

    def _why_apart_from_group(self, alerts: Sequence[AlertSeen], incident: str) -> str:
        if incident != RESOLVED and any(self._was_refused(alert) for alert in alerts):
            return "refused"
        kept = [ACKNOWLEDGED if alert.status == OPEN and self._forgot(alert) else alert.status for alert in alerts]
        return "write_lost" if _joint(kept) == incident else "lost"

    # ------------------------------------------------------------ everything else

    def _of_nobody(self) -> Iterator[Finding]:
        known = {alert.key for alert in self._seen.alerts}
        for incident in self._seen.incidents:
            if incident.key not in known and incident.incident_id not in self._seen.by_hand:
                yield Finding("doubled", "", f"incident {incident.incident_id} belongs to no alert")

    def _notes_doubled(self) -> Iterator[Finding]:
        for incident in self._seen.incidents:
            ours = Counter(note for note in incident.notes if note.startswith("[TruthVouch]"))
            for note, times in ours.items():
                if times > 1:
                    alert = next((a.alert_id for a in self._seen.alerts if a.key == incident.key), "")
                    yield Finding("notes_doubled", alert, f"{times} times on {incident.incident_id}: {note[-14:]}")

    def _versions(self, alert: AlertSeen) -> list[Version]:
        return versions(alert.raised_at, self._acts[alert.alert_id])

    def _all_writes(self, alert: AlertSeen) -> list[Write]:
        ids = [alert.alert_id, alert.key, *(i.incident_id for i in self._merges.by_key[alert.key])]
        return sorted((write for subject in ids for write in self._writes[subject]), key=lambda write: write.at)

    def _sequences(self, alert: AlertSeen) -> Iterator[tuple[list[Write], list[Version]]]:
        """The writes to either side and what was true when. Not of merged incidents, which have several masters."""
        if alert.key in self._merges.mixed:
            return
        writes = self._all_writes(alert)
        for truthvouch in (True, False):
            yield [write for write in writes if (write.side == TRUTHVOUCH) is truthvouch], self._versions(alert)


def _names(incidents: Sequence[IncidentSeen]) -> str:
    return ", ".join(incident.incident_id for incident in incidents)


def _joint(statuses: Sequence[str]) -> str:
    if set(statuses) == {RESOLVED}:
        return RESOLVED
    return ACKNOWLEDGED if ACKNOWLEDGED in statuses else OPEN
