"""``bridge.yaml`` -> ``Rulebook``: every fault at once, each with its path, its line and what would be right.

The schema is documented in ``docs/configuration.md``; an absent file means the defaults.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from app.config.schema import MAX_FILE_BYTES, Node, credential_keys, credentials, plain, read, without_secrets
from app.domain.model.types import Urgency, Via, instant
from app.domain.rules.rulebook import (
    DEFAULT_DASHBOARD_URL,
    DEFAULT_SEVERITY_MAP,
    LONGEST,
    Call,
    ConsoleRules,
    EscalationLevel,
    EscalationRules,
    EvidenceShows,
    Redaction,
    Rule,
    RuleAction,
    Rulebook,
    Silence,
    Sla,
    TruthVouchCalls,
)
from app.domain.rules.trigger import BadTrigger, compile_trigger
from app.errors import ConfigFault, Fault, describe

T = TypeVar("T")

MAX_SILENCES = 200
MAX_NAME_CHARS = 200
MAX_REASON_CHARS = 1_000
MAX_RULES = 500
MAX_TITLE_CHARS = 1_024
MAX_ID_CHARS = 64
MAX_HOLD_MINUTES = 60 * 24
MAX_MINUTES = 60 * 24 * 31
MIN_RETENTION_DAYS, MAX_RETENTION_DAYS = 3, 3650
MIN_EVIDENCE_DAYS = 1
MAX_CALLS_PER_HOUR = 1_000_000
VERSION_CHARS = 12


class Region(StrEnum):
    """PagerDuty's service regions."""

    US = "us"
    EU = "eu"


class MapUrgency(StrEnum):
    """What the severity map may say; none = no incident."""

    HIGH = "high"
    LOW = "low"
    NONE = "none"


def load(path: Path) -> Rulebook:
    """The rulebook in a file; the defaults where there is no file. Raises ``ConfigFault``."""
    try:
        return parse(text_of(path), source=str(path))
    except ConfigFault as fault:
        if isinstance(fault.__cause__, FileNotFoundError):
            return Rulebook()
        raise


def text_of(path: Path) -> str:
    """The text of a file. Raises ``ConfigFault``, also where there is none."""
    try:
        with path.open("rb") as file:
            return decoded(file.read(MAX_FILE_BYTES + 1), path)
    except OSError as fault:
        raise ConfigFault(str(path), [Fault("", f"cannot be read: {fault.strerror}")]) from fault


def decoded(raw: bytes, path: Path) -> str:
    """What was read of that file, as text. Raises ``ConfigFault``."""
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigFault(str(path), [Fault("", f"is larger than {MAX_FILE_BYTES // 1024} KiB")])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise ConfigFault(str(path), [Fault("", "is not written in UTF-8")]) from fault


def parse(text: str, source: str = "bridge.yaml", now: datetime | None = None) -> Rulebook:
    """The rulebook a text says. Raises ``ConfigFault`` with all that is wrong, in the order of the lines.

    ``now``: silences may not end too far from it.
    """
    rulebook, root = examined(text, now)
    if root.faults:
        raise ConfigFault(source, sorted(root.faults, key=lambda fault: fault.line or 0))
    return rulebook


def examined(text: str, now: datetime | None = None) -> tuple[Rulebook, Node]:
    """The rulebook as far as the text says one, and its tree, which holds the faults."""
    root = read(text)
    rulebook = _rulebook(root, now or datetime.now(UTC))
    credentials(root)  # not kept here: what is wrong with them is told with the rest
    return replace(rulebook, version=_version(root, text)), root


def _version(root: Node, text: str) -> str:
    """What names this text in every decision: the first 12 hex digits of the SHA-256 of the text, or where it holds
    secrets, of its other values."""
    tree = plain(root.value) if isinstance(root.value, dict) else {}
    bare = without_secrets(tree)
    shown = text if bare == tree else json.dumps(bare, sort_keys=True)
    return hashlib.sha256(shown.encode("utf-8", "surrogatepass")).hexdigest()[:VERSION_CHARS]


def _rulebook(root: Node, now: datetime) -> Rulebook:
    root.only(
        "pagerduty",
        "truthvouch",
        "severity_map",
        "rules",
        "silences",
        "shadow",
        "escalation",
        "sla",
        "redaction",
        "retention",
        "console",
    )
    pagerduty = root.section("pagerduty").only(
        "region", "service_id", "escalation_policy_id", "via", *credential_keys("pagerduty")
    )
    truthvouch = root.section("truthvouch").only(
        "dashboard_url", "replay_window_seconds", "reconcile_calls_per_hour", "calls", *credential_keys("truthvouch")
    )
    region = pagerduty.choice("region", Region)
    retention = root.section("retention").only("days", "evidence_days", "audit_days")
    return Rulebook(
        region=None if region is None else str(region),
        service_id=_id(pagerduty, "service_id"),
        escalation_policy_id=_id(pagerduty, "escalation_policy_id"),
        via=pagerduty.choice("via", Via),
        dashboard_url=_dashboard_url(truthvouch),
        replay_window_seconds=truthvouch.number("replay_window_seconds") or 0,
        reconcile_calls_per_hour=_calls_per_hour(truthvouch),
        calls=_calls(truthvouch.section("calls")),
        severity_map=_severity_map(root.section("severity_map")),
        rules=_named_entries(root.get("rules"), "rule", MAX_RULES, _rule),
        silences=_silences(root.get("silences"), now),
        shadow=root.text("shadow", max_chars=MAX_TITLE_CHARS),
        escalation=_escalation(root.section("escalation")),
        sla=_sla(root.section("sla")),
        redaction=_redaction(root.section("redaction")),
        console=_console(root.section("console")),
        retention_days=_retention_days(retention, "days", MIN_RETENTION_DAYS, Rulebook().retention_days),
        evidence_days=_retention_days(retention, "evidence_days", MIN_EVIDENCE_DAYS, Rulebook().evidence_days),
        audit_days=_retention_days(retention, "audit_days", MIN_RETENTION_DAYS, Rulebook().audit_days),
    )


def _id(section: Node, key: str) -> str | None:
    text = section.text(key, max_chars=MAX_ID_CHARS)
    if text is not None and any(character.isspace() for character in text):
        section.get(key).fault(f"is {describe(text)}", "an id has no blanks")
    return text


# ---------------------------------------------------------------- rules and severities


def _severity_map(section: Node) -> Mapping[str, Urgency | None]:
    urgencies = dict(DEFAULT_SEVERITY_MAP)
    for severity in section.keys():  # noqa: SIM118 - a Node is no dict
        nothing = section.get(severity).value is None  # YAML's null is the word none
        word = MapUrgency.NONE if nothing else section.choice(severity, MapUrgency)
        if word is not None:
            urgencies[severity.strip().lower()] = None if word is MapUrgency.NONE else Urgency(word)
    return urgencies


def _rule(entry: Node) -> Rule | None:
    if not entry.is_entry("a rule with name, trigger and action"):
        return None
    entry.only("name", "trigger", "action")
    name = entry.text("name", needed=True, max_chars=MAX_NAME_CHARS)
    asks = _trigger(entry)
    action = _action(entry)
    return None if name is None or asks is None or action is None else replace(action, name=name, trigger=asks)


def _action(entry: Node) -> Rule | None:
    """The rule's action, as a rule that has no name and no trigger yet."""
    section = entry.section("action")
    if section.value is None:
        section.fault("is missing", "write for example {type: create_incident, urgency: high}")
    if not isinstance(section.value, dict):
        return None
    kind = section.choice("type", RuleAction, needed=True)
    if kind is RuleAction.SUPPRESS:
        section.only("type")
        return Rule("", "", kind)
    section.only("type", "title", "urgency", "service_id", "escalation_policy_id", "hold_resolve_minutes")
    return Rule(
        name="",
        trigger="",
        action=RuleAction.CREATE_INCIDENT,
        title=section.text("title", max_chars=MAX_TITLE_CHARS),
        urgency=section.choice("urgency", Urgency),
        service_id=_id(section, "service_id"),
        escalation_policy_id=_id(section, "escalation_policy_id"),
        hold_resolve_minutes=section.number("hold_resolve_minutes", most=MAX_HOLD_MINUTES) or 0,
    )


# ---------------------------------------------------------------- escalation, targets, redaction


def _escalation(section: Node) -> EscalationRules:
    section.only("policy_id", "levels", "raise_urgency")
    levels = (_level(entry, index) for index, entry in enumerate(section.get("levels").items(), start=1))
    return EscalationRules(
        policy_id=_id(section, "policy_id"),
        levels=tuple(level for level in levels if level is not None),
        raise_urgency=section.flag("raise_urgency", default=False),
    )


def _level(entry: Node, expected: int) -> EscalationLevel | None:
    if not entry.is_entry("a level with level and timeout_minutes"):
        return None
    entry.only("level", "timeout_minutes", "description")
    level = entry.get("level")
    if isinstance(level.value, bool) or level.value != expected:
        level.fault(f"is {describe(level.value)}", f"levels count 1, 2, 3 in order: {expected} belongs here")
    minutes = entry.number("timeout_minutes", over=True, most=MAX_MINUTES)
    if entry.get("timeout_minutes").value is None:
        entry.get("timeout_minutes").fault("is missing", "write the minutes to wait, more than 0")
    return EscalationLevel(expected, minutes or 0, entry.text("description") or "")


def _sla(section: Node) -> Mapping[str, Sla]:
    targets = {}
    for severity in section.keys():  # noqa: SIM118 - a Node is no dict
        target = section.section(severity).only("acknowledge_minutes", "resolve_minutes")
        targets[severity.strip().lower()] = Sla(
            acknowledge_minutes=target.number("acknowledge_minutes", over=True),
            resolve_minutes=target.number("resolve_minutes", over=True),
        )
    return targets


def _calls_per_hour(section: Node) -> int:
    calls_per_hour = section.number("reconcile_calls_per_hour", most=MAX_CALLS_PER_HOUR)
    if calls_per_hour is None:
        return Rulebook().reconcile_calls_per_hour
    if calls_per_hour % 1:
        section.get("reconcile_calls_per_hour").fault(f"is {calls_per_hour:g}", "write a whole number, 0 for none")
    return int(calls_per_hour)


def _retention_days(section: Node, key: str, least: float, default: float) -> float:
    days = section.number(key, least=least, most=MAX_RETENTION_DAYS)
    return default if days is None else days


def _redaction(section: Node) -> Redaction:
    defaults = asdict(Redaction())
    section.only(*defaults)
    return Redaction(**{key: section.flag(key, default) for key, default in defaults.items()})


def _console(section: Node) -> ConsoleRules:
    section.only("evidence_links", "evidence_shows")
    return ConsoleRules(
        evidence_links=section.flag("evidence_links", default=False),
        evidence_shows=section.choice("evidence_shows", EvidenceShows) or EvidenceShows.REDACTED,
    )


# ---------------------------------------------------------------- triggers and silences


def _trigger(entry: Node, key: str = "trigger") -> str | None:
    """The trigger under a key, understood; None where there is none or it says nothing."""
    node = entry.get(key)
    if isinstance(node.value, bool):
        return "true" if node.value else "false"
    text = entry.text(key, needed=True)
    if text is None:
        return None
    try:
        compile_trigger(text)
    except BadTrigger as fault:
        node.fault(f"the trigger {fault}", "see the trigger language in docs/configuration.md")
    return text


def _named_entries(node: Node, what: str, most: int, read: Callable[[Node], T | None], more: str = "") -> tuple[T, ...]:
    """The entries of a list, at most so many, each with a name of its own. ``what``: what one of them is called."""
    entries = node.items()
    if len(entries) > most:
        node.fault(f"has {len(entries)} {what}s", f"at most {most} are read{more}")
        return ()
    found = [one for entry in entries if (one := read(entry)) is not None]
    seen: set[str] = set()
    for entry in entries:
        name = entry.value.get("name") if isinstance(entry.value, dict) else None
        if isinstance(name, str) and name in seen:
            problem = f"a {what} is already called {describe(name)}"
            entry.get("name").fault(problem, f"give each {what} a name of its own")
        elif isinstance(name, str):
            seen.add(name)
    return tuple(found)


def _silences(node: Node, now: datetime) -> tuple[Silence, ...]:
    """``silences:``. One that is over is no fault: a file stays right while time passes."""
    return _named_entries(node, "silence", MAX_SILENCES, partial(_silence, now=now), "; remove those that are over")


def _silence(entry: Node, now: datetime) -> Silence | None:
    if not entry.is_entry("a silence with name, match, owner, reason and until"):
        return None
    entry.only("name", "match", "owner", "reason", "until", "from")
    name = entry.text("name", needed=True, max_chars=MAX_NAME_CHARS)
    match = _trigger(entry, "match")
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
        node.fault(f"is {describe(node.value)}", "write an instant, for example 2026-01-31T18:00:00Z")
    return at


def _check_end(node: Node, starts: datetime | None, until: datetime, now: datetime) -> None:
    if starts is not None and until <= starts:
        node.fault("is not after `from`", "a silence ends after it begins")
    if until - now > LONGEST:
        remedy = "end it sooner: what has to be quiet for longer is a rule"
        node.fault(f"is more than {LONGEST.days} days ahead", remedy)


# ---------------------------------------------------------------- how TruthVouch is called and linked to

# All of it is configurable because TruthVouch documents one call only, *resolve*.
# https://docs.truthvouch.ai/developers/api/shield


class Method(StrEnum):
    """How a TruthVouch call may be made."""

    PATCH = "PATCH"
    POST = "POST"
    PUT = "PUT"


def _dashboard_url(section: Node) -> str:
    """The template of the link to an alert: http or https, ``{alert_id}`` its only placeholder."""
    template = section.text("dashboard_url", max_chars=1_000)
    if template is None:
        return DEFAULT_DASHBOARD_URL
    if problem := _template_problem(template.strip()):
        section.get("dashboard_url").fault(problem, f"write for example {DEFAULT_DASHBOARD_URL}")
    return template.strip()


def _template_problem(template: str) -> str:
    url = template.replace("{alert_id}", "x")
    try:
        parts = urlsplit(url)
    except ValueError:
        return "is no web address"
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "must begin with https:// or http:// and a host"
    if "{" in url or "}" in url:
        return "knows no other placeholder than {alert_id}"
    return "" if url.isascii() and url.isprintable() and " " not in url else "holds characters no web address has"


def _calls(section: Node) -> TruthVouchCalls:
    """``truthvouch.wire``: what is written is laid over the defaults, call by call."""
    section.only("acknowledge", "resolve", "reopen", "note")
    default = TruthVouchCalls()
    note = section.section("note")
    if note.value is not None and note.get("path").value is None:
        note.get("path").fault("is missing", "TruthVouch documents no notes call: write the path of yours")
    return TruthVouchCalls(
        acknowledge=_call(section.section("acknowledge"), default.acknowledge),
        resolve=_call(section.section("resolve"), default.resolve),
        reopen=_call(section.section("reopen"), default.reopen),
        note=None if note.value is None else _call(note, Call("POST", "", {"note": "{resolution}"})),
    )


def _call(section: Node, default: Call) -> Call:
    section.only("method", "path", "body")
    path = section.text("path", max_chars=1_000)
    if path is not None and (problem := _path_problem(path)):
        section.get("path").fault(problem, "write for example /alerts/{alert_id}")
    body = section.section("body")
    return Call(
        method=section.choice("method", Method) or default.method,
        path=path or default.path,
        body=plain(body.value) if isinstance(body.value, dict) else default.body,
    )


def _path_problem(path: str) -> str:
    if not path.startswith("/") or path.startswith("//"):
        return "must begin with one slash; TRUTHVOUCH_API_URL goes before it"
    rest = path.replace("{alert_id}", "").replace("{resolution}", "")
    if "{" in rest or "}" in rest:
        return "knows no other placeholders than {alert_id} and {resolution}"
    return "" if path.isascii() and path.isprintable() and " " not in path else "holds characters no path has"
