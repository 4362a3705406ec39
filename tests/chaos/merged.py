"""Which incident is an alert's own, after people have merged some of them."""

from collections import defaultdict
from collections.abc import Iterable
from itertools import pairwise

from tests.chaos.evidence import RESOLVED, IncidentSeen

WHOLE_SECOND = 1.0
"""PagerDuty's log tells whole seconds."""


class Merges:
    """All incidents of a run, oldest first, by key, and what became of those that were merged."""

    def __init__(self, incidents: Iterable[IncidentSeen]) -> None:
        incidents = list(incidents)
        self.by_id = {incident.incident_id: incident for incident in incidents}
        self.by_key: dict[str, list[IncidentSeen]] = defaultdict(list)
        for incident in incidents:
            self.by_key[incident.key].append(incident)
        gone = [incident for incident in incidents if incident.merged_into]
        self.mixed = {incident.key for incident in gone} | {self.survivor(incident).key for incident in gone}
        """Keys of alerts whose incident was merged, or had another one merged into it."""

    def survivor(self, incident: IncidentSeen) -> IncidentSeen:
        """What it is a part of now: itself, if it was never merged."""
        while incident.merged_into in self.by_id:
            incident = self.by_id[incident.merged_into or ""]
        return incident

    def of(self, key: str) -> IncidentSeen:
        """The one that an alert is on now."""
        return self.survivor(self.by_key[key][-1])

    def together(self, key: str) -> set[str]:
        """The keys of all whose incidents were ever merged with this one's, itself included."""
        ends = {self.survivor(incident).incident_id for incident in self.by_key[key]}
        return {key} | {one.key for one in self.by_id.values() if self.survivor(one).incident_id in ends}

    def were_pending(self, key: str) -> bool:
        """Whether each incident of this key after the first took the place of one that was merged away, into an
        incident that was over before: an alert that is not over gets one of its own then."""
        return all(self._was_left(before, after.opened_at) for before, after in pairwise(self.by_key[key]))

    def _was_left(self, incident: IncidentSeen, until: float) -> bool:
        """Whether what it was merged into, or that in turn, was resolved between the merge and then."""
        if incident.merged_into is None:
            return False
        since, into = _ended_at(incident) - WHOLE_SECOND, self.by_id.get(incident.merged_into)
        while into is not None:
            past = into.past[:-1] if into.merged_into else into.past  # the last of them is the merge
            if any(status == RESOLVED and since <= at <= until + WHOLE_SECOND for at, status in past):
                return True
            into = self.by_id.get(into.merged_into or "")
        return False


def _ended_at(incident: IncidentSeen) -> float:
    return incident.past[-1][0] if incident.past else 0.0
