"""What a judge found, and which of it a run must not have."""

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property

FAILING = ("lost", "doubled", "unwanted", "inverted", "notes_doubled", "log")
"""A run passes when it found none of these."""
DOUBTFUL = ("overruled", "contested", "left_a_merge", "crossed", "refused")
"""No failure, but worth a look, the first most."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be."""

    kind: str
    alert_id: str
    what: str


@dataclass(frozen=True)
class Verdict:
    """What was found, failing or not."""

    findings: list[Finding] = field(default_factory=list)
    repeated: int = 0
    """Changes a partner made twice because it was asked twice."""

    @cached_property
    def counts(self) -> Counter[str]:
        """How many of each kind."""
        return Counter(finding.kind for finding in self.findings)

    @property
    def failures(self) -> list[Finding]:
        """Those a run must not have."""
        return [finding for finding in self.findings if finding.kind in FAILING]
