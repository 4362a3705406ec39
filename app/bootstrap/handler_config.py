"""What ``PagerDutyHandler`` writes to ``bridge.yaml``, and what is in force afterwards. Raises ``ConfigFault``."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from app import configfile
from app.configfile import edit
from app.domain.cover import misspelt, own_severities, slips
from app.domain.rulebook import Rule, Rulebook
from app.errors import ConfigFault, Fault


def write_rule(
    path: Path, name: str, trigger: str, action: Mapping[str, Any], check_spelling: bool = True
) -> dict[str, Any]:
    """Add or replace the rule of this name; ``check_spelling``: not one that asks for a misspelt word."""
    if check_spelling:
        own = own_severities(configfile.load(path))
        found = [f"names {word}; did you mean {meant}?" for word, meant in slips(trigger, severities=own)]
        if found:
            remedy = "if TruthVouch does send it, say check_spelling=False"
            raise ConfigFault(str(path), [Fault("trigger", problem, remedy) for problem in found])
    entry = {"name": name, "trigger": trigger, "action": _filled(action)}
    changed = edit.upsert(path, "rules", "name", entry)
    rules = configfile.load(path).rules
    rule = next(rule for rule in rules if rule.name == name)
    return _told(path, changed, {"rule": _rule(rule), "place": rules.index(rule) + 1})


def write_severity_map(
    path: Path, severity_map: Mapping[str, str | None], check_spelling: bool = True
) -> dict[str, Any]:
    """Lay these severities over those of the file; ``check_spelling``: not one that is misspelt."""
    named = Rulebook(severity_map=dict.fromkeys((word.strip().lower() for word in severity_map), None))
    if check_spelling and (found := misspelt(named)):
        remedy = "; if it is a severity of your own, say check_spelling=False"
        raise ConfigFault(str(path), [Fault("severity_map", one.problem, one.remedy + remedy) for one in found])
    words = {f"severity_map.{severity}": urgency or "none" for severity, urgency in severity_map.items()}
    changed = edit.set_values(path, words)
    return _told(path, changed, {"severity_map": _severities(configfile.load(path))})


def write_escalation(path: Path, policy_id: str, levels: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Set policy and levels; whether urgency is raised stays as it is."""
    entries = [_filled(level) for level in levels]
    changed = edit.set_values(path, {"escalation.policy_id": policy_id, "escalation.levels": entries})
    escalation = configfile.load(path).escalation
    in_force = {
        "escalation_policy_id": escalation.policy_id,
        "levels": [
            {"level": one.level, "timeout_minutes": one.timeout_minutes, "description": one.description}
            for one in escalation.levels
        ],
        "raise_urgency": escalation.raise_urgency,
    }
    return _told(path, changed, {"escalation": in_force})


def _told(path: Path, changed: tuple[str, ...], in_force: dict[str, Any]) -> dict[str, Any]:
    return in_force | {"changed": list(changed), "written_to": str(path.absolute())}


def _filled(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if value is not None}


def _rule(rule: Rule) -> dict[str, Any]:
    action = {
        "type": rule.action.value,
        "title": rule.title,
        "urgency": rule.urgency.value if rule.urgency else None,
        "service_id": rule.service_id,
        "escalation_policy_id": rule.escalation_policy_id,
    }
    return {"name": rule.name, "trigger": rule.trigger, "action": _filled(action)}


def _severities(rulebook: Rulebook) -> dict[str, str]:
    return {severity: urgency.value if urgency else "none" for severity, urgency in rulebook.severity_map.items()}
