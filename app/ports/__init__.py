"""What the services need from the outside world, as small protocols with their contract in prose.

Adapters live in ``truthvouch``, ``pagerduty``, ``store`` and ``engine``; ``bootstrap`` alone names them.
``Tx`` crosses rooms as an opaque value: whoever gets one hands it on and never looks inside.
"""

from app.ports.door import Arrivals, Bell, Delivery, Inbox, InboxRow, SeatLost, StoreUnavailable
from app.ports.inbound import Read, Refusal, Verify
from app.ports.memory import Letter, Links, Marks, TimelineEntry, Transactions, Tx
from app.ports.partners import Alerts, Events, Incidents
from app.ports.running import Engine, Meter, Order, Pulse, RulebookSource, Vitals

__all__ = [
    "Alerts",
    "Arrivals",
    "Bell",
    "Delivery",
    "Engine",
    "Events",
    "Inbox",
    "InboxRow",
    "Incidents",
    "Letter",
    "Links",
    "Marks",
    "Meter",
    "Order",
    "Pulse",
    "Read",
    "Refusal",
    "RulebookSource",
    "SeatLost",
    "StoreUnavailable",
    "TimelineEntry",
    "Transactions",
    "Tx",
    "Verify",
    "Vitals",
]
