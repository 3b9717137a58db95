"""Real Image: an inverted picture as the source of an edit."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...p2p_core.errors import naming
from ...p2p_core.real.pinning import NEGATIVES, RealImage
from ..comfyui.sampling import with_step
from ..shared.types import CATEGORY, Prompts, TrajectorySocket, bound, require_option


class P2PRealImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PRealImage",
            display_name="P2P Real Image",
            category=CATEGORY,
            description="Makes an inverted picture the source of an edit: the source comes out exactly as "
            "it went in, at any guidance scale, and edits start from its noise. The sampler needs the steps, "
            "scheduler and denoise of Invert; its seed has no effect.",
            inputs=[
                io.Model.Input("model", tooltip="The MODEL to patch; before or after the edit nodes."),
                Prompts.Input("prompts", tooltip="From Prompt Pair, with the source prompt that was "
                    "inverted."),
                TrajectorySocket.Input("trajectory", tooltip="From Invert, Null Text or Load Trajectory."),
                io.Boolean.Input("pin", default=True,
                    tooltip="On: the source is the picture, at every step. Off: it is drawn from its noise "
                    "and drifts, less so with source prompt or null text as negative."),
                io.Combo.Input("negative", options=list(NEGATIVES), default="as connected",
                    tooltip="What edits are guided away from: the sampler's negative; the source prompt "
                    "(negative-prompt inversion); or what Null Text found."),
                bound("source_share", 1.0, "Of source prompt: its part in the mixture with the sampler's "
                      "negative, 0 to 1. 1: the source prompt alone."),
                bound("proximal", 0.0, "Proximal guidance: the part of the guidance, 0 to 1, that is too "
                      "small to count and left out. 0: none is. Published: 0.75."),
                io.Boolean.Input("restore", default=True,
                    tooltip="With proximal guidance: in the last two fifths of the sampling take the "
                    "picture back where no guidance is left."),
            ],
            outputs=[
                io.Model.Output(display_name="model",
                    tooltip="For the sampler, or for the next Prompt-to-Prompt node."),
                io.Latent.Output(display_name="latent", tooltip="The pictures' latent, for the sampler."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, model: Any, prompts: Any, trajectory: Any, pin: bool, negative: Any, source_share: float,
        proximal: float, restore: bool,
    ) -> io.NodeOutput:  # fmt: skip
        with naming("Real Image"):
            require_option("negative", negative, NEGATIVES)
            real = RealImage(trajectory, pin, negative, source_share, proximal, restore)
            return io.NodeOutput(with_step(model, prompts, real), {"samples": trajectory.picture})


NODES = [P2PRealImage]
