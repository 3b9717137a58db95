"""A stand-in for the part of ComfyUI's contract that the pack uses."""

from . import io as io
from . import ui as ui

ComfyExtension = object
