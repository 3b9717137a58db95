"""Prompt-to-Prompt (Hertz et al. 2022, arXiv 2208.01626) in value space, independent of any host.

What a host needs can be imported from here; docs/core.md shows how to use it. A name is imported when it is
first used, so that `p2p_core.words` works without torch.

Shapes used throughout: B batch rows, N image tokens, T prompt columns, K key columns (a multiple of T),
C channels (heads × head width). Progress runs from 0 (pure noise) to 1 (finished picture).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .architecture.layers import Layer, LayerFilter
    from .architecture.unet import diffusers_layer
    from .edits.steps import EDIT_METHODS, Reweight, TokenEdit
    from .errors import P2PError
    from .maps.blending import Blend
    from .maps.heat import heat_maps, word_masks
    from .maps.masks import MASK_MODES, MaskRule
    from .maps.recording import Record
    from .maps.store import MapStore, Recorded, word_channel
    from .plan import EditPlan
    from .real.inversion import INVERSION_METHODS, Inversion, invert
    from .real.levels import Levels
    from .real.null_text import Course, NullText, optimise
    from .real.pinning import NEGATIVES, RealImage
    from .real.trajectory import Trajectory
    from .rows import Rows, per_row
    from .run import Run
    from .step import Call, Scene, Step
    from .words.pieces import Piece, build_prompt
    from .words.prompts import Prompt, PromptSet, split_edits
    from .words.weights import Weights, parse_weights
    from .words.windows import Window, WordWindow, parse_word_windows

__all__ = [
    "EDIT_METHODS",
    "INVERSION_METHODS",
    "MASK_MODES",
    "NEGATIVES",
    "Blend",
    "Call",
    "Course",
    "EditPlan",
    "Inversion",
    "Layer",
    "LayerFilter",
    "Levels",
    "MapStore",
    "MaskRule",
    "NullText",
    "P2PError",
    "Piece",
    "Prompt",
    "PromptSet",
    "RealImage",
    "Record",
    "Recorded",
    "Reweight",
    "Rows",
    "Run",
    "Scene",
    "Step",
    "TokenEdit",
    "Trajectory",
    "Weights",
    "Window",
    "WordWindow",
    "build_prompt",
    "diffusers_layer",
    "heat_maps",
    "invert",
    "optimise",
    "parse_weights",
    "parse_word_windows",
    "per_row",
    "split_edits",
    "word_channel",
    "word_masks",
]

# From the ground floor up: a name is taken from the first module that has it.
_MODULES = (
    *("errors", "words.windows", "words.prompts", "words.pieces", "words.weights", "architecture.layers"),
    *("architecture.unet", "rows", "step", "edits.steps", "maps.masks", "maps.store", "maps.recording"),
    *("maps.blending", "maps.heat", "real.levels", "real.inversion", "real.null_text", "real.trajectory"),
    *("real.pinning", "plan", "run"),
)


def __getattr__(name: str) -> Any:
    """A public name, imported when it is first used."""
    if name in __all__:
        for module in _MODULES:
            found = import_module(f".{module}", __name__)
            if hasattr(found, name):
                return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
