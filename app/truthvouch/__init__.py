"""TruthVouch, spoken to and listened to.

LAW: all and only TruthVouch's wire lives here: its three signatures, two envelopes and many spellings, each beside
the page that states it. ``inbound``, ``signatures`` and ``wire`` are pure; only ``api`` calls out, through
``app.transport``. Words and outcomes leave this room, never a wire shape.
"""
