"""What the evidence of a run says. Values in, values out: what it must find, its own tests show it."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

from tests.chaos.evidence import (
    ACKNOWLEDGED,
    DESERVING,
    OPEN,
    RESOLVED,
    TRUTHVOUCH,
    Act,
    AlertSeen,
    Evidence,
    IncidentSeen,
    Write,
)
from tests.chaos.lanes import Version, inverted, repeated, versions
from tests.chaos.verdict import Finding, Verdict


class Judge:
    """Asks the questions, one method each."""

    def __init__(self, seen: Evidence) -> None:
        self._seen = seen
        self._by_id = {incident.incident_id: incident for incident in seen.incidents}
        self._by_key: dict[str, list[IncidentSeen]] = defaultdict(list)
        self._acts: dict[str, list[Act]] = defaultdict(list)
        self._writes: dict[str, list[Write]] = defaultdict(list)
        for incident in seen.incidents:
            self._by_key[incident.key].append(incident)
        for act in seen.acts:
            self._acts[act.alert_id].append(act)
        for write in seen.writes:
            self._writes[write.subject].append(write)
        survivors = [self._survivor(i).incident_id for i in seen.incidents if i.merged_into]
        self._mixed = {i.key for i in seen.incidents if i.merged_into or i.incident_id in survivors}

    def verdict(self) -> Verdict:
        """All findings."""
        each = [finding for alert in self._seen.alerts for finding in self._about(alert)]
        rest = [*self._groups_that_disagree(), *self._notes_doubled(), *self._of_nobody()]
        log = [Finding("log", "", line) for line in self._seen.log_faults]
        again = sum(repeated(lane, alive) for alert in self._seen.alerts for lane, alive in self._lanes(alert))
        return Verdict([*each, *rest, *log], again)

    def _survivor(self, incident: IncidentSeen) -> IncidentSeen:
        while incident.merged_into in self._by_id:
            incident = self._by_id[incident.merged_into or ""]
        return incident

    def _about(self, alert: AlertSeen) -> Iterator[Finding]:
        incidents = self._by_key[alert.key]
        deserves = alert.severity in DESERVING
        if not deserves and incidents:
            yield Finding("undeserved", alert.alert_id, f"severity {alert.severity} opened an incident")
        if len(incidents) > 1:
            kind = "paged_again" if self._could_not_look(alert.key) else "doubled"
            yield Finding(kind, alert.alert_id, f"incidents {', '.join(i.incident_id for i in incidents)}")
        if deserves and not incidents and not self._was_over_before(alert):
            yield Finding("lost", alert.alert_id, "no incident was ever opened")
        if deserves and len(incidents) == 1 and alert.key not in self._mixed:
            yield from self._sides(alert, incidents[0])
        for lane, alive in self._lanes(alert):
            for write in inverted(lane, alive):
                yield Finding("inverted", alert.alert_id, f"{write.side} was told {write.says} after something newer")

    def _could_not_look(self, key: str) -> bool:
        """Whether every page after the first went out by event because nobody could look for the one before; a page
        must not wait for the door of another key. Two that are open at once have no excuse."""
        is_open = [incident.status != RESOLVED for incident in self._by_key[key]]
        pages = [write for write in self._writes[key] if write.creates and write.took]
        blind = [
            any(look.key == key and first.at < look.at < again.at for look in self._seen.failed_looks)
            for first, again in pairwise(pages)
        ]
        return sum(is_open) <= 1 and bool(blind) and all(blind) and all(page.by_event for page in pages)

    def _was_over_before(self, alert: AlertSeen) -> bool:
        """Whether a person closed it at TruthVouch: then nobody needs to be paged any more, if it stayed closed."""
        closed = any(
            act.side == TRUTHVOUCH and act.verb in ("resolve", "dismiss") for act in self._acts[alert.alert_id]
        )
        return closed and alert.status == RESOLVED

    def _sides(self, alert: AlertSeen, incident: IncidentSeen) -> Iterator[Finding]:
        wanted = self._versions(alert)[-1].status
        if alert.status == incident.status:
            if alert.status != wanted:
                yield Finding("overruled", alert.alert_id, f"both {alert.status}; people last said {wanted}")
        elif self._was_refused(alert):
            yield Finding(
                "refused", alert.alert_id, f"TruthVouch refused: alert {alert.status}, incident {incident.status}"
            )
        else:
            yield Finding("lost", alert.alert_id, f"alert {alert.status}, incident {incident.status}, meant {wanted}")

    def _was_refused(self, alert: AlertSeen) -> bool:
        told = [write for write in self._writes[alert.alert_id] if write.side == TRUTHVOUCH]
        return alert.status == RESOLVED and bool(told) and told[-1].status == 409

    def _groups_that_disagree(self) -> Iterator[Finding]:
        """Merged incidents: acknowledged with the first of their alerts, resolved with the last."""
        groups: dict[str, list[AlertSeen]] = defaultdict(list)
        for alert in self._seen.alerts:
            if alert.key in self._mixed:
                groups[self._survivor(self._by_key[alert.key][0]).incident_id].append(alert)
        for incident_id, alerts in groups.items():
            joint, status = _joint([alert.status for alert in alerts]), self._by_id[incident_id].status
            if joint != status:
                told = ", ".join(f"{alert.alert_id} {alert.status}" for alert in alerts)
                yield Finding("lost", alerts[0].alert_id, f"merged into {incident_id} ({status}): {told}")

    def _of_nobody(self) -> Iterator[Finding]:
        known = {alert.key for alert in self._seen.alerts}
        for incident in self._seen.incidents:
            if incident.key not in known:
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

    def _lanes(self, alert: AlertSeen) -> Iterator[tuple[list[Write], list[Version]]]:
        """The writes to either side and what was true when. Not of merged incidents, which have several masters."""
        incidents = self._by_key[alert.key]
        if alert.key in self._mixed:
            return
        to_pagerduty = [*self._writes[alert.key], *(w for i in incidents for w in self._writes[i.incident_id])]
        for lane in (self._writes[alert.alert_id], sorted(to_pagerduty, key=lambda write: write.at)):
            yield lane, self._versions(alert)


def _joint(statuses: Sequence[str]) -> str:
    if set(statuses) == {RESOLVED}:
        return RESOLVED
    return ACKNOWLEDGED if ACKNOWLEDGED in statuses else OPEN
