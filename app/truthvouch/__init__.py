"""TruthVouch, spoken to and listened to.

LAW: all and only TruthVouch's wire lives here: its three signatures, two envelopes and many spellings, each beside
the page that states it. ``inbound``, ``signatures`` and ``wire`` are pure; only ``api`` calls out, through
``app.transport``. Words and outcomes leave this room, never a wire shape; but for ``TruthVouchClient``, which is for
scripts and is loaded when one asks for it.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from app.truthvouch.client import TruthVouchClient

__all__ = ["TruthVouchClient"]


def __getattr__(name: str) -> Any:
    if name == "TruthVouchClient":
        from app.truthvouch.client import TruthVouchClient

        return TruthVouchClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
