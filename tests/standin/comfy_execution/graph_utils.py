"""What a node returns for an output that has nothing to give."""

from dataclasses import dataclass


@dataclass
class ExecutionBlocker:
    message: str | None
