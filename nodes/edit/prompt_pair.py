"""Prompt Pair: source and edit prompts, encoded together."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ...p2p_core.words.prompts import split_edits
from ..comfyui.advice import naming
from ..comfyui.pairing import pair
from ..comfyui.tokens import prompt_set
from ..shared.shown import shown_prompts
from ..shared.types import EDIT, Prompts, found_by


class P2PPromptPair(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PPromptPair",
            display_name="P2P Prompt Pair",
            category=EDIT,
            **found_by("edit prompt", "hertz", "source and edit", "text encode"),
            description="Encodes a source prompt together with its edit. Connect the conditioning to the "
            "sampler's positive input and the prompts to Prompt Edit. One latent in gives a source and an "
            "edit out.",
            inputs=[
                io.Clip.Input("clip", tooltip="The CLIP of the checkpoint."),
                io.String.Input(
                    "source",
                    multiline=True,
                    default="a red circle and a blue star on grass",
                    tooltip="The prompt of the image to keep. At least one word. A dynamic prompt is "
                    "drawn once for source and edit.",
                ),
                io.String.Input(
                    "edit",
                    multiline=True,
                    default="a red house and a blue star on grass",
                    tooltip="The same prompt with words changed. For several edits, put a line of three "
                    "dashes between them. If it equals the source, nothing changes. Empty: the source prompt "
                    "alone, for Reweight and Attention Store.",
                ),
            ],
            outputs=[
                Prompts.Output(
                    display_name="prompts",
                    tooltip="The tokenised prompts, for the other Prompt-to-Prompt nodes.",
                ),
                io.Conditioning.Output(
                    display_name="conditioning",
                    tooltip="Paired: for the positive input of a sampler with a patched MODEL.",
                ),
            ],
        )

    @classmethod
    def execute(cls, clip: Any, source: str, edit: str) -> io.NodeOutput:
        with naming("Prompt Pair"):
            prompts = prompt_set(clip, source, split_edits(edit))
            encoded = [clip.encode_from_tokens_scheduled(clip.tokenize(text)) for text in prompts.texts]
            return io.NodeOutput(prompts, pair(encoded, prompts.texts), ui=shown_prompts(prompts))


NODES = [P2PPromptPair]
