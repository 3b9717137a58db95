"""Remember Source: later edits of the same source take it from an earlier run."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...p2p_core.memory.remembering import Remember
from ..comfyui.advice import naming
from ..comfyui.model import with_last_step
from ..comfyui.shown_after import origin
from ..shared.types import EDIT, found_by, summary


class P2PRememberSource(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PRememberSource",
            display_name="P2P Remember Source",
            category=EDIT,
            **found_by("cache", "faster", "again", "reuse", "memory"),
            description="Makes the next edit of the same image faster: the source is recorded once, and "
            "later runs with the same source take it from there, to the bit. Words of the edit, windows, "
            "weights, blends and the number of edits may change. Anything else makes a fresh run. The node "
            "shows what was reused.",
            inputs=[
                io.Model.Input("model", tooltip="The MODEL with the edit nodes."),
                io.Boolean.Input("enabled", default=True,
                    tooltip="On: record the source and reuse it. Off: compute it in every run."),
                io.Int.Input("memory_limit", default=256, min=1, max=65536,
                    tooltip="MiB of main memory for all recorded sources. An image of 1024 × 1024 takes 30 "
                    "MiB in 30 steps of SDXL, 90 MiB of Flux. Sources that were used least "
                    "recently are dropped first."),
                io.Int.Input("sources", default=4, min=1, max=64,
                    tooltip="How many sources are kept. A schedule in two samplers needs two per image."),
                io.Boolean.Input("keep_attention", default=False, optional=True,
                    tooltip="Also keep the source's queries and keys inside the windows: later edits then "
                    "compute no source rows at all. Takes far more memory; the node's page has numbers."),
                io.Int.Input("attention_limit", default=4096, min=1, max=1048576, optional=True,
                    tooltip="MiB of main memory for the attention of all sources. A step of SD 1.5 at 512 × "
                    "512 takes about 70 MiB, of SDXL at 1024 × 1024 600 MiB, of Flux at 1024 × 1024 3 GiB. "
                    "Oldest first, sources lose their attention when it is full."),
            ],
            outputs=[
                io.Model.Output(display_name="model",
                    tooltip="For the sampler, or for the next Prompt-to-Prompt node."),
            ],
        )  # fmt: skip

    @classmethod
    def execute(
        cls, model: Any, enabled: bool, memory_limit: int, sources: int, keep_attention: bool = False,
        attention_limit: int = 4096,
    ) -> io.NodeOutput:  # fmt: skip
        with naming("Remember Source"):
            if not enabled:
                return io.NodeOutput(model)
            shown = summary("Records the source, or takes it from an earlier run.")
            attention = attention_limit if keep_attention else 0
            step = Remember(memory_limit, sources, attention, origin(shown))
            return io.NodeOutput(with_last_step(model, step), ui=shown)


NODES = [P2PRememberSource]
