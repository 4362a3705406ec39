"""Errors that stop a start or refuse a configuration, with everything a person needs to mend them at once."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong with the configuration. Never holds the value of a secret."""

    path: str
    """Where: ``PORT`` in the environment, ``rules[1].action.urgency`` in the file."""
    problem: str
    """What is wrong."""
    remedy: str = ""
    """What would be right."""
    line: int | None = None
    """The line in the file, counted from 1; None for the environment."""

    def __str__(self) -> str:
        where = [self.path] if self.path else []
        if self.line is not None:
            where.append(f"line {self.line}")
        return ": ".join([*([", ".join(where)] if where else []), self.told])

    @property
    def told(self) -> str:
        """What is wrong and what would be right, without the place."""
        return f"{self.problem}; {self.remedy}" if self.remedy else self.problem


class ConfigFault(ValueError):
    """A configuration that cannot be used: every fault of it, in one message."""

    def __init__(self, source: str, faults: Sequence[Fault]) -> None:
        self.source = source
        """What was read: ``the environment``, or the file's path."""
        self.faults = tuple(faults)
        count = "1 fault" if len(self.faults) == 1 else f"{len(self.faults)} faults"
        super().__init__("\n".join([f"{source}: {count}", *(f"  {fault}" for fault in self.faults)]))
