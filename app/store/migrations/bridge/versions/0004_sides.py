"""Links hold the newest status of each side, by that side's own clock, instead of four instants of both together.

``agreed`` is chosen so that what both sides should be stays what it was, and so that no call is owed which was not owed
before; what may have been written, because an answer was lost, is read before it is repeated. Everything is read here
and not by the store's own JSON functions, and nothing of the program's model is used: that goes on changing. A row that
cannot be read is left alone.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

ROWS_AT_ONCE = 1000
OPEN, ACKNOWLEDGED, RESOLVED = STATUSES = ("open", "acknowledged", "resolved")
MAX_AHEAD = timedelta(minutes=15)
"""Two clocks are not believed to be further apart than this."""
REPEATS = 3
"""So often what a side did not keep is repeated; the next time ends it and is reported once."""

Json = dict[str, Any]

links = sa.table(
    "links",
    sa.column("id", sa.BigInteger),
    sa.column("state", sa.Text),
    sa.column("status", sa.Text),
    sa.column("alert_status", sa.Text),
    sa.column("incident_status", sa.Text),
)
escalations = sa.table("escalations", sa.column("incident_id", sa.Text), sa.column("state", sa.Text))


def upgrade() -> None:
    """Rewrite what is stored of every link, and of every escalation."""
    now = datetime.now(UTC)
    _rewrite(links, links.c.id, 0, lambda state: _link_columns(new_link(state, now)))
    # After the links: an escalation belongs to a life of its own.
    _rewrite(escalations, escalations.c.incident_id, "", lambda state: _escalation_columns(state, now))


def _rewrite(table: sa.TableClause, key: sa.ColumnClause[Any], first: object, columns: Callable[[Json], Json]) -> None:
    """Give every row the values that ``columns`` makes of its ``state``, some rows at a time."""
    page = sa.select(key.label("row_key"), table.c.state).where(key > sa.bindparam("after")).order_by(key)
    change = sa.update(table).where(key == sa.bindparam("row_key"))
    after, connection = first, op.get_bind()
    while rows := connection.execute(page.limit(ROWS_AT_ONCE), {"after": after}).all():
        after = rows[-1].row_key
        changed = [{"row_key": row.row_key} | values for row in rows if (values := _readable(row.state, columns))]
        if changed:
            names = [name for name in changed[0] if name != "row_key"]
            connection.execute(change.values({name[4:]: sa.bindparam(name) for name in names}), changed)


def _readable(text: str, columns: Callable[[Json], Json]) -> Json | None:
    try:
        state = json.loads(text)
        return columns(state) if isinstance(state, dict) else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _link_columns(link: Json) -> Json:
    return {
        "new_state": _text(link),
        "new_status": target_of(link),
        "new_alert_status": link["alert_side"].get("status"),
        "new_incident_status": link["incident_side"].get("status"),
    }


def _escalation_columns(state: Json, now: datetime) -> Json:
    found = op.get_bind().execute(sa.select(links.c.state).where(links.c.id == state.get("link_id")))
    text = found.scalar_one_or_none()
    link = _readable(text, dict) if text else None
    return {"new_state": _text(new_escalation(state, link if link and "agreed" in link else None, now))}


def _text(state: Json) -> str:
    """As the program writes it: dense, and readable wherever a store takes it."""
    text = json.dumps(state, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    if text.encode("utf-8", "replace").decode() == text:
        return text
    return json.dumps(state, separators=(",", ":"), allow_nan=False)


# ------------------------------------------------------------------------------------------------------- what was


def _instant(text: object) -> datetime | None:
    if text is None:
        return None
    at = datetime.fromisoformat(str(text))
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _later(a: datetime | None, b: datetime | None) -> bool:
    return a is not None and (b is None or a > b)


def status_of(clock: Mapping[str, Any]) -> str:
    """What both sides should be, by the four instants."""
    at = {name: _instant(text) for name, text in clock.items()}
    acknowledged, reopened = at.get("acknowledged_at"), at.get("reopened_at")
    flapped = at.get("flapped_at") is not None and at["flapped_at"] == reopened
    if at.get("resolved_at") and not _later(reopened, at["resolved_at"]):
        return RESOLVED
    if acknowledged and not _later(at.get("begun_at") if flapped else reopened, acknowledged):
        return OPEN if _later(at.get("unacknowledged_at"), acknowledged) else ACKNOWLEDGED
    return OPEN


def _newest(clock: Mapping[str, Any]) -> datetime | None:
    return max(filter(None, map(_instant, clock.values())), default=None)


# ------------------------------------------------------------------------------------------------------- what is

GONE = ("clock", "writes", "doubts", "resolve_unseen")


def new_link(old: Json, now: datetime) -> Json:
    """The link in its new form."""
    clock = old.get("clock") or {}
    target, newest = status_of(clock), _newest(clock)
    alert = _side(old, "alert_side", "truthvouch", newest, now)
    incident = _side(old, "incident_side", "pagerduty", newest, now)
    lost = {
        "alert": _lost_write(old, alert, "truthvouch", target),
        "incident": _lost_write(old, incident, "pagerduty", target),
    }
    agreed = _agree(alert, incident, target, lost["alert"])
    _make_pending(alert, incident, target, lost["alert"])
    _make_pending(incident, alert, target, lost["incident"])
    if old.get("resolve_unseen") and incident.get("status") == RESOLVED:
        incident["must_read"] = True  # a read decides where one can be made; where none can, nothing is repeated
    link = {name: value for name, value in old.items() if name not in GONE}
    link |= {"agreed": agreed, "alert_side": alert, "incident_side": incident}
    link |= {name: _without(old[name], "unkept") for name in ("truthvouch", "pagerduty") if name in old}
    if clock.get("reopened_at") is not None:
        link["life"] = 1
    if "notes" in old:
        link["notes"] = [_note(note) for note in old["notes"]]
    if "flips" in old:
        link["flips"] = [{**flip, "own_at": flip["at"]} for flip in old["flips"]]
    return link


def target_of(link: Json) -> str:
    """What both sides should be, by the new form: the side that has changed since both agreed, else the furthest along
    of both."""
    agreed = str(link["agreed"])
    wants = [side.get("conflict") or side["status"] for side in _sides(link) if side.get("status")]
    changed = [status for status in wants if status != agreed]
    return max(changed, key=STATUSES.index, default=agreed)


def _sides(link: Json) -> tuple[Json, Json]:
    return link["alert_side"], link["incident_side"]


def _without(table: Json, name: str) -> Json:
    return {key: value for key, value in table.items() if key != name}


def _note(note: Json) -> Json:
    """Of a note that is written its reference is enough: it keeps the note from being written twice."""
    return {**note, "content": ""} if note.get("done") and not note.get("given_up") else note


def _side(old: Json, name: str, side: str, newest: datetime | None, now: datetime) -> Json:
    """What is known of one side, without what may be under way there."""
    known = old.get(name) or {}
    status, by_us = known.get("status"), bool(known.get("ours"))
    if status is None:
        return {}
    writes = _writes(old, side)
    state: Json = {"status": status}
    if known.get("at") is not None and _is_its_own_time(old, known, side, writes):
        state["at"] = known["at"]
    received = min(filter(None, (_instant(known.get("at")) or newest, now)))
    if known.get("at") is not None or newest is not None:
        state["received_at"] = received.isoformat()
    if by_us:
        state |= {"by_us": True, "previous": known.get("was") or OPEN}
    elif _nothing_was_there(old, known, side):
        state |= {"by_us": True, "previous": RESOLVED}
    if known.get("kept"):
        state["confirmed"] = True
    if unconfirmed := (old.get(side) or {}).get("unkept", 0):
        state["unconfirmed_count"] = min(unconfirmed, REPEATS)
    if written := _unique([*(write["status"] for write in writes), *([status] if by_us else [])]):
        state["written"] = written
    return state


def _unique(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _writes(old: Json, side: str) -> list[Json]:
    """Our newest writes to that side, oldest first."""
    return [write for write in old.get("writes", ()) if write["side"] == side]


def _is_its_own_time(old: Json, known: Json, side: str, writes: list[Json]) -> bool:
    """Whether the side itself told that time; else it is of our clock, which says nothing of the order there."""
    at = known["at"]
    if known.get("ours"):
        same = (write for write in writes if write["status"] == known["status"])
        return any((write.get("exact") and write["at"] == at) or write.get("echo_at") == at for write in same)
    if (old.get(side) or {}).get("unkept") or _nothing_was_there(old, known, side):
        return False
    if side == "truthvouch":
        return not known.get("kept")  # a read: TruthVouch tells no time of the change
    accepted = {moment["at"] for moment in old.get("history", ()) if moment["what"] == "triggered"}
    return old.get("via") != "events" or at not in accepted


def _nothing_was_there(old: Json, known: Json, side: str) -> bool:
    """Whether an incident that may have been made was looked for and not found: nothing is to be closed."""
    found = side == "pagerduty" and old.get("incident_id") is None and known["status"] == RESOLVED
    return found and not known.get("ours") and known.get("at") == old["first_seen_at"]


def _lost_write(old: Json, state: Json, side: str, target: str) -> Json | None:
    """Our newest write to that side if its answer was lost and nobody has found out since."""
    write, delivery = next(reversed(_writes(old, side)), None), old.get(side) or {}
    if write is None or not state or not write.get("unclear") or write.get("echo_at") is not None:
        return None
    if write["status"] in (state["status"], delivery.get("refused")):
        return None
    if state["status"] == target == RESOLVED and not delivery.get("outstanding"):
        return None  # that is over
    spoke_at, written_at = None if state.get("by_us") else _instant(state.get("at")), _instant(write["at"])
    return None if spoke_at and written_at and spoke_at > written_at + MAX_AHEAD else write


def _agree(alert: Json, incident: Json, target: str, lost: Json | None) -> str:
    """Where both sides agreed last, so that the target follows from it: a side that is there is the one that changed.
    Where none is, the target is written down on one of them as what its people reached. ``lost``: at the alert."""
    statuses = [side["status"] for side in (alert, incident) if side]
    if not statuses:
        return target
    if target not in statuses:
        # Not where a lost write, once it is found, would take its place.
        displaced = incident and lost and lost["status"] != target
        holder, other = (incident, alert) if displaced or not alert else (alert, incident)
        holder["conflict"] = target
        return str(other.get("status") or holder["status"])
    if len(statuses) == 1:
        return OPEN  # as long as there is only one side, it keeps its difference
    return str(next((status for status in statuses if status != target), target))


def _make_pending(state: Json, other: Json, target: str, lost: Json | None) -> None:
    """A write that may have been made: the side is read before anything is repeated there."""
    if lost is None:
        return
    there, written = other.get("conflict") or other.get("status"), lost["status"]
    answers = there == written or (there == target if written != target else there is None)
    pending: Json = {"status": written, "decided_at": lost["at"]}
    if not answers:
        pending["answers"] = False
    if lost.get("was") is not None:
        pending["before"] = lost["was"]
        if lost["was"] == state["status"] and state.get("at"):
            pending["before_at"] = state["at"]
    state["pending"] = pending


# ------------------------------------------------------------------------------------------------------- escalations


def new_escalation(old: Json, link: Json | None, now: datetime) -> Json:
    """The escalation in its new form. ``link``: its link, in the new form.

    It stands as it stood. What it knew itself and its link does not is the incident's own.
    """
    clock = old.get("heard") or {}
    status, newest = status_of(clock), _newest(clock)
    new = _without(old, "heard")
    links_status = OPEN if old.get("link_id") is None else status
    if link is not None and not (link.get("merged") or link.get("guests")):
        links_status = min(target_of(link), status, key=STATUSES.index)
    if links_status != OPEN:
        new["links_status"] = links_status
    if newest is not None and (links_status != status or old.get("link_id") is None):
        new["incident_side"] = {"status": status, "received_at": min(newest, now).isoformat()}
    if link is not None and link.get("life"):
        new["life"] = link["life"]
    return new
