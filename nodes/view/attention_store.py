"""Attention Store: records where the words of a prompt attend during a sampling."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...p2p_core.architecture.layers import LayerFilter
from ...p2p_core.maps.recording import Record
from ...p2p_core.maps.store import MapStore, word_channel
from ...p2p_core.words.fields import entries
from ...p2p_core.words.windows import Window
from ..comfyui.advice import naming
from ..comfyui.families import require_self_attention
from ..comfyui.model import with_step
from ..shared.types import VIEW, Prompts, Store, bound, found_by, require_option

SELF_SCALES = {"none": 0, "1/2": 2, "1/4": 4, "1/8": 8}


class P2PAttentionStore(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PAttentionStore",
            display_name="P2P Attention Store",
            category=VIEW,
            **found_by("attention maps", "heatmap", "cross attention", "daam"),
            description="Records the attention maps of words during a sampling, with or without an edit, for "
            "Attention Maps. The image is unchanged. The store holds means over the sampling, in main "
            "memory: words take a few megabytes, self-attention of N image tokens 4·N² bytes per image (4 MB "
            "at 32 × 32).",
            inputs=[
                io.Model.Input("model", tooltip="The MODEL to record; other uses of it are unaffected."),
                Prompts.Input("prompts", tooltip="From Prompt Pair; its edit may be empty."),
                io.String.Input("words", multiline=True, default="",
                    tooltip="Words or phrases to record, one per line or separated by commas. Empty: all "
                    "words."),
                io.String.Input("layers", default="all",
                    tooltip="Layers to record: 'all', or blocks and resolutions such as 'middle, 1/4'. "
                    "They apply to self-attention too."),
                bound("start", 0.0, "Start of the part of the sampling to record, 0 to 1."),
                bound("end", 1.0, "End of the part of the sampling to record, 0 to 1."),
                io.Int.Input("step_groups", default=1, min=1, max=50,
                    tooltip="Number of parts of the sampling that get their own maps, for the view over "
                    "steps. 1: one mean over all steps. Memory grows with it."),
                io.Combo.Input("self_attention", options=list(SELF_SCALES), default="none",
                    tooltip="Record self-attention too, for Self-Attention Components: one mean over those "
                    "of the chosen layers that have this resolution. At most 4096 image tokens."),
            ],
            outputs=[
                io.Model.Output(display_name="model",
                    tooltip="For the sampler, or for the next Prompt-to-Prompt node."),
                Store.Output(display_name="store",
                    tooltip="For Attention Maps and Self-Attention Components, after the sampling."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, model: Any, prompts: Any, words: str, layers: str, start: float, end: float,
        step_groups: int, self_attention: str,
    ) -> io.NodeOutput:  # fmt: skip
        with naming("Attention Store"):
            require_option("self_attention", self_attention, SELF_SCALES)
            if SELF_SCALES[self_attention]:
                require_self_attention(model)
            record = Record(
                tuple(word_channel(word, prompts) for word in entries(words) or prompts.names),
                MapStore(),
                layers=LayerFilter(layers),
                window=Window(start, end),
                parts=step_groups,
                self_scale=SELF_SCALES[self_attention],
            )
            return io.NodeOutput(with_step(model, prompts, record), record.store)


NODES = [P2PAttentionStore]
