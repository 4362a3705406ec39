"""Links and escalations as the version before revision 0004 wrote them: plain JSON, which no code of today reads."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from tests.fakes import START

Json = dict[str, Any]


def at(minutes: float) -> str:
    """An instant as pydantic writes it."""
    return (START + timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")


def instant(minutes: float) -> datetime:
    """The same instant."""
    return START + timedelta(minutes=minutes)


def dense(**fields: Any) -> Json:
    """Without what the old model had as a default: nothing of that was written."""
    return {name: value for name, value in fields.items() if value not in (None, False, 0, "", {}, [])}


def clock(
    acknowledged: float | None = None,
    unacknowledged: float | None = None,
    resolved: float | None = None,
    reopened: float | None = None,
    flapped: float | None = None,
    begun: float | None = None,
) -> Json:
    """The four instants and the two of a flap, in minutes."""
    answer = {
        "acknowledged_at": acknowledged, "unacknowledged_at": unacknowledged, "resolved_at": resolved,
        "reopened_at": reopened, "flapped_at": flapped, "begun_at": begun,
    }  # fmt: skip
    return {name: at(minutes) for name, minutes in answer.items() if minutes is not None}


def target_of(fields: Mapping[str, str]) -> str:
    """What both sides should be, as the old model had it, word for word."""
    times = {name: datetime.fromisoformat(text) for name, text in fields.items()}

    def later(a: datetime | None, b: datetime | None) -> bool:
        return a is not None and (b is None or a > b)

    resolved, reopened = times.get("resolved_at"), times.get("reopened_at")
    if resolved and not later(reopened, resolved):
        return "resolved"
    flapped = times.get("flapped_at") is not None and times.get("flapped_at") == reopened
    undone_until = times.get("begun_at") if flapped else reopened
    acknowledged = times.get("acknowledged_at")
    stands = acknowledged and not later(undone_until, acknowledged)
    return "acknowledged" if stands and not later(times.get("unacknowledged_at"), acknowledged) else "open"


def known(
    status: str | None, minutes: float | None = None, ours: bool = False, kept: bool = False, was: str | None = None
) -> Json:
    """What was known of one side."""
    return dense(status=status, at=None if minutes is None else at(minutes), ours=ours, kept=kept, was=was)


def write(
    side: str,
    status: str,
    minutes: float,
    was: str | None = None,
    *,
    unclear: bool = False,
    exact: bool = False,
    echo: float | None = None,
) -> Json:
    """One of our changes."""
    echo_at = None if echo is None else at(echo)
    return dense(side=side, status=status, at=at(minutes), was=was, exact=exact, echo_at=echo_at, unclear=unclear)


def link(alert_id: str = "a1", **fields: Any) -> Json:
    """A link; what is not given is as in a new one of which the rules want a page."""
    alert = {"alert_id": alert_id, "severity": "high"}
    decision = {"urgency": "high", "rule": "r", "version": "v", "reason": "rule"}
    first = {"alert": alert, "incident_key": f"k-{alert_id}", "first_seen_at": at(0), "decision": decision}
    return first | dense(**fields)


EVERYTHING = link(
    "a/1 ☃",
    link_id=1,
    clock=clock(acknowledged=3, unacknowledged=1, resolved=2, reopened=2.5),
    alert_side=known("open", 2.5),
    incident_side=known("acknowledged", 3, ours=True, kept=True, was="open"),
    via="events",
    incident_id="Q1",
    incident_number=17,
    incident_url="https://pd.test/17",
    open_tried=True,
    merged=True,
    guests=True,
    closed_by="Dana",
    closing_text="noise",
    last_note="It is noise.",
    notes=[
        {"ref": "r1", "content": "written (ref r1)", "done": True},
        {"ref": "r2", "content": "given up (ref r2)", "done": True, "given_up": True},
        {"ref": "r3", "content": "owed (ref r3)", "held_until": at(9)},
    ],
    writes=[
        write("pagerduty", "resolved", 2, "acknowledged", unclear=True),
        write("truthvouch", "acknowledged", 3),
        write("pagerduty", "acknowledged", 2.9, "open", echo=3),
    ],
    doubts=[
        {
            "side": "pagerduty", "what": "acknowledged", "register": "acknowledged_at", "says": "acknowledged",
            "at": at(3), "heard_at": at(3), "was": known("open", 2.5), "before": at(1),
        },
    ],
    history=[
        {"at": at(0), "what": "triggered", "side": "pagerduty"},
        {"at": at(1), "what": "unacknowledged", "side": "pagerduty", "author": "Dana"},
    ],
    verdict="false_alert",
    flaps=2,
    hold_until=at(30),
    resolve_unseen=True,
    flips=[{"at": at(2), "side": "truthvouch"}, {"at": at(2.5), "side": "pagerduty"}],
    frozen_at=at(4),
    truthvouch={
        "outstanding": True, "seq": 4, "attempt": 2, "since": at(5), "failing": "http_500", "failing_since": at(5),
        "refused": "open", "unkept": 9, "waits_for": "SetAlert", "due_at": at(6),
    },
    pagerduty={"seq": 2, "dead": "bad_request", "unkept": 2},
)  # fmt: skip
"""One with every field that there was."""


def escalation(incident_id: str = "Q1", heard: Json | None = None, **fields: Any) -> Json:
    """An escalation that has gone one level up."""
    plan = {"policy_id": "PEP", "rungs": [{"timeout_seconds": 300.0}, {"timeout_seconds": 600.0}]}
    first: Json = {"incident_id": incident_id, "course": plan, "clock_at": at(0), "begun_at": at(0), "fired": 1}
    return first | dense(heard=heard, **fields)
