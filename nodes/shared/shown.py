"""Data for the front end (web/js): plain values, and small pictures in the temp folder.

Words, tokens, alignments, maps and masks are computed here, so that the browser only draws. A run through the
API ignores all of it.
"""

from __future__ import annotations

from collections import Counter
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
from ...p2p_core.words.prompts import Prompt, PromptSet, decode_bytes

Shown = dict[str, list[Any]]
THRESHOLDS = 101  # 0, 0.01, … 1
ACROSS = 10  # masks side by side


def shown_prompts(prompts: PromptSet) -> Shown:
    """The prompts' words with their tokens, and what each edit keeps, swaps, adds and removes."""
    edits = [
        {**_text(edit), "changes": [_change(change) for change in edit_changes(prompts.source, edit)]}
        for edit in prompts.edits
    ]
    return {"p2p_prompts": [{"source": _text(prompts.source), "edits": edits}]}


def _text(prompt: Prompt) -> dict[str, Any]:
    count, seen = Counter(word.text for word in prompt.words), Counter[str]()
    words: list[dict[str, Any]] = []
    for word in prompt.words:
        seen[word.text] += 1
        name = f"{word.text}[{seen[word.text]}]" if count[word.text] > 1 else word.text
        tokens = [decode_bytes(token) for token in word.tokens]
        if "\ufffd" in "".join(tokens):  # tokens that split a letter are not readable
            tokens = [word.text]
        words.append({"text": word.text, "name": name, "tokens": tokens, "columns": len(word.columns)})
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
    count = len(recorded.prompts.prompts)
    rows = [
        {"name": row_name(row, count), "has": [bool(c.columns[row % count]) for c in chosen]}
        for row in range(count * recorded.samples)
    ]
    each = [
        {"label": strip.label, "file": saved(strip.picture[None])[0], "size": strip.size}
        for strip in strips(recorded, words, layers)
    ]
    pictures = [] if images is None else saved(images)
    data = {"words": [c.name for c in chosen], "rows": rows, "steps": steps_of(recorded), "layers": each}
    return {"p2p_maps": [{**data, "pictures": pictures, "opacity": opacity, "latent": recorded.latent}]}


def shown_masks(recorded: Recorded, mask: Tensor, images: Tensor | None) -> Shown:
    """The mask of each edit, [E·B, H, W], and the masks of other thresholds with the same maps."""
    rule, count = recorded.rule, len(recorded.prompts.prompts)
    limits = [i / (THRESHOLDS - 1) for i in range(THRESHOLDS)] if rule else []
    masks = torch.stack([mask, *(rule.mask_at(recorded, limit) for limit in limits if rule)])
    tiles = torch.cat([masks, masks.new_zeros(-len(masks) % ACROSS, *masks.shape[1:])])
    sheets = rearrange(tiles, "(y x) e h w -> e (y h) (x w)", x=ACROSS)
    rows = [row for row in range(count * recorded.samples) if row % count]
    files = saved(sheets[..., None].expand(-1, -1, -1, 3))
    edits = [
        {"name": row_name(row, count), "file": file, "shares": [round(s, 4) for s in share.tolist()]}
        for row, file, share in zip(rows, files, masks.mean((2, 3)).mT, strict=True)
    ]
    if images is not None:
        rows_of = rows if len(images) == count * recorded.samples else range(len(images))
        images = images[list(rows_of)]
    data = {"edits": edits, "across": ACROSS, "size": recorded.latent, "limits": limits}
    used = rule.threshold if rule else None
    return {"p2p_masks": [{**data, "threshold": used, "pictures": [] if images is None else saved(images)}]}


def row_name(row: int, prompts: int) -> str:
    """The name of a row of the batch: source, edit 1, …, with the sample if it is not the first."""
    sample, prompt = divmod(row, prompts)
    name = f"edit {prompt}" if prompt else "source"
    return f"{name} of sample {sample + 1}" if sample else name


def saved(images: Tensor) -> list[dict[str, Any]]:
    """Saves IMAGE [B, H, W, 3] in the temp folder; returns the files as the front end requests them."""
    return [dict(result) for result in ui.PreviewImage(images.cpu().float()).values]
