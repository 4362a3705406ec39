"""Rules, wired: the draft beside the rulebook, an alert in a file, and everything wrong with a file of rules: what a
start would refuse, and what would quietly never happen.
"""

import json
from collections.abc import Callable, Hashable, Mapping, Set
from datetime import UTC, datetime, timedelta
from pathlib import Path

from app.bootstrap.container import fingerprint, if_stored
from app.config import bridge_yaml
from app.config.schema import Node
from app.config.settings import Settings
from app.domain.model.events import AlertEvent, Ignored, Unreadable
from app.domain.model.types import Alert, Via
from app.domain.rules.decide import Misspelt, misspelt, unreachable
from app.domain.rules.rulebook import RuleAction, Rulebook, completed, expiring, expiry_remark
from app.errors import ConfigFault, Fault, describe
from app.ports import RulebookSource, StoreUnavailable, Transactions
from app.ports.rules import STORED_PREFIX
from app.remote.payload import Fault as PayloadFault
from app.remote.payload import read_object
from app.services.rules.rulebook import MISSING, Backtests, Shadow, names_of
from app.truthvouch import wire

NO_ID = "without an id"
"""What an alert is called that has none."""


def shadow_of(
    settings: Settings,
    rulebook: RulebookSource,
    count: Callable[[str], None] = lambda _kind: None,
    stored: Callable[[str], str | None] = lambda _name: None,
) -> Shadow:
    """The draft that ``shadow:`` or the store names, hot-reloaded. Its path begins where ``bridge.yaml`` is.

    ``stored``: the text of a draft in the store.
    """

    def path(name: str) -> Path:
        return settings.config_path.parent / name

    def load(name: str) -> Rulebook:
        if not name.startswith(STORED_PREFIX):
            return draft_of(settings, path(name), rulebook.current())
        text = stored(name.removeprefix(STORED_PREFIX))
        if text is None:
            raise FileNotFoundError("the store has no such draft")
        return parsed_draft(settings, text, name, rulebook.current())

    def seen(name: str) -> Hashable:
        # The version of the rulebook in force changes with the text of a stored draft.
        return name if name.startswith(STORED_PREFIX) else fingerprint(path(name))

    return Shadow(rulebook, load, seen, count)


def draft_of(settings: Settings, path: Path, live: Rulebook) -> Rulebook:
    """The draft in a file, as it would be in force in the place of ``live``. Raises ``ConfigFault``."""
    return settings.over(completed(bridge_yaml.load(path), live))


def parsed_draft(settings: Settings, text: str, name: str, live: Rulebook) -> Rulebook:
    """The same of a draft that is a text. Raises ``ConfigFault``, which calls it ``name``."""
    return settings.over(completed(bridge_yaml.parse(text, name), live))


def notes(rulebook: Rulebook, shadow: Shadow, now: datetime) -> tuple[str, ...]:
    """What deserves a look about rules: a draft that is not asked, a silence that ends soon."""
    refused = (f"the draft {rulebook.shadow} (shadow:) is not asked: {shadow.fault}",) if shadow.fault else ()
    return (*refused, *(expiry_remark(silence, now) for silence in expiring(rulebook.silences, now)))


class Spelling:
    """The misspelt words of the rulebook in force, for ``readyz``: looked for when it changes, and then seldom, for a
    field that no alert had before may come. Safe to call from many threads."""

    EVERY = timedelta(minutes=10)

    def __init__(self, rulebook: RulebookSource, transactions: Callable[[], Transactions]) -> None:
        """``transactions``: opens the store, SQLAlchemy and all: only where the rules name a field that is none of
        ours."""
        self._rulebook, self._transactions = rulebook, transactions
        self._compared: tuple[str, datetime, tuple[str, ...]] = ("", datetime.min.replace(tzinfo=UTC), ())

    def notes(self, now: datetime) -> tuple[str, ...]:
        """A sentence for each."""
        rulebook = self._rulebook.current()
        version, at, found = self._compared
        if version != rulebook.version or now - at >= self.EVERY:
            found = tuple(map(str, self._misspelt(rulebook)))
            self._compared = (rulebook.version, now, found)
        return found

    def _misspelt(self, rulebook: Rulebook) -> tuple[Misspelt, ...]:
        found = misspelt(rulebook)
        if not any(slip.is_field for slip in found):  # nearly always, and then no alert is read
            return found
        from app.store.history import StoredPast

        stored = Backtests(self._transactions(), StoredPast())
        try:
            return misspelt(rulebook, stored.field_names(newest_only=True) or frozenset())
        except StoreUnavailable:
            return found


def alert_in(body: bytes) -> Alert | str:
    """The alert in a file: a webhook's body in either envelope, or an alert alone. Else in a word why there is none."""
    content = read_object(body)
    if isinstance(content, PayloadFault):
        return content.reason
    if not _is_event(content):  # an alert alone is what an event carries as its data
        named = content if wire.alert_id({"data": content}) else {"alertId": NO_ID, **content}
        body = json.dumps({"type": "alert.created", "data": named}).encode()
    for reading in wire.read(body, None):
        if isinstance(reading, AlertEvent):
            return reading.alert
        return reading.reason if isinstance(reading, Unreadable | Ignored) else "not_an_alert"
    return "not_an_alert"


def _is_event(content: Mapping[str, object]) -> bool:
    """An alert's own ``type`` says what was found (``hallucination``); an event's says what happened."""
    return (
        "event_type" in content
        or "eventType" in content
        or isinstance(content.get("data"), dict)
        or "." in str(content.get("type"))
    )


# ---------------------------------------------------------------- a file of rules


def faults(settings: Settings, path: Path, known_fields: Set[str] | None, now: datetime) -> tuple[Fault, ...]:
    """Every fault of the file, in the order of its lines.

    ``known_fields``: the fields of TruthVouch's own that alerts ever had; None: no alert can tell.
    Raises ``ConfigFault`` where the file cannot be read at all.
    """
    rulebook, root = bridge_yaml.examined(bridge_yaml.text_of(path), now)
    _note_unreachable(rulebook, root)
    _note_misspelt(rulebook, root, known_fields or frozenset())
    if known_fields is not None:
        _note_unknown_fields(rulebook, root, known_fields)
    _note_keyless_services(settings, completed(rulebook, _in_force(settings)), root)
    _note_draft(rulebook, root, path, now)
    return tuple(sorted(root.faults, key=lambda fault: fault.line or 0))


def _place(root: Node, name: str, key: str) -> Node:
    """Where a rule or a silence of that name says this."""
    for section in ("rules", "silences"):
        node = root.get(section)
        for entry in node.items() if isinstance(node.value, list) else ():
            if isinstance(entry.value, dict) and entry.value.get("name") == name and entry.has(key):
                return entry.get(key)
    return root.get("rules")


def _note_unreachable(rulebook: Rulebook, root: Node) -> None:
    for rule, earlier in unreachable(rulebook.rules):
        place = _place(root, rule.name, "trigger")
        if earlier is None:
            place.fault("never matches: it says false", "take the rule out")
        else:
            why = f"never matches: the rule {describe(earlier.name)} before it takes every alert it asks for"
            place.fault(why, "put it before that one, or take it out")


def misspelt_faults(settings: Settings) -> tuple[Fault, ...]:
    """What ``bridge.yaml`` names that nobody sends; nothing where there is no such file, or it is refused. The stored
    alerts are read only if it names fields that are none of ours."""
    try:
        rulebook, root = bridge_yaml.examined(bridge_yaml.text_of(settings.config_path))
    except ConfigFault:
        return ()
    if root.faults:
        return ()
    known = stored_fields(settings) if any(names_of(rulebook).values()) else None
    _note_misspelt(rulebook, root, known or frozenset())
    return tuple(root.faults)


def stored_fields(settings: Settings) -> Set[str] | None:
    """The fields of TruthVouch's own that the newest alerts had; None where there is no store, or no alert in it."""
    return if_stored(settings, lambda made: made.backtests.field_names(newest_only=True))


def _note_misspelt(rulebook: Rulebook, root: Node, known: Set[str]) -> None:
    for slip in misspelt(rulebook, known):
        place = _trigger_of(root, slip.name) if slip.name else root.get(slip.section)
        place.fault(slip.problem, slip.remedy)


def _note_unknown_fields(rulebook: Rulebook, root: Node, known: Set[str]) -> None:
    reported = {(slip.name, slip.word) for slip in misspelt(rulebook, known)}
    for name, fields in names_of(rulebook).items():
        for missing in (field for field in fields if field not in known and (name, field) not in reported):
            problem = f"names {missing}, a field that no stored alert has ever had"
            _trigger_of(root, name).fault(problem, "see how it is spelt")


def _trigger_of(root: Node, name: str) -> Node:
    place = _place(root, name, "trigger")
    return place if place.path.endswith("trigger") else _place(root, name, "match")


def _in_force(settings: Settings) -> Rulebook:
    try:
        return bridge_yaml.load(settings.config_path)
    except ConfigFault:  # told of where that file is checked
        return Rulebook()


def _note_keyless_services(settings: Settings, rulebook: Rulebook, root: Node) -> None:
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
        problem = f"names the service {describe(service)}, for which there is no integration key"
        node = _place(root, rule.name, "action").get("service_id")
        node.fault(problem, f"set PAGERDUTY_INTEGRATION_KEY_{service.upper()}; events go nowhere else by service")


def _note_draft(rulebook: Rulebook, root: Node, path: Path, now: datetime) -> None:
    if rulebook.shadow is None:
        return
    draft, node = path.parent / rulebook.shadow, root.get("shadow")
    try:
        if fingerprint(draft) is None:
            raise ConfigFault(str(draft), [Fault("", MISSING)])
        bridge_yaml.parse(bridge_yaml.text_of(draft), str(draft), now)
    except ConfigFault as refused:
        for fault in refused.faults:
            place = f"{fault.path}, line {fault.line}: " if fault.line else ""
            node.fault(f"the draft {rulebook.shadow} is not asked: {place}{fault.description}")
