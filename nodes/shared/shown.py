"""Data for the front end (web/js): plain values, and small pictures in the temp folder.

Words, tokens, alignments, maps and masks are computed here, so that the browser only draws. A run through the
API ignores all of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from comfy_api.latest import ui
from einops import rearrange
from torch import Tensor

from ...p2p_core.architecture.layers import LayerFilter
from ...p2p_core.maps.heat import places
from ...p2p_core.maps.store import Recorded
from ...p2p_core.pictures.strips import steps_of, strips
from ...p2p_core.words.align import Change, edit_changes
from ...p2p_core.words.prompts import Prompt, PromptSet
from ...p2p_core.words.texts import is_readable
from ..comfyui.keys import MAPS, MASKS, PROMPTS

Shown = dict[str, list[Any]]
THRESHOLDS = 101  # 0, 0.01, … 1
ACROSS = 10  # masks side by side


def shown_prompts(prompts: PromptSet) -> Shown:
    """The prompts' words with their tokens, and what each edit keeps, swaps, adds and removes."""
    edits = [
        {**_text(edit), "changes": [_change(change) for change in edit_changes(prompts.source, edit)]}
        for edit in prompts.edits
    ]
    return {PROMPTS: [{"source": _text(prompts.source), "edits": edits}]}


def _text(prompt: Prompt) -> dict[str, Any]:
    words: list[dict[str, Any]] = []
    for word, name in zip(prompt.words, prompt.names, strict=True):
        tokens = word.tokens if all(map(is_readable, word.tokens)) else (word.text,)
        words.append({"text": word.text, "name": name, "tokens": list(tokens), "columns": len(word.columns)})
    return {"text": prompt.text, "words": words}


def _change(change: Change) -> dict[str, Any]:
    kinds = {"kept": change.kept, "added": change.added, "removed": change.removed}
    kind = next((name for name, is_it in kinds.items() if is_it), "swapped")
    return {"kind": kind, "source": change.source, "edit": change.edit}


def shown_maps(
    recorded: Recorded,
    words: Sequence[str],
    layers: LayerFilter | None,
    images: Tensor | None,
    opacity: float,
) -> Shown:
    """Maps of each word over the picture, by row, part of the sampling and layer."""
    chosen = [recorded.channels[n] for n in places(recorded, words)]
    rows = [
        {
            "name": recorded.rows.name(row),
            "has": [bool(c.columns[recorded.rows.prompt(row)]) for c in chosen],
        }
        for row in range(recorded.rows.count)
    ]
    each = [
        {"label": strip.label, "file": saved(strip.picture[None])[0], "size": strip.size}
        for strip in strips(recorded, words, layers)
    ]
    pictures = [] if images is None else saved(images)
    data = {"words": [c.name for c in chosen], "rows": rows, "steps": steps_of(recorded), "layers": each}
    return {MAPS: [{**data, "pictures": pictures, "opacity": opacity, "latent": recorded.latent}]}


def shown_masks(recorded: Recorded, mask: Tensor, images: Tensor | None) -> Shown:
    """The mask of each edit, [E·B, H, W], and the masks of other thresholds with the same maps."""
    rule, rows = recorded.rule, recorded.rows
    limits = [i / (THRESHOLDS - 1) for i in range(THRESHOLDS)] if rule else []
    edits: list[dict[str, Any]] = []
    for row, own, others in zip(rows.edited, mask, recorded.masks_at(limits), strict=True):
        masks = torch.zeros(len(others) + 1 + -(len(others) + 1) % ACROSS, *own.shape)
        masks[0], masks[1 : len(others) + 1] = own, others
        sheet = rearrange(masks, "(y x) h w -> (y h) (x w)", x=ACROSS)
        shares = [round(s, 4) for s in masks[: len(others) + 1].mean((1, 2)).tolist()]
        (file,) = saved(sheet[None, ..., None].expand(-1, -1, -1, 3))
        edits.append({"name": rows.name(row), "file": file, "shares": shares})
    if images is not None and len(images) == rows.count:
        images = images[list(rows.edited)]
    data = {"edits": edits, "across": ACROSS, "size": recorded.latent, "limits": limits}
    used = rule.threshold if rule else None
    return {MASKS: [{**data, "threshold": used, "pictures": [] if images is None else saved(images)}]}


def saved(images: Tensor) -> list[dict[str, Any]]:
    """Saves IMAGE [B, H, W, 3] in the temp folder; returns the files as the front end requests them."""
    return [dict(result) for result in ui.PreviewImage(images.cpu().float()).values]
