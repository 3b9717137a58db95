"""Self-Attention Components: regions the model treats as one object, as components of its maps."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...p2p_core.pictures.drawing import draw
from ...p2p_core.pictures.sheets import component_sheet
from ..comfyui.advice import naming
from ..comfyui.given import require_samples
from ..shared.types import STORE_TOOLTIP, VIEW, Store, found_by


class P2PSelfAttentionComponents(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PSelfAttentionComponents",
            display_name="P2P Self-Attention Components",
            category=VIEW,
            **found_by("segmentation", "self attention", "svd"),
            description="Draws the leading components (singular vectors) of the self-attention that "
            "Attention Store recorded: parts of the image that attend to each other get the same shade.",
            inputs=[
                Store.Input("store", tooltip=STORE_TOOLTIP),
                io.Latent.Input("latent", tooltip="From the sampler, so that this node runs after it."),
                io.Int.Input("count", default=10, min=1, max=64, tooltip="Number of components, 1 to 64."),
            ],
            outputs=[
                io.Image.Output(display_name="sheet",
                    tooltip="The labelled components, one image per sample."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, store: Any, latent: Any, count: int) -> io.NodeOutput:
        with naming("Self-Attention Components"):
            return io.NodeOutput(draw(component_sheet(store.read(require_samples(latent)), count)))


NODES = [P2PSelfAttentionComponents]
