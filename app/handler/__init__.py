"""``PagerDutyHandler``: TruthVouch's PagerDuty page as a Python class, alone in a script or beside a running bridge.

Where PagerDuty cannot do what the page says, the nearest true thing is done, and the method says so.
Scripts import it from ``truthvouch_pagerduty``. Everything raises ``BridgeError``: ``reason`` for programs, a message
that says what to do next for people.

LAW: methods of the page and their words; what they do is composed in ``bootstrap`` and loaded with the first call.
"""

from app.handler.handler import PagerDutyHandler, PartlyDone

__all__ = ["PagerDutyHandler", "PartlyDone"]
