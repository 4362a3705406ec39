"""The evidence of one alert is erased: at its age, or because an operator asks for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from app.domain.sync.erasure import Evidence as Repeated
from app.domain.sync.erasure import erased, subjects_of
from app.domain.sync.link import Link
from app.ports import Evidence, Links, TimelineEntry, Tx
from app.services.sync.link_writer import line

ERASED = "alert.erased"
"""The time line entry, whose facts say why."""


@dataclass(frozen=True)
class EraseEvidence:
    """Erases inside the caller's transaction; the raw bodies follow in their own."""

    links: Links
    evidence: Evidence

    def __call__(
        self, tx: Tx, link: Link, at: datetime, facts: Mapping[str, Any], by: str | None = None
    ) -> tuple[Link, TimelineEntry]:
        """The link without its evidence, saved, and the line that says so, which is the caller's to write."""
        repeated, without = Repeated.of(link.alert), erased(link, at)
        self.links.save(tx, without)
        if repeated:
            self.evidence.take_out(tx, link.link_id, repeated.taken_out_of)
        self.evidence.make_due(tx, subjects_of(link))
        # What else is kept of texts, a title to search by for example, is erased here.
        return without, line(without, ERASED, at, facts, by)
