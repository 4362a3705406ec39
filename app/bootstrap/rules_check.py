"""Everything wrong with a file of rules: what a start would refuse, and what would quietly never happen."""

from collections.abc import Iterator, Set
from datetime import datetime
from pathlib import Path

from app import configfile
from app.bootstrap.common import fingerprint
from app.bootstrap.rules import rules_desk
from app.configfile.tree import MAX_FILE_BYTES, Node
from app.domain.cover import misspelt, unreachable
from app.domain.names import Via
from app.domain.rulebook import RuleAction, Rulebook, completed
from app.errors import ConfigFault, Fault, told
from app.ports import StoreUnavailable
from app.services.backtest import names_of
from app.services.shadow import MISSING
from app.settings import Settings


def faults(settings: Settings, path: Path, known_fields: Set[str] | None, now: datetime) -> tuple[Fault, ...]:
    """Every fault of the file, in the order of its lines.

    ``known_fields``: the fields of TruthVouch's own that alerts ever had; None: no alert can tell.
    Raises ``ConfigFault`` where the file cannot be read at all.
    """
    text = _text(path)
    rulebook, root = configfile.examined(text, now)
    found = [
        *root.faults,
        *_unreachable(rulebook, root),
        *_misspelt(rulebook, root, known_fields or frozenset()),
        *(_unknown_fields(rulebook, root, known_fields) if known_fields is not None else ()),
        *_keyless_services(settings, completed(rulebook, _in_force(settings)), root),
        *_draft(rulebook, root, path, now),
    ]
    return tuple(sorted(found, key=lambda fault: fault.line or 0))


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as fault:
        raise ConfigFault(str(path), [Fault("", f"cannot be read: {fault.strerror}")]) from fault
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigFault(str(path), [Fault("", f"is larger than {MAX_FILE_BYTES // 1024} KiB")])
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as fault:
        raise ConfigFault(str(path), [Fault("", "is not written in UTF-8")]) from fault


def _place(root: Node, name: str, key: str) -> Node:
    """Where a rule or a silence of that name says this."""
    for section in ("rules", "silences"):
        node = root.get(section)
        for entry in node.items() if isinstance(node.value, list) else ():
            if isinstance(entry.value, dict) and entry.value.get("name") == name and entry.has(key):
                return entry.get(key)
    return root.get("rules")


def _at(node: Node, problem: str, remedy: str) -> Fault:
    return Fault(node.path, problem, remedy, node.line)


def _unreachable(rulebook: Rulebook, root: Node) -> Iterator[Fault]:
    for rule, earlier in unreachable(rulebook.rules):
        place = _place(root, rule.name, "trigger")
        if earlier is None:
            yield _at(place, "never matches: it says false", "take the rule out")
        else:
            why = f"never matches: the rule {told(earlier.name)} before it takes every alert it asks for"
            yield _at(place, why, "put it before that one, or take it out")


def misspelt_faults(settings: Settings) -> tuple[Fault, ...]:
    """What ``bridge.yaml`` names that nobody sends; nothing where there is no such file, or it is refused. The stored
    alerts are read only if it names fields that are none of ours."""
    try:
        rulebook, root = configfile.examined(_text(settings.config_path))
    except ConfigFault:
        return ()
    if root.faults:
        return ()
    known = stored_fields(settings) if any(names_of(rulebook).values()) else None
    return tuple(_misspelt(rulebook, root, known or frozenset()))


def stored_fields(settings: Settings) -> Set[str] | None:
    """The fields of TruthVouch's own that the newest alerts had; None where there is no store, or no alert in it."""
    try:
        with rules_desk(settings) as desk:
            return desk.backtests.field_names(newest_only=True)
    except StoreUnavailable:
        return None


def _misspelt(rulebook: Rulebook, root: Node, known: Set[str]) -> Iterator[Fault]:
    for slip in misspelt(rulebook, known):
        place = _trigger_of(root, slip.name) if slip.name else root.get(slip.section)
        yield _at(place, slip.problem, slip.remedy)


def _unknown_fields(rulebook: Rulebook, root: Node, known: Set[str]) -> Iterator[Fault]:
    told = {(slip.name, slip.word) for slip in misspelt(rulebook, known)}
    for name, fields in names_of(rulebook).items():
        for missing in (field for field in fields if field not in known and (name, field) not in told):
            problem = f"names {missing}, a field that no stored alert has ever had"
            yield _at(_trigger_of(root, name), problem, "see how it is spelt")


def _trigger_of(root: Node, name: str) -> Node:
    place = _place(root, name, "trigger")
    return place if place.path.endswith("trigger") else _place(root, name, "match")


def _in_force(settings: Settings) -> Rulebook:
    try:
        return configfile.load(settings.config_path)
    except ConfigFault:  # told of where that file is checked
        return Rulebook()


def _keyless_services(settings: Settings, rulebook: Rulebook, root: Node) -> Iterator[Fault]:
    """By event a service without a key of its own is paged through the default key, so its rule pages somebody else."""
    settings = settings.with_rulebook(rulebook)
    if settings.via(rulebook) is not Via.EVENTS:
        return
    keys = {service.upper() for service in settings.pagerduty.service_keys}
    main = settings.pagerduty.service_id if settings.pagerduty.integration_key else None
    for rule in rulebook.rules:
        service = rule.service_id
        if service is None or rule.action is RuleAction.SUPPRESS or service.upper() in keys or service == main:
            continue
        problem = f"names the service {told(service)}, for which there is no integration key"
        node = _place(root, rule.name, "action").get("service_id")
        yield _at(node, problem, f"set PAGERDUTY_INTEGRATION_KEY_{service.upper()}; events go nowhere else by service")


def _draft(rulebook: Rulebook, root: Node, path: Path, now: datetime) -> Iterator[Fault]:
    if rulebook.shadow is None:
        return
    draft, node = path.parent / rulebook.shadow, root.get("shadow")
    try:
        if fingerprint(draft) is None:
            raise ConfigFault(str(draft), [Fault("", MISSING)])
        configfile.parse(_text(draft), str(draft), now)
    except ConfigFault as refused:
        for fault in refused.faults:
            place = f"{fault.path}, line {fault.line}: " if fault.line else ""
            yield _at(node, f"the draft {rulebook.shadow} is not asked: {place}{fault.told}", "")
