"""``PagerDutyHandler``: TruthVouch's PagerDuty page as a Python class, alone in a script or beside a running bridge.

Where PagerDuty cannot do what the page says, the nearest true thing is done, and the method says so.
Scripts import it from ``truthvouch_pagerduty``. Everything raises ``BridgeError``: ``reason`` for programs, a message
that says what to do next for people.

LAW: methods of the page and their words; what they do is composed in ``bootstrap`` and loaded with the first call.
"""

from app.handler.configuring import Configuring
from app.handler.moving import Moving
from app.handler.opened import PartlyDone
from app.handler.reporting import Reporting

__all__ = ["PagerDutyHandler", "PartlyDone"]


class PagerDutyHandler(Configuring, Moving, Reporting):
    """Configures the bridge and moves incidents at PagerDuty.

    Arguments beat the environment (docs/configuration.md), which beats ``bridge.yaml``. Which file and which store are
    meant say ``BRIDGE_CONFIG``, ``BRIDGE_DATA_DIR`` and ``DATABASE_URL``, as for the bridge itself. A call that gets no
    usable answer is made again, up to five times within a minute, and never sooner than PagerDuty asks for.
    """
