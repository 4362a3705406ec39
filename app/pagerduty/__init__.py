"""PagerDuty, spoken to and listened to.

LAW: all and only PagerDuty's wire lives here: its header names, JSON shapes, limits and error numbers, each beside
the page that states it. ``inbound`` and ``wire`` are pure; only the two clients call out, through
``app.remote.transport``. Words and outcomes leave this room, never a wire shape; but for ``wire.incident``, which a
Python developer is promised.
"""
