"""What ``PagerDutyHandler`` and ``truthvouch incidents`` are made of: the use cases over the real PagerDuty, what they
ask of the bridge on this machine, what they write to ``bridge.yaml``, and the settings of a script.

Everything here waits for its answer and raises ``BridgeError``. No budget of calls is kept: a script is at human speed,
and a 429 is waited for.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NoReturn

from app.bootstrap.container import COMMAND_TIMEOUT_SECONDS, Container, fixed, leave_in_audit, user
from app.bootstrap.rules import stored_fields
from app.config import bridge_yaml, edit
from app.config.environment import Arguments
from app.config.settings import REGIONS, Settings
from app.domain.model.events import CommandType, Way
from app.domain.model.incident import IncidentFacts
from app.domain.model.outcome import Done, Held
from app.domain.model.types import IncidentId, IncidentKey, Via
from app.domain.reports.period import BadPeriod
from app.domain.rules.decide import misspelt, own_severities, slips
from app.domain.rules.rulebook import Rulebook
from app.errors import PAGERDUTY, BridgeError, ConfigFault, Fault, NotSetUp, PartnerRefused, WrongUse, value_of
from app.pagerduty import wire
from app.pagerduty.directory import AccountApi, RespondersApi
from app.pagerduty.events_api import EventsApi
from app.pagerduty.rest_api import RestApi
from app.ports import StoreUnavailable
from app.ports.console import SubjectKind
from app.remote.transport import Transport
from app.retrying import RetryPolicy
from app.services.escalation.target import NUMBER_ONLY, FindTarget, Target, arming
from app.services.incidents.draft import Wanted, drafted
from app.services.incidents.incidents import KEY_BEGINS, ChangeByEvent, ChangeIncident, CreateIncident, unknown
from app.services.incidents.notify import Notified, NotifyResponder
from app.services.operator.operator import MESSAGES, CommandResult
from app.services.reports.report import Reports

MAX_OPEN_PAGES = 100
"""PagerDuty shows no more than ten thousand. https://developer.pagerduty.com/docs/rest-api-pagination"""


class PagerDutyActions:
    """Moves incidents on somebody's behalf. One pool of connections; ``bridge.yaml`` is read anew for each call."""

    def __init__(self, settings: Settings, retry: RetryPolicy | None = None, way: Way = Way.HANDLER) -> None:
        """``way``: as the audit log has it."""
        self.given, self._way = settings, way
        self._retry = retry or RetryPolicy()

    @cached_property
    def _transport(self) -> Transport:
        return Transport()

    def close(self) -> None:
        """Close the connections, if there are any."""
        if "_transport" in self.__dict__:
            self._transport.close()
            del self._transport

    def create(
        self, wanted: Wanted, fields: Mapping[str, str], keyed: Callable[[str], str] = "incident_key={!r}".format
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """The incident in PagerDuty's shape, and what was not done, in words. ``keyed``: how the caller names a key."""
        connections = self._connect()
        wanted = replace(
            wanted,
            service_id=wanted.service_id or connections.pagerduty.service_id,
            escalation_policy_id=wanted.escalation_policy_id or connections.rulebook.current().escalation_policy_id,
        )
        made = drafted(wanted, connections.by_event)
        create = CreateIncident(
            connections.incidents, connections.events, connections.responders, self._retry, connections.by_event
        )
        again = f"Call again with {keyed(made.draft.incident_key)}: then no second incident is opened."
        with self._audited("create_incident") as about:
            created = value_of(create(made, fields), PAGERDUTY, "open the incident", again)
            about.append(created.facts.incident_id if created.facts else made.draft.incident_key)
        return wire.incident(created.facts or unknown(made.draft)), created.warnings

    def acknowledge(self, incident_id: str, user: str | None = None) -> dict[str, Any]:
        """The incident as it stands then."""
        connections = self._connect()
        with self._audited("acknowledge", incident_id):
            if by_event := self._by_event(connections, incident_id):
                reply = by_event.acknowledge(IncidentKey(incident_id))
            else:
                reply = self._change(connections, "acknowledge").acknowledge(IncidentId(incident_id), user)
            return wire.incident(value_of(reply, PAGERDUTY, f"acknowledge {incident_id}"))

    def resolve(self, incident_id: str, note: str | None = None) -> dict[str, Any]:
        """The incident as it stands then."""
        connections = self._connect()
        with self._audited("resolve", incident_id):
            if by_event := self._by_event(connections, incident_id):
                reply = by_event.resolve(IncidentKey(incident_id))
            else:
                reply = self._change(connections, "resolve").resolve(IncidentId(incident_id), note)
            return wire.incident(value_of(reply, PAGERDUTY, f"resolve {incident_id}"))

    def notify(self, incident_id: str, message: str, link: str | None, users: Sequence[str]) -> Notified:
        """What was done, in words."""
        connections = self._connect()
        incidents = connections.needs_rest("notify responders")
        account, responders = AccountApi(incidents.ask), RespondersApi(incidents.ask, incidents.change)
        from_email = self.given.pagerduty.from_email or ""
        notify = NotifyResponder(incidents, account, responders, self._retry, from_email)
        with self._audited("notify", incident_id):
            reply = notify(IncidentId(incident_id), message, link, users)
            return value_of(reply, PAGERDUTY, f"notify the responders of {incident_id}")

    def open_incidents(self, services: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Triggered and acknowledged incidents of these services (none = those of the configuration), oldest first."""
        connections = self._connect()
        incidents = connections.needs_rest("list incidents")
        chosen = tuple(services) or connections.service_ids
        if not chosen:
            value_of(Held("no_service_id"), PAGERDUTY, "list incidents")
        found: list[IncidentFacts] = []
        for _ in range(MAX_OPEN_PAGES):
            reply = self._retry(partial(incidents.open_page, chosen, len(found)))
            page, more = value_of(reply, PAGERDUTY, "list incidents")
            found += page
            if not more or not page:
                break
        return [wire.incident(facts) for facts in found]

    def alerts_of(self, incident_ids: Sequence[str]) -> dict[str, list[str]]:
        """Alert ids by incident; empty where no bridge was ever started, or its store cannot be read."""
        try:
            with Container.existing(self.given) as here, here.database.read() as tx:
                known = {ident: here.overview.records.on_incident(tx, IncidentId(ident)) for ident in incident_ids}
        except StoreUnavailable:
            return {}
        return {ident: [link.alert.alert_id for link in links] for ident, links in known.items() if links}

    def escalate(self, incident_id: str, minutes: float, policy_id: str) -> tuple[CommandResult, str]:
        """Have the worker put the incident (an id or a number) on this policy, unless somebody acknowledges it in that
        time. Besides what became of it: why PagerDuty could not be asked whether both exist, empty when it was.

        Raises ``WrongUse``, ``PartnerRefused`` when PagerDuty knows no such incident or policy, and ``NotSetUp`` where
        there is no store to keep it in.
        """
        try:
            detail = arming(policy_id, minutes)
        except ValueError as fault:
            raise WrongUse("bad_escalation", f"This cannot be escalated: {fault}.") from fault
        try:
            with Container.existing(self.given) as here:
                target = _target(here, incident_id, policy_id)
                operate = here.operate_as(user(), COMMAND_TIMEOUT_SECONDS, self._way)
                result = operate(CommandType.ESCALATE, target.incident_id, detail=detail)
        except StoreUnavailable as fault:
            self._no_bridge("The bridge's worker escalates", fault)
        if result.outcome == "bad_request":
            raise WrongUse("bad_escalation", "This cannot be escalated.", result.message)
        return result, target.unchecked

    @contextmanager
    def reports(self) -> Iterator[Reports]:
        """Over the bridge's own record. Raises ``WrongUse`` for what is no period, and ``NotSetUp`` without a store."""
        try:
            with Container.existing(self.given) as made:
                yield made.reports
        except BadPeriod as fault:
            raise WrongUse("bad_period", f"{fault}".rstrip(".") + ".") from fault
        except StoreUnavailable as fault:
            self._no_bridge("Reports come from the bridge's own record", fault)

    def _no_bridge(self, why: str, fault: Exception) -> NoReturn:
        """There is no store of a bridge here, or it cannot be read: ``NotSetUp``."""
        settings = self.given
        where = "the database of DATABASE_URL" if settings.database_url else f"BRIDGE_DATA_DIR ({settings.data_dir})"
        remedy = "Start the bridge (make run), and use its BRIDGE_DATA_DIR or DATABASE_URL here."
        raise NotSetUp("no_bridge_store", f"{why}, and no store of a bridge can be used in {where}.", remedy) from fault

    def write_rule(
        self, name: str, trigger: str, action: Mapping[str, Any], check_spelling: bool = True
    ) -> dict[str, Any]:
        """Add or replace the rule of this name; ``check_spelling``: not one that asks for a misspelt word."""
        path = self.given.config_path
        if check_spelling:
            own = own_severities(bridge_yaml.load(path))
            found = [f"names {word}; did you mean {meant}?" for word, meant in slips(trigger, severities=own)]
            if found:  # nearly never, and else no alert is read: a field that alerts had is none
                known = stored_fields(self.given) or frozenset()
                found = [f"names {word}; did you mean {meant}?" for word, meant in slips(trigger, known, own)]
            if found:
                remedy = "if TruthVouch does send it, say check_spelling=False"
                raise ConfigFault(str(path), [Fault("trigger", problem, remedy) for problem in found])
        entry = {"name": name, "trigger": trigger, "action": _filled(action)}
        changed = edit.upsert(path, "rules", "name", entry)
        self._leave("write_rule", SubjectKind.CONFIGURATION, name)
        rules = bridge_yaml.load(path).rules
        rule = next(rule for rule in rules if rule.name == name)
        shown = {
            "type": rule.action.value,
            "title": rule.title,
            "urgency": rule.urgency.value if rule.urgency else None,
            "service_id": rule.service_id,
            "escalation_policy_id": rule.escalation_policy_id,
        }
        in_force = {"name": rule.name, "trigger": rule.trigger, "action": _filled(shown)}
        return _change_report(path, changed, {"rule": in_force, "place": rules.index(rule) + 1})

    def write_severity_map(self, severity_map: Mapping[str, str | None], check_spelling: bool = True) -> dict[str, Any]:
        """Lay these severities over those of the file; ``check_spelling``: not one that is misspelt."""
        path = self.given.config_path
        named = Rulebook(severity_map=dict.fromkeys((word.strip().lower() for word in severity_map), None))
        if check_spelling and (found := misspelt(named)):
            remedy = "; if it is a severity of your own, say check_spelling=False"
            raise ConfigFault(str(path), [Fault("severity_map", one.problem, one.remedy + remedy) for one in found])
        changes = {f"severity_map.{severity}": urgency or "none" for severity, urgency in severity_map.items()}
        changed = edit.set_values(path, changes)
        self._leave("write_severity_map", SubjectKind.CONFIGURATION, "severity_map")
        in_force = bridge_yaml.load(path).severity_map.items()
        return _change_report(
            path, changed, {"severity_map": {name: str(urgency or "none") for name, urgency in in_force}}
        )

    def write_escalation(self, policy_id: str, levels: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Set policy and levels; whether urgency is raised stays as it is."""
        path = self.given.config_path
        entries = [_filled(level) for level in levels]
        changed = edit.set_values(path, {"escalation.policy_id": policy_id, "escalation.levels": entries})
        self._leave("write_escalation", SubjectKind.CONFIGURATION, "escalation")
        escalation = bridge_yaml.load(path).escalation
        in_force = {
            "escalation_policy_id": escalation.policy_id,
            "levels": [asdict(one) for one in escalation.levels],
            "raise_urgency": escalation.raise_urgency,
        }
        return _change_report(path, changed, {"escalation": in_force})

    @contextmanager
    def _audited(self, action: str, incident_id: str = "") -> Iterator[list[str]]:
        """What was tried on an incident leaves a line in the audit log of the bridge here, if there is one. An id that
        is only known afterwards is put into the list."""
        about = [incident_id] if incident_id else []
        try:
            yield about
        except BridgeError as fault:
            self._leave(action, SubjectKind.INCIDENT, "".join(about), fault.reason)
            raise
        self._leave(action, SubjectKind.INCIDENT, "".join(about))

    def _leave(self, action: str, kind: SubjectKind, subject: str, outcome: str = "done") -> None:
        leave_in_audit(self.given, self._way, action, kind, subject, outcome)

    def _by_event(self, connections: "_Connections", incident_id: str) -> ChangeByEvent | None:
        """Where there is no REST, and it is a key of ours."""
        events = connections.events if incident_id.startswith(KEY_BEGINS) and not connections.incidents else None
        return ChangeByEvent(events, self._retry) if events else None

    def _change(self, connections: "_Connections", doing: str) -> ChangeIncident:
        incidents = connections.needs_rest(f"{doing} the incident")
        return ChangeIncident(incidents, AccountApi(incidents.ask), self._retry)

    def _connect(self) -> "_Connections":
        connections = _Connections(self.given, fixed(bridge_yaml.load(self.given.config_path)))
        connections.transport = self._transport
        return connections


class _Connections(Container):
    """What one call uses; None without its credential."""

    @property
    def events(self) -> EventsApi | None:
        return self.partners().events

    @property
    def responders(self) -> RespondersApi | None:
        return RespondersApi(self.incidents.ask, self.incidents.change) if self.incidents else None

    @property
    def by_event(self) -> bool:
        """By event where the file says so, and where REST cannot open: without an API key or a ``From``."""
        if self.events is None:
            return self.incidents is None
        by_events = self.settings.via(self.rulebook.current()) is Via.EVENTS
        return by_events or self.incidents is None or not self.settings.pagerduty.from_email

    def needs_rest(self, doing: str) -> RestApi:
        """The REST API, or ``NotSetUp``."""
        if self.incidents is None:
            value_of(Held("no_api_key"), PAGERDUTY, doing)
        assert self.incidents is not None
        return self.incidents


def _target(here: Container, incident_id: str, policy_id: str) -> Target:
    found = FindTarget(here.incidents, here.account)(incident_id, policy_id)
    if isinstance(found, Done):
        return found.value
    if found.reason == NUMBER_ONLY:
        raise WrongUse(NUMBER_ONLY, f"Incident {incident_id} is not escalated.", MESSAGES[NUMBER_ONLY])
    raise PartnerRefused(
        found.reason, f"Incident {incident_id} is not escalated.", MESSAGES[found.reason], found.status
    )


def _change_report(path: Path, changed: tuple[str, ...], in_force: dict[str, Any]) -> dict[str, Any]:
    return in_force | {"changed": list(changed), "written_to": str(path.absolute())}


def _filled(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if value is not None}


def settings_of(environ: Mapping[str, str] | None = None, given: Mapping[str, str | None] | None = None) -> Settings:
    """The settings of this process with what a caller says itself laid over them; None says nothing. Raises
    ``ConfigFault`` for what is malformed in either."""
    settings = Settings.from_env(os.environ if environ is None else environ)
    said = {name: value for name, value in (given or {}).items() if value is not None}
    arguments = Arguments({f"PAGERDUTY_{name.upper()}": (name, value) for name, value in said.items()})
    readers = {
        "api_key": arguments.secret,
        "from_email": arguments.e_mail,
        "integration_key": arguments.secret,
        "service_id": arguments.given,
    }
    changes: dict[str, Any] = {
        name: read(f"PAGERDUTY_{name.upper()}") for name, read in readers.items() if name in said
    }
    arguments.raise_faults()
    if "integration_key" in said:
        changes["service_keys"] = {}  # one key was named: it is the one to use
    if region := said.get("region"):
        changes |= {"region": region, "api_url": REGIONS[region][0], "events_url": REGIONS[region][1]}
    in_environment = settings.pagerduty.in_environment | changes.keys()
    return replace(settings, pagerduty=replace(settings.pagerduty, **changes, in_environment=in_environment))
