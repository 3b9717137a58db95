"""The value for an output without a result."""

from collections import namedtuple

ExecutionBlocker = namedtuple("ExecutionBlocker", "message")
