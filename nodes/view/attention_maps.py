"""Attention Maps: where the words looked, drawn, and as a mask."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ...p2p_core.errors import P2PError, naming
from ...p2p_core.maps.heat import heat_maps, word_masks
from ...p2p_core.pictures.colours import overlay, require_room
from ...p2p_core.pictures.drawing import Style, draw
from ...p2p_core.pictures.sheets import word_sheet
from ...p2p_core.words.fields import entries
from ..shared.shown import shown_maps
from ..shared.types import CATEGORY, STORE_TOOLTIP, Store, bound, layer_choice, require_option

NAME = "Attention Maps"
CELL = 8  # pixels a latent cell stands for
VIEWS = ["words", "steps", "resolutions", "layers"]


class P2PAttentionMaps(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PAttentionMaps",
            display_name="P2P Attention Maps",
            category=CATEGORY,
            description="Draws the attention maps that Attention Store kept: a labelled sheet over words, "
            "steps, resolutions or layers, each map over the picture, and a mask of where the words look.",
            inputs=[
                Store.Input("store", tooltip=STORE_TOOLTIP),
                io.Latent.Input("latent", tooltip="From the sampler, so that this node waits for it."),
                io.String.Input("words", multiline=True, default="",
                    tooltip="Words to show, one a line or with commas, of those that were kept. Empty: all."),
                io.Combo.Input("view", options=VIEWS, default="words",
                    tooltip="What stands side by side on the sheet. Steps need step groups in the store."),
                io.String.Input("layers", default="auto",
                    tooltip="Layers to average: 'auto' (a quarter of the latent's side, finer for small "
                    "pictures; all of them where resolutions or layers are compared), 'all', or blocks and "
                    "resolutions such as 'middle, 1/4'."),
                bound("opacity", 0.6, "How much the map covers the picture, 0 (not at all) to 1."),
                bound("threshold", 0.4, "The mask is where a word's map is above this part of its maximum, 0 "
                      "to 1. Higher makes a smaller mask."),
                io.Image.Input("images", optional=True,
                    tooltip="The decoded pictures of the sampling, to draw the maps over."),
            ],
            outputs=[
                io.Image.Output(display_name="sheet", tooltip="The labelled maps, one picture a sample."),
                io.Image.Output(display_name="overlays",
                    tooltip="Each word's map over the picture: all words of the first row, then of the next. "
                    "Without pictures the maps alone."),
                io.Mask.Output(display_name="mask",
                    tooltip="Where any of the words looks, one mask a row: source, edits, next sample."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, store: Any, latent: Any, words: str, view: Any, layers: str, opacity: float,
        threshold: float, images: Any = None,
    ) -> io.NodeOutput:  # fmt: skip
        with naming(NAME):
            require_option("view", view, VIEWS)
            recorded, chosen = store.read(latent["samples"]), layer_choice(layers)
            names, style = entries(words), Style(opacity=opacity)
            sheet = draw(word_sheet(recorded, view, names, chosen), images, style)
            maps = heat_maps(recorded, names, chosen)  # [R, n, h, w]
            shown = shown_maps(recorded, names, chosen, images, opacity)
            if images is None:
                images, opacity = blank(recorded.latent), 1.0
            size = (images.shape[1], images.shape[2])
            mask = word_masks(recorded, names, threshold, size, chosen)
            return io.NodeOutput(sheet, overlays(images, maps, opacity), mask, ui=shown)


def overlays(images: torch.Tensor, maps: torch.Tensor, opacity: float) -> Any:
    """The maps [R, n, h, w] over the pictures; if they are too many, an error for the nodes that use them.

    They are drawn even if nothing uses them. A node can read in PROMPT what is connected to it, but ComfyUI
    (0.3.64 and 0.33.0) caches outputs by what goes into a node: an output left out because it was not
    connected would still be missing when it is connected later.
    """
    rows, words, *_ = maps.shape
    try:
        require_room(
            rows * words, (images.shape[1], images.shape[2]), "Name fewer words, or connect smaller images."
        )
    except P2PError as error:
        return ExecutionBlocker(str(error.at(NAME)))
    return overlay(images, maps, opacity)


def blank(latent: tuple[int, int]) -> torch.Tensor:
    """A black picture of the size that the latent is decoded to, [1, H, W, 3]."""
    return torch.zeros(1, CELL * latent[0], CELL * latent[1], 3)


NODES = [P2PAttentionMaps]
