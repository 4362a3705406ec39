"""``bridge.yaml`` -> ``Rulebook``: every fault at once, each with its path, its line and what would be right.

The schema is documented in ``docs/configuration.md``; an absent file means the defaults.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from enum import StrEnum
from pathlib import Path

from app.configfile.far_calls import calls, dashboard_url
from app.configfile.keys import PAGERDUTY_KEYS, TRUTHVOUCH_KEYS, credentials, without_secrets
from app.configfile.tree import MAX_FILE_BYTES, Node, plain, read
from app.configfile.triggers import MAX_NAME_CHARS, check_names, silences, trigger, utc_now
from app.domain.names import Urgency, Via
from app.domain.rulebook import (
    DEFAULT_SEVERITY_MAP,
    Escalation,
    EscalationLevel,
    Redaction,
    Rule,
    RuleAction,
    Rulebook,
    Sla,
)
from app.errors import ConfigFault, Fault, told

MAX_RULES = 500
MAX_TITLE_CHARS = 1_024
MAX_ID_CHARS = 64
MAX_HOLD_MINUTES = 60 * 24
MAX_MINUTES = 60 * 24 * 31
MIN_RETENTION_DAYS, MAX_RETENTION_DAYS = 3, 3650
MAX_CALLS_PER_HOUR = 1_000_000
VERSION_CHARS = 12
SECTIONS = (
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
)


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
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return Rulebook()
    except OSError as fault:
        raise ConfigFault(str(path), [Fault("", f"cannot be read: {fault.strerror}")]) from fault
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigFault(str(path), [Fault("", f"is larger than {MAX_FILE_BYTES // 1024} KiB")])
    try:
        return parse(raw.decode("utf-8-sig"), source=str(path))
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
    rulebook = _rulebook(root, now or utc_now())
    credentials(root)  # not kept here: what is wrong with them is told with the rest
    return replace(rulebook, version=version_of(_without_secrets(root, text))), root


def version_of(text: str) -> str:
    """What names this text in every decision: the first 12 hex digits of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:VERSION_CHARS]


def _without_secrets(root: Node, text: str) -> str:
    """What the version of a file is made from: its text, or where it holds secrets, its other values."""
    tree = plain(root.value) if isinstance(root.value, dict) else {}
    bare = without_secrets(tree)
    return text if bare == tree else json.dumps(bare, sort_keys=True)


def _rulebook(root: Node, now: datetime) -> Rulebook:
    root.only(*SECTIONS)
    pagerduty = root.section("pagerduty").only("region", "service_id", "escalation_policy_id", "via", *PAGERDUTY_KEYS)
    truthvouch = root.section("truthvouch").only(
        "dashboard_url", "replay_window_seconds", "reconcile_calls_per_hour", "calls", *TRUTHVOUCH_KEYS
    )
    region = pagerduty.choice("region", Region)
    return Rulebook(
        region=None if region is None else str(region),
        service_id=_id(pagerduty, "service_id"),
        escalation_policy_id=_id(pagerduty, "escalation_policy_id"),
        via=pagerduty.choice("via", Via),
        dashboard_url=dashboard_url(truthvouch),
        replay_window_seconds=truthvouch.number("replay_window_seconds") or 0,
        reconcile_calls_per_hour=_calls_per_hour(truthvouch),
        calls=calls(truthvouch.section("calls")),
        severity_map=_severity_map(root.section("severity_map")),
        rules=_rules(root.get("rules")),
        silences=silences(root.get("silences"), now),
        shadow=root.text("shadow", max_chars=MAX_TITLE_CHARS),
        escalation=_escalation(root.section("escalation")),
        sla=_sla(root.section("sla")),
        redaction=_redaction(root.section("redaction")),
        retention_days=_retention_days(root.section("retention")),
    )


def _id(section: Node, key: str) -> str | None:
    text = section.text(key, max_chars=MAX_ID_CHARS)
    if text is not None and any(character.isspace() for character in text):
        section.get(key).fault(f"is {told(text)}", "an id has no blanks")
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


def _rules(node: Node) -> tuple[Rule, ...]:
    entries = node.items()
    if len(entries) > MAX_RULES:
        node.fault(f"has {len(entries)} rules", f"at most {MAX_RULES} are read")
        return ()
    rules = [rule for entry in entries if (rule := _rule(entry)) is not None]
    check_names(entries, "rule")
    return tuple(rules)


def _rule(entry: Node) -> Rule | None:
    if not isinstance(entry.value, dict):
        entry.fault(f"must be a rule with name, trigger and action, not {told(entry.value)}")
        return None
    entry.only("name", "trigger", "action")
    name = entry.text("name", needed=True, max_chars=MAX_NAME_CHARS)
    asks = trigger(entry)
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


def _escalation(section: Node) -> Escalation:
    section.only("policy_id", "levels", "raise_urgency")
    levels = (_level(entry, index) for index, entry in enumerate(section.get("levels").items(), start=1))
    return Escalation(
        policy_id=_id(section, "policy_id"),
        levels=tuple(level for level in levels if level is not None),
        raise_urgency=section.flag("raise_urgency", default=False),
    )


def _level(entry: Node, expected: int) -> EscalationLevel | None:
    if not isinstance(entry.value, dict):
        entry.fault(f"must be a level with level and timeout_minutes, not {told(entry.value)}")
        return None
    entry.only("level", "timeout_minutes", "description")
    level = entry.get("level")
    if isinstance(level.value, bool) or level.value != expected:
        level.fault(f"is {told(level.value)}", f"levels count 1, 2, 3 in order: {expected} belongs here")
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


def _retention_days(section: Node) -> float:
    days = section.only("days").number("days", least=MIN_RETENTION_DAYS, most=MAX_RETENTION_DAYS)
    return Rulebook().retention_days if days is None else days


def _redaction(section: Node) -> Redaction:
    default = Redaction()
    section.only("send_claim", "send_query", "send_response", "send_people")
    return Redaction(
        send_claim=section.flag("send_claim", default.send_claim),
        send_query=section.flag("send_query", default.send_query),
        send_response=section.flag("send_response", default.send_response),
        send_people=section.flag("send_people", default.send_people),
    )
