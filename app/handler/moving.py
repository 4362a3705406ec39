"""The part of the handler that opens and moves incidents."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from app.errors import WrongUse
from app.handler.opened import Json, Opened, PartlyDone, ident_of


class Moving(Opened):
    """Waits for each answer. Everything may be called twice."""

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
        from app.services.incidents_draft import Wanted

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
        incident, missing = self._hand.create(wanted, fields)
        for words in missing:
            warnings.warn(words, PartlyDone, stacklevel=2)
        return {"incident": incident, "warnings": list(missing)}

    def acknowledge_incident(self, incident_id: str, user_id: str | None = None) -> Json:
        """Acknowledge it in a user's name (id or e-mail; None = the configured ``From``): ``{"incident": {...}}``.

        PagerDuty knows who acts by e-mail only, so the user is looked up; it then assigns the incident to them. Twice
        is once. A resolved incident stays resolved (PagerDuty would reopen it), and the answer says so.
        """
        return {"incident": self._hand.acknowledge(ident_of(incident_id), user_id)}

    def resolve_incident(self, incident_id: str, resolution_note: str | None = None) -> Json:
        """Resolve it: ``{"incident": {...}}``. Twice is once.

        PagerDuty shows the ``resolution`` of a resolve in its log alone, so the words are also a note, once.
        """
        return {"incident": self._hand.resolve(ident_of(incident_id), resolution_note)}

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
        told = self._hand.notify(ident_of(incident_id), message, link, tuple(users or ()))
        return {
            "incident_id": incident_id,
            "done": list(told.done),
            "users": list(told.user_ids),
            "ref": told.ref,
            "message": told.words,
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
        from app.bootstrap.handler_bridge import escalate

        granted, unchecked = escalate(self._hand.given, ident_of(incident_id), timeout_minutes, escalation_policy_id)
        if unchecked:
            words = f"Whether {incident_id} and {escalation_policy_id} exist could not be checked ({unchecked})."
            warnings.warn(words, PartlyDone, stacklevel=2)
        if granted.outcome != "armed":
            warnings.warn(
                f"The escalation of {incident_id} is not armed yet. {granted.words}", PartlyDone, stacklevel=2
            )
        outcome = granted.outcome or "stored"
        return {"incident_id": granted.subject, "outcome": outcome, "message": granted.words}
