"""Reweight: scales the attention on words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from comfy_api.latest import io

from ...p2p_core.architecture.layers import LayerFilter
from ...p2p_core.edits.steps import WEIGHT_WINDOWS, Reweight
from ...p2p_core.words.weights import parse_weights
from ...p2p_core.words.windows import Window
from ..comfyui.advice import naming
from ..comfyui.model import plan_of, with_step
from ..comfyui.shown_after import origin
from ..shared.types import EDIT, Prompts, bound, found_by, summary

CROSS, SELF = WEIGHT_WINDOWS.cross, WEIGHT_WINDOWS.self_attention


class P2PReweight(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PReweight",
            display_name="P2P Reweight",
            category=EDIT,
            **found_by("weights", "stronger", "weaker", "attention"),
            description="Scales the attention on words: more of the snow, less of the smile. After "
            "Prompt Edit, Word Swap or Refine it weights words of their edit prompts. On its own it weights "
            "the source prompt: leave Prompt Pair's edit empty to get a plain and a weighted image.",
            inputs=[
                io.Model.Input("model", tooltip="The MODEL to patch; other uses of it are unaffected."),
                Prompts.Input("prompts", tooltip="From Prompt Pair."),
                io.String.Input("weights", multiline=True, default="",
                    tooltip="Words or phrases of the edit prompt and their weights, one per line or "
                    "separated by commas: 'fluffy: 4, pink: -1'. 1 = unchanged, > 1 = stronger, "
                    "0 = removed, < 0 = push away from it. Separate blocks with a line of three dashes: "
                    "one block per edit prompt or, without edit prompts, one more image per block."),
                bound("cross_start", CROSS.start, "Start of the window in which the weights count, 0 to 1."),
                bound("cross_end", CROSS.end, "End of the window in which the weights count, 0 to 1; equal "
                      "to the start turns them off."),
                bound("self_start", SELF.start, "Start of the self-attention window, 0 to 1. Used only "
                      "without an edit node on the MODEL, which has its own."),
                bound("self_end", SELF.end, "End of the self-attention window, 0 to 1. Higher preserves more "
                      "of the source's outlines; equal to the start turns it off. Used only without an edit "
                      "node on the MODEL."),
                io.String.Input("layers", default="all", optional=True,
                    tooltip="Layers to edit: 'all', or blocks and resolutions such as 'middle, 1/4'."),
            ],
            outputs=[
                io.Model.Output(display_name="model",
                    tooltip="For the sampler, or for the next Prompt-to-Prompt node."),
                Prompts.Output(display_name="prompts",
                    tooltip="The prompts of all images, for Split Pair and Attention Store: the incoming "
                    "prompts or, without edit prompts, the source plus one copy of it per block."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, model: Any, prompts: Any, weights: str, cross_start: float, cross_end: float,
        self_start: float, self_end: float, layers: str = "all",
    ) -> io.NodeOutput:  # fmt: skip
        with naming("Reweight"):
            step = Reweight(
                parse_weights(weights),
                cross=Window(cross_start, cross_end),
                self_attention=Window(self_start, self_end),
                layers=LayerFilter(layers),
            )
            plan = plan_of(model, prompts).then(prompts, step)
            shown = summary(plan.describe())
            patched = with_step(model, prompts, replace(step, origin=origin(shown)))
            return io.NodeOutput(patched, plan.prompts, ui=shown)


NODES = [P2PReweight]
