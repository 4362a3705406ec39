"""The class, and what it opens with its first call."""

import warnings
from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

from app.errors import WrongUse

if TYPE_CHECKING:
    from app.bootstrap.handler import PagerDutyActions


Json = dict[str, Any]


class PartlyDone(UserWarning):
    """The thing asked for is done, but for what the warning names."""


class PagerDutyHandler:
    """Configures the bridge and moves incidents at PagerDuty. It waits for each answer; everything may be called twice.

    Arguments beat the environment (docs/configuration.md), which beats ``bridge.yaml``. Which file and which store are
    meant say ``BRIDGE_CONFIG``, ``BRIDGE_DATA_DIR`` and ``DATABASE_URL``, as for the bridge itself. A call that gets no
    usable answer is made again, up to five times within a minute, and never sooner than PagerDuty asks for.
    """

    def __init__(
        self,
        integration_key: str | None = None,
        *,
        api_key: str | None = None,
        from_email: str | None = None,
        service_id: str | None = None,
        region: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """``region``: ``us`` or ``eu``. ``environ`` is read in the place of the environment. Calls nobody.

        With an API key (and the ``From`` e-mail PagerDuty then wants) everything here works; with an integration key
        alone, incidents are opened, acknowledged and resolved by event, and their ids stay unknown.
        """
        if region not in (None, "us", "eu"):
            raise WrongUse("bad_region", f"The region is {region!r}.", "PagerDuty has us and eu.")
        self._said = {"service_id": service_id, "region": region}
        self._keys = {"integration_key": integration_key, "api_key": api_key, "from_email": from_email}
        self._environ = environ

    def __repr__(self) -> str:
        """What was said here; the rest is the environment's and the file's, which nobody reads for a name."""
        fields = "".join(f" {name}={value!r}" for name, value in self._said.items() if value is not None)
        return f"<PagerDutyHandler{fields}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections. A handler that is used again opens new ones."""
        if "_actions" in self.__dict__:  # else nothing was opened
            self._actions.close()
            del self._actions

    @cached_property
    def _actions(self) -> "PagerDutyActions":
        """Loaded with the first call, so that importing this module costs nothing."""
        from app.bootstrap.handler import PagerDutyActions, settings_of
        from app.remote.transport import leave_log_to_caller

        leave_log_to_caller()
        return PagerDutyActions(settings_of(self._environ, self._said | self._keys))

    def create_incident(
        self,
        title: str,
        description: str | None = None,
        service_id: str | None = None,
        urgency: str = "high",
        body: Mapping[str, Any] | str | None = None,
        details: Mapping[str, Any] | None = None,
        client: str | None = None,
        escalation_policy_id: str | None = None,
        priority: str | None = None,
        custom_fields: Mapping[str, Any] | None = None,
        incident_key: str | None = None,
    ) -> Json:
        """Open an incident: ``{"incident": {"id", "incident_number", "status", "html_url", ...}}`` as PagerDuty's REST.

        With an API key by ``POST /incidents``, whose body is a text: ``details`` (``body.details``) become its lines.
        An ``alert_id`` among them makes it the incident of that alert, which a running bridge keeps in step. With an
        integration key alone by event; id and number are then None, and a ``PartlyDone`` warning says why.
        PagerDuty's REST API has no ``client``: it is one more line there. ``priority`` is a priority's id;
        ``custom_fields`` are set by name with a second call, and a warning tells where the account has none.

        What is passed is the caller's to send: the redaction policy is for what TruthVouch sends by itself.
        One ``incident_key`` (or alert) never has two incidents: calling again answers with the first, whatever its
        status. Without one each call opens an incident of its own; an error then names the key to repeat it with.
        https://developer.pagerduty.com/docs/rest-api-v2/incident-creation-api/
        """
        from app.services.incidents.draft import Wanted

        wanted = Wanted(
            title=title,
            description=description,
            service_id=service_id,
            urgency=urgency,
            body=body,
            details=dict(details or {}),
            client=client,
            escalation_policy_id=escalation_policy_id,
            priority_id=priority,
            incident_key=incident_key,
        )
        fields = {name: str(value) for name, value in (custom_fields or {}).items()}
        incident, missing = self._actions.create(wanted, fields)
        for message in missing:
            warnings.warn(message, PartlyDone, stacklevel=2)
        return {"incident": incident, "warnings": list(missing)}

    def acknowledge_incident(self, incident_id: str, user_id: str | None = None) -> Json:
        """Acknowledge it in a user's name (id or e-mail; None = the configured ``From``): ``{"incident": {...}}``.

        PagerDuty knows who acts by e-mail only, so the user is looked up; it then assigns the incident to them. Twice
        is once. A resolved incident stays resolved (PagerDuty would reopen it), and the answer says so.
        """
        return {"incident": self._actions.acknowledge(_ident(incident_id), user_id)}

    def resolve_incident(self, incident_id: str, resolution_note: str | None = None) -> Json:
        """Resolve it: ``{"incident": {...}}``. Twice is once.

        PagerDuty shows the ``resolution`` of a resolve in its log alone, so the words are also a note, once.
        """
        return {"incident": self._actions.resolve(_ident(incident_id), resolution_note)}

    def notify_responder(
        self, incident_id: str, message: str, link: str | None = None, users: Sequence[str] | None = None
    ) -> Json:
        """Tell whoever works on it, once: ``{"incident_id", "done": [...], "users": [...], "ref", "message"}``.

        Always a note; besides it a responder request to ``users`` (ids; None = those assigned, else on call), or where
        the plan has none a status update, or where it has neither only the note. ``done`` names which it was.
        https://support.pagerduty.com/main/docs/add-responders
        """
        if not message.strip():
            raise WrongUse("no_message", "The message is blank.", "Say what the responder should know.")
        notified = self._actions.notify(_ident(incident_id), message, link, tuple(users or ()))
        return {
            "incident_id": incident_id,
            "done": list(notified.done),
            "users": list(notified.user_ids),
            "ref": notified.ref,
            "message": notified.message,
        }

    def escalate_if_unacknowledged(self, incident_id: str, timeout_minutes: float, escalation_policy_id: str) -> Json:
        """Have the incident put on another policy, unless somebody acknowledges it in time.

        PagerDuty has no such call: it is stored, durably, with the bridge, whose worker looks at PagerDuty when the
        time is up and moves the incident only if nobody has acknowledged or resolved it. The minutes (more than 0,
        fractions legal) count from this call; calling again replaces it. Low urgency is not escalated
        (docs/escalation.md). ``incident_id`` may be its number; PagerDuty is asked first whether it and the policy
        exist (``PartnerRefused`` if not, a ``PartlyDone`` warning when nobody could tell).
        The answer is ``{"incident_id", "outcome", "message"}``; ``outcome`` is ``armed``, or with a ``PartlyDone``
        warning ``stored`` while no worker runs, ``not_taken`` while an older one does. ``NotSetUp`` where there is no
        bridge.
        """
        result, unchecked = self._actions.escalate(_ident(incident_id), timeout_minutes, escalation_policy_id)
        if unchecked:
            message = f"Whether {incident_id} and {escalation_policy_id} exist could not be checked ({unchecked})."
            warnings.warn(message, PartlyDone, stacklevel=2)
        if result.outcome != "armed":
            warnings.warn(
                f"The escalation of {incident_id} is not armed yet. {result.message}", PartlyDone, stacklevel=2
            )
        outcome = result.outcome or "stored"
        return {"incident_id": result.subject, "outcome": outcome, "message": result.message}

    def configure_rule(
        self, name: str, trigger: str, action: Mapping[str, Any], *, check_spelling: bool = True
    ) -> Json:
        """Write a rule to ``bridge.yaml``: over the one of this name, else behind the others (the first match wins).

        ``trigger`` is a condition on an alert, ``confidence < 0.5``; ``action`` is ``{"type": "create_incident", ...}``
        or ``{"type": "suppress"}`` (docs/configuration.md). Comments stay; a running bridge takes it up by itself.
        The answer is ``{"rule": what is in force, "changed": words, "written_to": path}``; a ``ConfigFault`` names
        every fault, and then nothing is written. A trigger with a field or a severity that is nearly a known one is a
        fault, too ("did you mean confidence?"), unless ``check_spelling`` is False.
        """
        return self._actions.write_rule(name, trigger, action, check_spelling)

    def configure_severity_map(self, severity_map: Mapping[str, str | None], *, check_spelling: bool = True) -> Json:
        """Write which urgency each TruthVouch severity means: ``high``, ``low`` or ``none`` (no incident).

        Severities that are not named keep theirs. The answer is ``{"severity_map": the whole map in force, ...}``. One
        that is nearly a severity of TruthVouch's is a ``ConfigFault``, unless ``check_spelling`` is False.
        """
        return self._actions.write_severity_map(severity_map, check_spelling)

    def configure_escalation(self, escalation_policy_id: str, levels: Sequence[Mapping[str, Any]]) -> Json:
        """Write who is told when nobody acknowledges: levels 1, 2, ... with ``timeout_minutes`` (> 0) each.

        At level 1's time the incident is put on the policy, at each later one its level there rises by one; the minutes
        count from the level before. PagerDuty has no such call: the bridge's worker does it (docs/escalation.md).
        The answer is ``{"escalation": what is in force, ...}``. No level at all is ``WrongUse``: to escalate no more,
        take ``escalation:`` out of ``bridge.yaml``.
        """
        if not levels:
            remedy = "Give at least one; to escalate no more, take escalation: out of bridge.yaml."
            raise WrongUse("no_levels", "No escalation level is given.", remedy)
        return self._actions.write_escalation(escalation_policy_id, levels)

    def get_incident_stats(
        self, service_id: str | None, start_date: date | str, end_date: date | str, time_zone: str = "UTC"
    ) -> Json:
        """Numbers of the bridge's own record: ``total``, ``avg_resolution_minutes``, ``escalated`` and more.

        Whole days, both included, in ``time_zone``; ``service_id`` None = every service. The average is None where
        nothing was resolved. PagerDuty's own analytics lag by up to a day (docs/reports.md).
        """
        with self._actions.reports() as reports:
            return dict(reports.stats(service_id=service_id, start=start_date, end=end_date, time_zone=time_zone))

    def generate_report(self, service_id: str | None, period: str = "monthly", time_zone: str = "UTC") -> Json:
        """``{"period", "time_zone", "stats", "incidents": [{"incident_number", "title", "status", ...}]}``.

        ``period``: ``daily``, ``weekly``, ``monthly``, ``quarterly`` (the one that contains now, so far), ``30d``,
        ``2024-03``, ``2024-Q1``.
        ``duration_minutes`` of an open incident is its age.
        """
        with self._actions.reports() as reports:
            return dict(reports.report(service_id=service_id, period=period, time_zone=time_zone))


def _ident(incident_id: str) -> str:
    """An id, as it may stand in a path."""
    ident = str(incident_id).strip()
    if not any(map(str.isalnum, ident)):
        raise WrongUse("no_incident_id", "The incident id is blank.", "Give the id that create_incident returned.")
    return ident
