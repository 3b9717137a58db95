"""Split Pair: source and edits of a paired result as separate outputs."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from comfy_execution.graph_utils import ExecutionBlocker

from ...p2p_core.errors import P2PError
from ...p2p_core.rows import Rows, edits, per_row, sources
from ..comfyui.advice import naming
from ..comfyui.given import require_image_rows, require_samples
from ..shared.types import EDIT, Prompts, found_by


class P2PSplitPair(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PSplitPair",
            display_name="P2P Split Pair",
            category=EDIT,
            **found_by("unbatch", "source and edit"),
            description="Splits the result of a paired sampling into source and edits: images or latents.",
            inputs=[
                Prompts.Input("prompts", tooltip="From Prompt Pair: the number of prompts per sample."),
                io.Image.Input("images", optional=True, tooltip="The decoded images of the sampling."),
                io.Latent.Input("latent", optional=True, tooltip="The latent of the sampling."),
            ],
            outputs=[
                io.Image.Output(display_name="source", tooltip="One image per sample, in order."),
                io.Image.Output(
                    display_name="edits", tooltip="The edits of the first sample, then of the next."
                ),
                io.Latent.Output(display_name="source_latent", tooltip="One latent per sample, in order."),
                io.Latent.Output(
                    display_name="edits_latent", tooltip="The edits of the first sample, then of the next."
                ),
            ],
        )

    @classmethod
    def execute(cls, prompts: Any, images: Any = None, latent: Any = None) -> io.NodeOutput:
        count, nothing = prompts.count, (ExecutionBlocker(None),) * 2
        with naming("Split Pair"):
            if count == 1:
                hint = "Connect the prompts output of Reweight, or use the images as they are."
                raise P2PError("prompts with an edit", "a source prompt alone", hint)
            if images is None and latent is None:
                raise P2PError("images or a latent", "neither", "Connect VAE Decode or the sampler.")
            pictures = nothing if images is None else split(require_image_rows(images), count)
            latents = nothing if latent is None else split_latent(latent, count)
            return io.NodeOutput(*pictures, *latents)


def split(rows: torch.Tensor, prompts: int) -> tuple[torch.Tensor, torch.Tensor]:
    """[P·B, ...] → sources [B, ...], edits [E·B, ...]."""
    Rows.of(len(rows), prompts)
    return sources(rows, prompts).clone(), edits(rows, prompts)


def split_latent(latent: dict[str, Any], prompts: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both halves of a LATENT; a noise mask or batch index per sample goes to each of its edits."""
    halves = split(require_samples(latent), prompts)
    source, edits = ({**latent, "samples": half} for half in halves)
    samples = halves[0].shape[0]
    mask, index = latent.get("noise_mask"), latent.get("batch_index", ())
    if mask is not None and mask.ndim > 2 and mask.shape[0] > 1:
        source["noise_mask"], edits["noise_mask"] = split(_by_row(mask, samples, prompts), prompts)
    if len(index):
        rows = _by_row(torch.tensor(index), samples, prompts)
        source["batch_index"], edits["batch_index"] = (half.tolist() for half in split(rows, prompts))
    return source, edits


def _by_row(value: torch.Tensor, samples: int, prompts: int) -> torch.Tensor:
    return per_row(value, prompts) if value.shape[0] == samples else value


NODES = [P2PSplitPair]
