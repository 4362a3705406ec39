"""What the services need from the outside world, as small protocols with their contract in prose.

LAW: protocols and values, no code that does anything. Adapters live in ``truthvouch``, ``pagerduty``, ``store`` and
``engine``; ``bootstrap`` alone names them. ``Tx`` crosses rooms as an opaque value: whoever gets one hands it on and
never looks inside.
"""

from app.ports.partners import *  # noqa: F403
from app.ports.runtime import *  # noqa: F403
from app.ports.store import *  # noqa: F403
