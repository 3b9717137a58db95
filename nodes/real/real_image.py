"""Real Image: an inverted image as the source of an edit."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...p2p_core.real.pinning import NEGATIVES, RealImage
from ..comfyui.advice import naming
from ..comfyui.model import with_step
from ..shared.types import REAL, Prompts, TrajectorySocket, bound, found_by, require_option


class P2PRealImage(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PRealImage",
            display_name="P2P Real Image",
            category=REAL,
            **found_by("photo", "photograph", "edit a photo", "inversion"),
            description="Makes an inverted image the source of an edit: the source comes out exactly as it "
            "went in, at any guidance scale, and edits start from its noise. The sampler needs the steps, "
            "scheduler and denoise of Invert; its seed has no effect. Without inversion it may have any, and "
            "its seed counts.",
            inputs=[
                io.Model.Input("model", tooltip="The MODEL to patch; before or after the edit nodes."),
                Prompts.Input("prompts", tooltip="From Prompt Pair, with the source prompt of the "
                    "inversion."),
                TrajectorySocket.Input("trajectory", tooltip="From Invert, Null Text or Load Trajectory."),
                io.Boolean.Input("pin", default=True,
                    tooltip="On: the source is the image, at every step. Off: it is sampled from its noise "
                    "and drifts, less so with source prompt or null text as negative."),
                io.Combo.Input("negative", options=list(NEGATIVES), default="as connected",
                    tooltip="What edits are guided away from: the sampler's negative; the source prompt "
                    "(negative-prompt inversion); or the encodings of Null Text."),
                bound("source_share", 1.0, "With source prompt: its share in the mix with the sampler's "
                      "negative, 0 to 1. 1: the source prompt alone."),
                bound("proximal", 0.0, "Proximal guidance: the fraction of the guidance values, 0 to 1, that "
                      "is dropped as too small. 0: none. Published: 0.75."),
                io.Boolean.Input("restore", default=True,
                    tooltip="With proximal guidance: restore the image where no guidance is left, in the "
                    "last two fifths of the sampling."),
                bound("control", 0.0, "RF-Inversion's controller: the share of the image in each prediction, "
                      "0 to 1. 0: none. Published: 0.9. Keeps edits closer to the image.", optional=True),
                bound("control_end", 0.25, "Progress until which the controller acts, 0 to 1. Published: "
                      "0.25.", optional=True),
            ],
            outputs=[
                io.Model.Output(display_name="model",
                    tooltip="For the sampler, or for the next Prompt-to-Prompt node."),
                io.Latent.Output(display_name="latent", tooltip="The latent of the images, for the sampler."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, model: Any, prompts: Any, trajectory: Any, pin: bool, negative: Any, source_share: float,
        proximal: float, restore: bool, control: float = 0.0, control_end: float = 0.25,
    ) -> io.NodeOutput:  # fmt: skip
        with naming("Real Image"):
            require_option("negative", negative, NEGATIVES)
            real = RealImage(
                trajectory,
                pin=pin,
                negative=negative,
                share=source_share,
                quantile=proximal,
                restore=restore,
                control=control,
                control_end=control_end,
            )
            return io.NodeOutput(with_step(model, prompts, real), {"samples": trajectory.picture})


NODES = [P2PRealImage]
