"""The parts of ``bridge.yaml`` that ask about alerts: triggers, and the silences made of them."""

from datetime import UTC, date, datetime

from app.configfile.tree import Node
from app.domain.names import instant
from app.domain.silences import LONGEST, Silence
from app.errors import told

MAX_SILENCES = 200
MAX_NAME_CHARS = 200
MAX_REASON_CHARS = 1_000


def trigger(entry: Node, key: str = "trigger") -> str | None:
    """The trigger under a key, understood; None where there is none or it says nothing."""
    node = entry.get(key)
    if isinstance(node.value, bool):
        return "true" if node.value else "false"
    text = entry.text(key, needed=True)
    if text is None:
        return None
    from app.domain.trigger import compile_trigger  # heavy, and only a file with rules needs it
    from app.domain.trigger_text import BadTrigger

    try:
        compile_trigger(text)
    except BadTrigger as fault:
        node.fault(f"the trigger {fault}", "see the trigger language in docs/configuration.md")
    return text


def check_names(entries: tuple[Node, ...], what: str) -> None:
    """Two entries of one name are a fault. ``what``: what an entry is called."""
    seen: set[str] = set()
    for entry in entries:
        name = entry.value.get("name") if isinstance(entry.value, dict) else None
        if isinstance(name, str) and name in seen:
            entry.get("name").fault(f"a {what} is already called {told(name)}", f"give each {what} a name of its own")
        elif isinstance(name, str):
            seen.add(name)


def silences(node: Node, now: datetime) -> tuple[Silence, ...]:
    """``silences:``. One that is over is no fault: a file stays right while time passes."""
    entries = node.items()
    if len(entries) > MAX_SILENCES:
        node.fault(f"has {len(entries)} silences", f"at most {MAX_SILENCES} are read; remove those that are over")
        return ()
    read = [silence for entry in entries if (silence := _silence(entry, now)) is not None]
    check_names(entries, "silence")
    return tuple(read)


def _silence(entry: Node, now: datetime) -> Silence | None:
    if not isinstance(entry.value, dict):
        entry.fault(f"must be a silence with name, match, owner, reason and until, not {told(entry.value)}")
        return None
    entry.only("name", "match", "owner", "reason", "until", "from")
    name = entry.text("name", needed=True, max_chars=MAX_NAME_CHARS)
    match = trigger(entry, "match")
    owner = entry.text("owner", needed=True, max_chars=MAX_NAME_CHARS)
    reason = entry.text("reason", needed=True, max_chars=MAX_REASON_CHARS)
    starts, until = _instant(entry, "from"), _instant(entry, "until", needed=True)
    if until is not None:
        _check_end(entry.get("until"), starts, until, now)
    if name is None or match is None or owner is None or reason is None or until is None:
        return None
    return Silence(name, match, owner, reason, until, starts)


def _instant(entry: Node, key: str, needed: bool = False) -> datetime | None:
    """An instant, with or without quotes; without a zone it is UTC."""
    node = entry.get(key)
    if node.value is None:
        if needed:
            node.fault("is missing", "write when it ends, for example 2026-01-31T18:00:00Z")
        return None
    at = instant(node.value.isoformat() if isinstance(node.value, datetime | date) else node.value)
    if at is None:
        node.fault(f"is {told(node.value)}", "write an instant, for example 2026-01-31T18:00:00Z")
    return at


def _check_end(node: Node, starts: datetime | None, until: datetime, now: datetime) -> None:
    if starts is not None and until <= starts:
        node.fault("is not after `from`", "a silence ends after it begins")
    if until - now > LONGEST:
        node.fault(
            f"is more than {LONGEST.days} days ahead", "end it sooner: what has to be quiet for longer is a rule"
        )


def utc_now() -> datetime:
    """When a file is read."""
    return datetime.now(UTC)
