"""Compare: source and edit under a divider, and how similar they are."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ...p2p_core.errors import P2PError
from ...p2p_core.pictures.likeness import in_words, psnr
from ...p2p_core.rows import Rows
from ..comfyui.advice import naming
from ..comfyui.given import require_images, require_masks
from ..comfyui.keys import PAIRS
from ..shared.shown import saved
from ..shared.types import VIEW, Prompts, found_by


class P2PCompare(io.ComfyNode):
    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="P2PCompare",
            display_name="P2P Compare",
            category=VIEW,
            **found_by("compare", "before and after", "image comparer", "slider"),
            description="Shows source and edit under a divider that you drag, with one tab per edit, and "
            "reports their similarity: the PSNR over the image and, with a mask, outside it.",
            inputs=[
                io.Image.Input("source", tooltip="From Split Pair: one image per sample."),
                io.Image.Input("edits", tooltip="From Split Pair: the edits of each sample, in order."),
                Prompts.Input("prompts", optional=True,
                    tooltip="From Prompt Pair, or from Reweight if that makes the edits: to label them."),
                io.Mask.Input("mask", optional=True,
                    tooltip="Where the edit was free to change the image: one mask, or one per edit, such as "
                    "from Blend Mask. The similarity outside it is reported too."),
            ],
            outputs=[
                io.String.Output(display_name="report", tooltip="One line per edit, with its PSNR."),
            ],
            is_output_node=True,
        )  # fmt: skip

    @classmethod
    def execute(cls, source: Any, edits: Any, prompts: Any = None, mask: Any = None) -> io.NodeOutput:
        with naming("Compare"):
            source, edits = require_images(source), require_images(edits)
            rows = rows_of(source, edits)
            texts = edit_texts(prompts, rows.prompts - 1)
            masks = masks_of_edits(mask, len(edits))
            pairs: list[dict[str, Any]] = []
            for row, edit, own_mask in zip(rows.edited, edits, masks, strict=True):
                sample, text = rows.sample(row), texts[rows.prompt(row) - 1]
                told = likeness(source[sample], edit, own_mask)
                pairs.append({"name": rows.name(row), "sample": sample, "text": text, "told": told})
            report = "\n".join(f"{pair['name']}: {pair['told']}" for pair in pairs)
            files = {"sources": saved(source), "edits": saved(edits), "pairs": pairs}
            return io.NodeOutput(report, ui={PAIRS: [files]})


def rows_of(source: Tensor, edits: Tensor) -> Rows:
    """The rows that the pictures were. P2PError where not each source has as many edits."""
    if len(edits) % len(source) or not len(edits):
        raise P2PError(
            f"the same number of edits for each of {len(source)} source images",
            f"{len(edits)} edits",
            "Connect source and edits of one Split Pair.",
        )
    return Rows(1 + len(edits) // len(source), len(source))


def edit_texts(prompts: Any, count: int) -> list[str]:
    """The edit prompts; without prompts, an empty text for each."""
    if prompts is None:
        return [""] * count
    if len(prompts.edits) != count:
        raise P2PError(
            f"the prompts of {count} edits",
            f"those of {len(prompts.edits)}",
            "Connect the same prompts as for Split Pair.",
        )
    return [edit.text for edit in prompts.edits]


def masks_of_edits(mask: Tensor | None, edits: int) -> list[Tensor | None]:
    """Each edit's mask, [h, w]; a single mask serves all."""
    if mask is None:
        return [None] * edits
    masks = require_masks(mask)
    if len(masks) not in (1, edits):
        raise P2PError(f"one mask or {edits}, one per edit", f"{len(masks)} masks", "Connect one of these.")
    return [masks[n % len(masks)] for n in range(edits)]


def likeness(source: Tensor, edit: Tensor, mask: Tensor | None) -> str:
    """The PSNR over the image and, with a mask, outside it, as text."""
    whole = f"PSNR over the image {in_words(psnr(source, edit))}"
    if mask is None:
        return whole
    return f"{whole}, outside the mask {in_words(psnr(source, edit, (1 - mask).clamp(0, 1)))}"


NODES = [P2PCompare]
