"""Demo Picture: a rendered scene in place of a photograph, so that the examples need no file."""

from __future__ import annotations

import random

import numpy as np
import torch
from comfy_api.latest import io

from ..shared.types import DEMO, found_by


class P2PDemoPicture(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PDemoPicture",
            display_name="P2P Demo Picture",
            category=DEMO,
            **found_by("example image", "photo"),
            description="A source image for the demo model, in place of Load Image: a scene rendered by a "
            "script, 256 × 256, and its caption.",
            inputs=[
                io.Int.Input("seed", default=0, min=0, max=0xFFFFFFFFFFFFFFFF,
                    tooltip="Scene number (any value)."),
            ],
            outputs=[
                io.Image.Output(display_name="image", tooltip="For VAE Encode."),
                io.String.Output(display_name="caption", tooltip="For the source of Prompt Pair."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(cls, seed: int) -> io.NodeOutput:
        from ...demo.world.scenes import draw, random_scene

        scene = random_scene(random.Random(seed))
        pixels = np.array(draw(scene), dtype=np.float32) / 255
        return io.NodeOutput(torch.from_numpy(pixels)[None], scene.caption)


NODES = [P2PDemoPicture]
