"""Pair Conditioning: for graphs that encode their prompts with other nodes."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..comfyui.advice import naming
from ..comfyui.pairing import pair
from ..shared.types import EDIT, found_by


class P2PPairConditioning(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PPairConditioning",
            display_name="P2P Pair Conditioning",
            category=EDIT,
            **found_by("combine conditionings"),
            description="Pairs two conditionings that other nodes encoded. The edit nodes still get their "
            "prompts from Prompt Pair, with the same texts.",
            inputs=[
                io.Conditioning.Input("source", tooltip="The source prompt, encoded."),
                io.Conditioning.Input("edit", tooltip="The edit prompt, encoded the same way."),
            ],
            outputs=[
                io.Conditioning.Output(
                    display_name="conditioning",
                    tooltip="Paired: for the positive input of a sampler with a patched MODEL.",
                )
            ],
        )

    @classmethod
    def execute(cls, source: Any, edit: Any) -> io.NodeOutput:
        with naming("Pair Conditioning"):
            return io.NodeOutput(pair([source, edit]))


NODES = [P2PPairConditioning]
