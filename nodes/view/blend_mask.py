"""Blend Mask: the last mask of a local blend."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch.nn import functional as F

from ...p2p_core.errors import P2PError
from ...p2p_core.limits import PICTURES, require_memory
from ...p2p_core.maps.masks import apart
from ..comfyui.advice import naming
from ..comfyui.given import require_images, require_samples
from ..shared.shown import shown_masks
from ..shared.types import VIEW, Store, found_by


class P2PBlendMask(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PBlendMask",
            display_name="P2P Blend Mask",
            category=VIEW,
            **found_by("mask", "show mask"),
            description="The mask of Local Blend as it was at the end of the sampling: 1 where the edit "
            "could change the image. The node shows it over the images, and what other "
            "thresholds would give with the same maps.",
            inputs=[
                Store.Input("store", tooltip="From Local Blend."),
                io.Latent.Input("latent", tooltip="From the sampler, so that this node runs after it."),
                io.Image.Input(
                    "images",
                    optional=True,
                    tooltip="The decoded images of the sampling, to show the mask over on the node.",
                ),
            ],
            outputs=[
                io.Mask.Output(
                    display_name="mask",
                    tooltip="At the size of the image, one per edit: those of the first sample, then of the "
                    "next.",
                ),
            ],
        )

    @classmethod
    def execute(cls, store: Any, latent: Any, images: Any = None) -> io.NodeOutput:
        with naming("Blend Mask"):
            recorded = store.read(require_samples(latent))
            images = None if images is None else require_images(images)
            mask = recorded.blend
            if mask is None:
                raise P2PError(
                    "a store of Local Blend", "one of Attention Store", "Connect Local Blend's store."
                )
            cell, (height, width) = recorded.scene.cell, recorded.latent
            size = f"{len(mask)} masks of {width * cell} × {height * cell}"
            require_memory(size, mask.numel() * cell**2, PICTURES, "Use smaller images, or fewer samples.")
            frames = apart(mask, recorded.scene.frames)
            large = F.interpolate(frames[:, None], scale_factor=cell, mode="nearest")[:, 0]
            return io.NodeOutput(large, ui=shown_masks(recorded, mask, images))


NODES = [P2PBlendMask]
