"""What the services need from the outside world, as small protocols with their contract in prose.

Adapters live in ``truthvouch``, ``pagerduty``, ``store`` and ``engine``; ``bootstrap`` alone names them.
``Tx`` crosses rooms as an opaque value: whoever gets one hands it on and never looks inside.
"""

from app.ports.by_hand import IncidentsByHand
from app.ports.door import Arrivals, Bell, Delivery, Inbox, InboxRow, SeatLost, StoreUnavailable
from app.ports.escalations import Climbs
from app.ports.inbound import Read, Refusal, Verify
from app.ports.memory import (
    PAGES,
    Allowance,
    Letter,
    Letters,
    Links,
    Marks,
    OpenKind,
    OpenLinks,
    TimelineEntry,
    Transactions,
    Tx,
)
from app.ports.partners import ARGUMENTS_REFUSED, KEY_TAKEN, AlertPage, Alerts, Events, Incidents
from app.ports.records import Page, Postbox, Records, Row
from app.ports.running import Asked, Budget, Engine, Meter, Order, Pulse, Round, RulebookSource, Vitals
from app.ports.subscriptions import Account, Created, Responders, Subscriptions

__all__ = [
    "ARGUMENTS_REFUSED",
    "KEY_TAKEN",
    "PAGES",
    "Account",
    "AlertPage",
    "Alerts",
    "Allowance",
    "Arrivals",
    "Asked",
    "Bell",
    "Budget",
    "Climbs",
    "Created",
    "Delivery",
    "Engine",
    "Events",
    "Inbox",
    "InboxRow",
    "Incidents",
    "IncidentsByHand",
    "Letter",
    "Letters",
    "Links",
    "Marks",
    "Meter",
    "OpenKind",
    "OpenLinks",
    "Order",
    "Page",
    "Postbox",
    "Pulse",
    "Read",
    "Records",
    "Refusal",
    "Responders",
    "Round",
    "Row",
    "RulebookSource",
    "SeatLost",
    "StoreUnavailable",
    "Subscriptions",
    "TimelineEntry",
    "Transactions",
    "Tx",
    "Verify",
    "Vitals",
]
