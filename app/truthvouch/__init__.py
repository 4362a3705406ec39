"""TruthVouch, spoken to and listened to.

LAW: all and only TruthVouch's wire lives here: its three signatures, two envelopes and many spellings, each beside
the page that states it. ``wire`` is pure; only ``api`` calls out, through
``app.remote.transport``. Words and outcomes leave this room, never a wire shape; but for ``TruthVouchClient`` in
``client``, which is for scripts.
"""
