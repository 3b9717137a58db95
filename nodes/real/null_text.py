"""Null Text: unconditional encodings that keep a guided sampling on the trajectory."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...p2p_core.real.null_text import NullText
from ..comfyui.advice import naming
from ..comfyui.families import require_null_text
from ..comfyui.model import require_no_plan
from ..comfyui.null_text import with_null_texts
from ..comfyui.pairing import source_of
from ..shared.types import REAL, TrajectorySocket, found_by


class P2PNullText(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PNullText",
            display_name="P2P Null Text",
            category=REAL,
            **found_by("null-text inversion", "photo", "optimisation"),
            description="Null-text inversion: optimises an unconditional encoding for each step so that a "
            "guided sampling stays on the trajectory. Slow, and needs the memory of a second copy of the "
            "model. Use it when Real Image does not pin the source, or as its negative.",
            inputs=[
                io.Model.Input("model", tooltip="The MODEL that the image was inverted with."),
                TrajectorySocket.Input("trajectory", tooltip="From Invert, with any method but "
                    "edit-friendly noise."),
                io.Conditioning.Input("source", tooltip="The source prompt, as for Invert."),
                io.Conditioning.Input("negative", tooltip="The starting point: the sampler's negative."),
                io.Float.Input("cfg", default=7.5, min=1.0, max=100.0, step=0.1,
                    tooltip="The same as in the sampler: the encodings fit one guidance scale."),
                io.Int.Input("iterations", default=10, min=1, max=500,
                    tooltip="Maximum per step; a step ends early when its loss is below the published "
                        "limit."),
            ],
            outputs=[
                TrajectorySocket.Output(display_name="trajectory",
                    tooltip="For Real Image with its negative set to null text."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, model: Any, trajectory: Any, source: Any, negative: Any, cfg: float, iterations: int
    ) -> io.NodeOutput:
        with naming("Null Text"):
            require_no_plan(model)
            require_null_text(model)
            sides = source_of(source)[0], source_of(negative)[0]
            return io.NodeOutput(with_null_texts(model, trajectory, *sides, NullText(cfg, iterations)))


NODES = [P2PNullText]
