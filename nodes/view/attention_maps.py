"""Attention Maps: where the words attended, drawn and as a mask."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ...p2p_core.errors import P2PError
from ...p2p_core.maps.heat import heat_maps, word_masks
from ...p2p_core.maps.store import Recorded
from ...p2p_core.pictures.colours import overlay, require_room
from ...p2p_core.pictures.drawing import Style, draw
from ...p2p_core.pictures.sheets import VIEWS, word_sheet
from ...p2p_core.words.fields import entries
from ..comfyui.advice import naming
from ..comfyui.given import require_images, require_samples
from ..shared.shown import shown_maps
from ..shared.types import STORE_TOOLTIP, VIEW, Store, bound, found_by, layer_choice, require_option

NAME = "Attention Maps"


class P2PAttentionMaps(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PAttentionMaps",
            display_name="P2P Attention Maps",
            category=VIEW,
            **found_by("heatmap", "cross attention", "daam", "mask", "saliency"),
            description="Draws the attention maps that Attention Store recorded: a labelled sheet over "
            "words, steps, resolutions or layers, each map over the image, and a mask of where the words "
            "attend.",
            inputs=[
                Store.Input("store", tooltip=STORE_TOOLTIP),
                io.Latent.Input("latent", tooltip="From the sampler, so that this node runs after it."),
                io.String.Input("words", multiline=True, default="",
                    tooltip="The recorded words to show, one per line or separated by commas. Empty: all."),
                io.Combo.Input("view", options=list(VIEWS), default="words",
                    tooltip="The columns of the sheet. 'steps' needs step groups in Attention Store."),
                io.String.Input("layers", default="auto",
                    tooltip="Layers to average: 'auto' (a quarter of the latent's side, finer for small "
                    "images; all of them in the views over resolutions and layers), 'all', or blocks and "
                    "resolutions such as 'middle, 1/4'."),
                bound("opacity", 0.6, "How strongly the map covers the image, 0 (not at all) to 1."),
                bound("threshold", 0.4, "The mask is where a word's map exceeds this fraction of its "
                      "maximum, 0 to 1. Higher makes the mask smaller."),
                io.Image.Input("images", optional=True,
                    tooltip="The decoded images of the sampling, to draw the maps over."),
            ],
            outputs=[
                io.Image.Output(display_name="sheet", tooltip="The labelled maps, one image per sample."),
                io.Image.Output(display_name="overlays",
                    tooltip="Each word's map over the image: all words of the first row, then of the next. "
                    "Without images, only the maps."),
                io.Mask.Output(display_name="mask",
                    tooltip="Where any of the words attends, one mask per row: source, edits, next sample."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, store: Any, latent: Any, words: str, view: Any, layers: str, opacity: float,
        threshold: float, images: Any = None,
    ) -> io.NodeOutput:  # fmt: skip
        with naming(NAME):
            require_option("view", view, VIEWS)
            recorded, chosen = store.read(require_samples(latent)), layer_choice(layers)
            images = None if images is None else require_images(images, (3,)).float()
            names, style = entries(words), Style(opacity=opacity)
            sheet = draw(word_sheet(recorded, view, names, chosen), images, style)
            maps = heat_maps(recorded, names, chosen)  # [R, n, h, w]
            shown = shown_maps(recorded, names, chosen, images, opacity)
            if images is None:
                images, opacity = blank(recorded), 1.0
            size = (images.shape[1] // recorded.scene.frames, images.shape[2])
            mask = word_masks(recorded, names, threshold, size, chosen)
            return io.NodeOutput(sheet, overlays(images, maps, opacity), mask, ui=shown)


def overlays(images: torch.Tensor, maps: torch.Tensor, opacity: float) -> Any:
    """The maps [R, n, h, w] over the pictures; if there are too many, an error for the nodes that use them.

    They are drawn even if nothing uses them. A node can read in PROMPT what is connected to it, but ComfyUI
    (0.3.64 and 0.33.0) caches outputs by what goes into a node: an output left out because it was not
    connected would still be missing when it is connected later.
    """
    rows, words, *_ = maps.shape
    try:
        require_room(
            rows * words, (images.shape[1], images.shape[2]), "List fewer words, or connect smaller images."
        )
    except P2PError as error:
        return ExecutionBlocker(str(error.at(NAME)))
    return overlay(images, maps, opacity)


def blank(recorded: Recorded) -> torch.Tensor:
    """A black picture with the size of the decoded latent, [1, H, W, 3]."""
    height, width = (recorded.scene.cell * side for side in recorded.latent)
    return torch.zeros(1, height, width, 3)


NODES = [P2PAttentionMaps]
