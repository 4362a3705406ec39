"""The part of the handler that writes ``bridge.yaml``."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.errors import WrongUse
from app.handler.opened import Json, Opened


class Configuring(Opened):
    """Comments in the file stay; a running bridge takes it up by itself."""

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
        from app.bootstrap.handler_config import write_rule

        return write_rule(self._hand.given.config_path, name, trigger, action, check_spelling)

    def configure_severity_map(self, severity_map: Mapping[str, str | None], *, check_spelling: bool = True) -> Json:
        """Write which urgency each TruthVouch severity means: ``high``, ``low`` or ``none`` (no incident).

        Severities that are not named keep theirs. The answer is ``{"severity_map": the whole map in force, ...}``. One
        that is nearly a severity of TruthVouch's is a ``ConfigFault``, unless ``check_spelling`` is False.
        """
        from app.bootstrap.handler_config import write_severity_map

        return write_severity_map(self._hand.given.config_path, severity_map, check_spelling)

    def configure_escalation(self, escalation_policy_id: str, levels: Sequence[Mapping[str, Any]]) -> Json:
        """Write who is told when nobody acknowledges: levels 1, 2, ... with ``timeout_minutes`` (> 0) each.

        At level 1's time the incident is put on the policy, at each later one its level there rises by one; the minutes
        count from the level before. PagerDuty has no such call: the bridge's worker does it (docs/escalation.md).
        The answer is ``{"escalation": what is in force, ...}``. No level at all is ``WrongUse``: to escalate no more,
        take ``escalation:`` out of ``bridge.yaml``.
        """
        if not levels:
            todo = "Give at least one; to escalate no more, take escalation: out of bridge.yaml."
            raise WrongUse("no_levels", "No escalation level is given.", todo)
        from app.bootstrap.handler_config import write_escalation

        return write_escalation(self._hand.given.config_path, escalation_policy_id, levels)
