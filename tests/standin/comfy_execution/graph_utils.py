"""What a node returns for an output that has nothing to give."""

from collections import namedtuple

ExecutionBlocker = namedtuple("ExecutionBlocker", "message")
