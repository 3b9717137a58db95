"""Nodes of the bundled demo model."""

from . import (
    demo_model,
    demo_picture,
)

_FILES = (
    demo_model,
    demo_picture,
)
NODES = [node for file in _FILES for node in file.NODES]
