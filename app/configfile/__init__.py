"""``bridge.yaml``: a text, the values it says, and the text again after a change.

LAW: all and only that file. Faults are told together, each with its line; a change leaves every comment where it is;
keys are values of their own and never part of a ``Rulebook``.
"""

from app.configfile.reading import examined, load, parse, version_of

__all__ = ["examined", "load", "parse", "version_of"]
