"""Links, what happened to them, and reconciliation."""

from flask import Blueprint, Response

from app.domain.words import WishVerb
from app.services.operate import NO_SUCH_LINK, WORDS, Operate
from app.services.overview import Overview
from app.web.api import shown
from app.web.api.reading import Instant, Paged, flag, idempotency_key, page_of, query


class LinksQuery(Paged):
    """Which links; without a word about it, whether or not."""

    open = flag(load_default=None)
    frozen = flag(load_default=None)
    since = Instant(load_default=None)


def install(door: Blueprint, operate: Operate, overview: Overview) -> None:
    """The routes under ``/links``, ``/timeline`` and ``/reconciliations``.

    An id may hold anything, slashes too: ``merge_slashes`` off, so that none is redirected to another id.
    """
    id_routes = {"provide_automatic_options": False, "merge_slashes": False}

    @door.get("/links", provide_automatic_options=False)
    def list_links() -> Response:
        """Links in short, newest first."""
        read = query(LinksQuery())
        page = page_of(read)
        return shown.piece("links", overview.links(page, read["open"], read["frozen"], read["since"]), page)

    @door.get("/links/<path:alert_id>", **id_routes)
    def show_link(alert_id: str) -> Response:
        """One, with what is owed to either side."""
        row = overview.link(alert_id)
        return shown.unknown(NO_SUCH_LINK, WORDS[NO_SUCH_LINK]) if row is None else shown.one(row)

    @door.post("/links/<path:alert_id>/thaw", **id_routes)
    def thaw(alert_id: str) -> Response:
        """End its freeze."""
        return shown.wish(operate(WishVerb.THAW, alert_id, idempotency_key()))

    @door.get("/timeline/<path:alert_or_incident>", **id_routes)
    def timeline(alert_or_incident: str) -> Response:
        """Everything that happened, oldest first."""
        page = page_of(query(Paged()))
        rows = overview.timeline(alert_or_incident, page)
        if not rows and not page.after:
            return shown.unknown("no_such_matter", "The bridge knows no such alert or incident.")
        return shown.piece("timeline", rows, page)

    @door.post("/reconciliations", provide_automatic_options=False)
    def reconcile() -> Response:
        """Read both sides back soon."""
        return shown.wish(operate(WishVerb.RECONCILE, "", idempotency_key()))
