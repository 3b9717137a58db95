"""Nodes for real images: inversion, null text, pinned sources, trajectory files."""

from . import (
    invert,
    null_text,
    real_image,
    trajectory_files,
)

_FILES = (
    invert,
    null_text,
    real_image,
    trajectory_files,
)
NODES = [node for file in _FILES for node in file.NODES]
