"""Local Blend: outside a mask computed from attention, the edit equals the source to the last bit."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...p2p_core.maps.blending import Blend
from ...p2p_core.maps.masks import MASK_MODES, MaskRule
from ...p2p_core.maps.store import MapStore
from ...p2p_core.words.fields import entries
from ..comfyui.advice import naming
from ..comfyui.given import require_masks
from ..comfyui.model import with_step
from ..shared.types import EDIT, Prompts, Store, bound, found_by, layer_choice, require_option

REGIONS = ("words", "reference")


class P2PLocalBlend(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PLocalBlend",
            display_name="P2P Local Blend",
            category=EDIT,
            **found_by("mask", "region", "inpaint by words", "background"),
            description="Confines the edit to a mask, computed from the attention on some words or painted "
            "by you. Outside it, the edit's latent equals the source's exactly. Blend Mask shows the mask.",
            inputs=[
                io.Model.Input("model", tooltip="The MODEL to patch; other uses of it are unaffected."),
                Prompts.Input("prompts", tooltip="From Prompt Pair."),
                io.String.Input("source_words", multiline=True, default="",
                    tooltip="Words of the source prompt whose region may change, one per line or separated "
                    "by commas: usually the words that the edit changes."),
                io.String.Input("edit_words", multiline=True, default="",
                    tooltip="Words of the edit prompts whose region may change, as above."),
                io.String.Input("subtract_words", multiline=True, default="",
                    tooltip="Words of any prompt whose region is preserved even where the mask of the other "
                    "words covers it."),
                bound("threshold", 0.3, "The image may change where the words' map exceeds this fraction of "
                      "its maximum, 0 to 1. Higher makes the mask smaller."),
                bound("subtract_threshold", 0.3, "The same for the subtracted words. 1 subtracts nothing."),
                bound("start", 0.2, "Progress from which the edit is blended, 0 to 1. Earlier maps are "
                      "still vague."),
                io.Boolean.Input("pooling", default=True,
                    tooltip="Widen the maps by a 3 × 3 maximum, as the paper's code does."),
                io.Int.Input("soft_edge", default=0, min=0, max=64,
                    tooltip="Distance over which the mask fades out, in latent cells (8 pixels each). "
                    "0: a hard edge."),
                io.String.Input("layers", default="auto",
                    tooltip="Layers whose maps are used: 'auto' (a quarter of the latent's side, finer for "
                    "small images), or blocks and resolutions such as '1/2'."),
                io.Combo.Input("mask_mode", options=list(MASK_MODES), default="intersect",
                    tooltip="What a connected mask does: restrict the words' mask, or replace it."),
                io.Mask.Input("mask", optional=True,
                    tooltip="Where the image may change: one mask, or one per edit. Any size: it is resized "
                    "to the latent by averaging, so a cell that it covers partly is blended partly."),
                io.Combo.Input("region", options=list(REGIONS), default="words", optional=True,
                    tooltip="What the mask is computed from. words: where the words attend. reference: where "
                    "the edit attends little to the reference image of an edit model; without words."),
            ],
            outputs=[
                io.Model.Output(display_name="model",
                    tooltip="For the sampler, or for the next Prompt-to-Prompt node."),
                Store.Output(display_name="store", tooltip="For Blend Mask, after the sampling."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, model: Any, prompts: Any, source_words: str, edit_words: str, subtract_words: str,
        threshold: float, subtract_threshold: float, start: float, pooling: bool, soft_edge: int,
        layers: str, mask_mode: Any, mask: Any = None, region: Any = "words",
    ) -> io.NodeOutput:  # fmt: skip
        with naming("Local Blend"):
            require_option("mask_mode", mask_mode, MASK_MODES)
            require_option("region", region, REGIONS)
            rule = MaskRule(
                threshold=threshold,
                subtract_threshold=subtract_threshold,
                pool=pooling,
                soft=soft_edge,
                mask=None if mask is None else require_masks(mask),
                mask_mode=mask_mode,
                below=region == "reference",
            )
            blend = Blend(
                source=entries(source_words),
                edit=entries(edit_words),
                subtract=entries(subtract_words),
                store=MapStore(),
                rule=rule,
                start=start,
                layers=layer_choice(layers),
            )
            return io.NodeOutput(with_step(model, prompts, blend), blend.store)


NODES = [P2PLocalBlend]
