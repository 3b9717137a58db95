"""Local blend: outside a mask made of attention maps the edit keeps the source's latent (paper section 3.2).

The rule is that of the published code's second version (its null-text notebook), at any size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from ..architecture.layers import Layer, LayerFilter
from ..errors import P2PError
from ..words.prompts import PromptSet
from .store import Channel, MapStore, Record, Recorded

MaskMode = Literal["intersect", "replace"]
SHORTEST = 12  # cells: maps with a shorter side are too coarse for a mask


@dataclass(frozen=True, eq=False)
class Blend:
    """One node's local blend.

    source, edit, subtract: words; the mask is where the source's or the edit's map is above `threshold`, less
    where a map of the subtracted words is above `subtract_threshold`. Maps are relative to their maximum.
    start: progress from which the latent is blended. pool: 3×3 maximum pooling of the maps. soft: latent
    cells over which the mask fades out. layers: where maps come from, None for the layers of `blend_scale`.
    mask: a user's, [1, E or E·B, H, W], in place of the words' or intersected with it.
    """

    source: tuple[str, ...]
    edit: tuple[str, ...]
    subtract: tuple[str, ...]
    store: MapStore
    threshold: float = 0.3
    subtract_threshold: float = 0.3
    start: float = 0.2
    pool: bool = True
    soft: int = 0
    layers: LayerFilter | None = None
    mask: Tensor | None = None
    mask_mode: MaskMode = "intersect"

    def __post_init__(self) -> None:
        limits = {
            "threshold": self.threshold,
            "subtract threshold": self.subtract_threshold,
            "start": self.start,
        }
        for name, value in limits.items():
            if not 0 <= value <= 1:
                raise P2PError(f"a {name} within 0..1", f"{value:g}", "Set it between 0 and 1.")
        if self.soft < 0:
            raise P2PError("a soft edge of 0 cells or more", f"{self.soft}", "Set it to 0 for a hard edge.")
        if not (self.source or self.edit) and self.mask is None:
            raise P2PError(
                "words to blend around, or a mask",
                "neither",
                "Name the words that change, or connect a MASK.",
            )
        if self.mask is not None:
            _require_mask(self.mask)

    @property
    def by_words(self) -> bool:
        """Whether attention maps make the mask."""
        return bool(self.source or self.edit) and not (self.mask is not None and self.mask_mode == "replace")

    def record(self, prompts: PromptSet, layers: Sequence[Layer], latent: tuple[int, int]) -> Record:
        """The maps that the mask needs. Raises P2PError where no layer is one of the chosen."""
        chosen = self.layers or LayerFilter(f"1/{blend_scale(layers, latent)}")
        if self.by_words and not any(layer in chosen for layer in layers):
            raise P2PError("layers that this MODEL has", repr(chosen.text), "Use 'auto', or other layers.")
        channels = (self._added(prompts), self._subtracted(prompts)) if self.by_words else ()
        return Record(channels, self.store, chosen, rule=self if self.by_words else None)

    def mask_at(self, recorded: Recorded, threshold: float) -> Tensor:
        """What another threshold makes of the maps that a run left, [E·B, H, W]."""
        maps = {layer: values[0] for layer, values in recorded.maps.items()}  # [1, P·B, 2, h, w] each
        prompts = len(recorded.prompts.prompts)
        words = word_mask(replace(self, threshold=threshold), maps, prompts, recorded.latent)
        return final_mask(self, words, prompts - 1, recorded.samples, recorded.latent)

    def require_words(self, prompts: PromptSet) -> None:
        """Raises P2PError for words that their prompts do not have."""
        prompts.require(self.source, [prompts.source])
        prompts.require(self.edit, prompts.edits or [prompts.source])  # re-weighting copies the source
        prompts.require(self.subtract)

    def _added(self, prompts: PromptSet) -> Channel:
        words = [self.source, *[self.edit] * len(prompts.edits)]
        return Channel("blend", _columns(prompts, words))

    def _subtracted(self, prompts: PromptSet) -> Channel:
        return Channel("subtract", _columns(prompts, [self.subtract] * len(prompts.prompts)))


def _columns(prompts: PromptSet, words: Sequence[Sequence[str]]) -> tuple[tuple[int, ...], ...]:
    """For each prompt the columns of those of its words that it has."""
    return tuple(
        tuple(dict.fromkeys(c for word in some if prompt.has(word) for c in prompt.find(word)))
        for prompt, some in zip(prompts.prompts, words, strict=True)
    )


def blend_scale(layers: Sequence[Layer], latent: tuple[int, int]) -> int:
    """How many times smaller than the latent a mask's maps are: 4, as 16 × 16 at 512 pixels in the paper.

    Less where their shorter side would have fewer than 12 cells, and what comes next in a model without such
    layers.
    """
    scales = sorted({layer.scale for layer in layers}, reverse=True)
    fitting = [s for s in scales if s <= 4 and min(latent) / s >= SHORTEST]
    return fitting[0] if fitting else scales[-1]


# Masks


def word_mask(blend: Blend, maps: Mapping[Layer, Tensor], prompts: int, size: tuple[int, int]) -> Tensor:
    """Each edit's mask from the means so far, by layer [P·B, 2, h, w] → [E·B, H, W]."""
    mean = mean_map(list(maps.values()))
    added = _above(mean[:, 0], blend.threshold, size, pool=blend.pool)
    subtracted = _above(mean[:, 1], blend.subtract_threshold, size, pool=False)
    return (_or_source(added, prompts) & ~_or_source(subtracted, prompts)).float()


def mean_map(maps: Sequence[Tensor]) -> Tensor:
    """The mean over layers, all brought to the largest size. [R, n, h, w] each → [R, n, H, W]."""
    size = max((m.shape[-2:] for m in maps), key=lambda s: s[0] * s[1])
    return torch.stack(
        [F.interpolate(m, size, mode="bilinear") if m.shape[-2:] != size else m for m in maps]
    ).mean(0)


def _above(maps: Tensor, threshold: float, size: tuple[int, int], pool: bool) -> Tensor:
    """Where a map, in parts of its maximum, is above the threshold. [R, h, w] → [R, H, W]."""
    pooled = F.max_pool2d(maps[:, None], 3, stride=1, padding=1) if pool else maps[:, None]
    large = F.interpolate(pooled, size, mode="nearest")[:, 0]
    most = large.amax((1, 2), keepdim=True)
    return (large / torch.where(most > 0, most, 1.0)).gt(threshold)  # a map of 0 is above nothing


def _or_source(masks: Tensor, prompts: int) -> Tensor:
    """[P·B, H, W] → [E·B, H, W]: the union of each edit's mask with its source's."""
    by_sample = rearrange(masks, "(b p) h w -> b p h w", p=prompts)
    return rearrange(by_sample[:, :1] | by_sample[:, 1:], "b e h w -> (b e) h w")


def final_mask(blend: Blend, words: Tensor | None, edits: int, samples: int, size: tuple[int, int]) -> Tensor:
    """With the user's mask and the soft edge, [E·B, H, W]. words: the mask of the words, None without."""
    mask = words
    if blend.mask is not None:
        users = user_mask(blend.mask, edits, samples, size)
        mask = users if mask is None else mask * users.to(mask.device)
    assert mask is not None
    return soft_edge(mask, blend.soft)


def user_mask(mask: Tensor, edits: int, samples: int, size: tuple[int, int]) -> Tensor:
    """A user's mask for each edit of each sample, [E·B, H, W], brought to the latent's size by averaging.

    One mask serves all, E masks the edits of every sample; cells that it covers partly blend partly.
    """
    small = F.interpolate(mask[:, None].float(), size, mode="area")[:, 0]
    if len(small) not in (1, edits, edits * samples):
        raise P2PError(
            f"one mask, one for each of {edits} edits, or one for each of {edits * samples} edited pictures",
            f"{len(small)} masks",
            "Connect one of these numbers of masks.",
        )
    return small.repeat(edits * samples // len(small), 1, 1)


def _require_mask(mask: Tensor) -> None:
    mend = "Paint the part of the picture that may change, or leave the mask unconnected."
    if not bool(torch.isfinite(mask).all()):
        raise P2PError("a mask of numbers from 0 to 1", "one with NaN or infinity", mend)
    if not bool((mask > 0).any()):
        raise P2PError("a mask that covers something", "an empty one", mend)
    if float(mask.min()) < 0 or float(mask.max()) > 1:
        low, high = float(mask.min()), float(mask.max())
        raise P2PError("a mask of numbers from 0 to 1", f"one from {low:g} to {high:g}", mend)


def soft_edge(mask: Tensor, cells: int) -> Tensor:
    """The mask, fading to 0 over so many cells around it. [R, H, W] → the same."""
    if not cells:
        return mask
    wide = mask
    for step in range(1, cells + 1):  # each ring a little less than the one inside it
        grown = F.max_pool2d(wide[:, None], 3, stride=1, padding=1)[:, 0]
        wide = torch.maximum(wide, grown.minimum(mask.new_tensor(1 - step / (cells + 1))))
    return wide


def blended(rows: Tensor, mask: Tensor, prompts: int) -> Tensor:
    """x_e ← x_s + m·(x_e − x_s). rows: [P·B, C, ..., H, W]; mask: [E·B, H, W].

    Where m is 0 the edit is the source to the last bit, where it is 1 it is itself.
    """
    x = rearrange(rows, "(b p) ... -> b p ...", p=prompts)
    weight = rearrange(mask.to(rows), "(b e) h w -> b e h w", e=prompts - 1)
    weight = weight.view(*weight.shape[:2], *[1] * (x.ndim - 4), *weight.shape[2:])  # [B, E, 1, ..., H, W]
    edits = torch.lerp(x[:, :1], x[:, 1:], weight)
    return rearrange(torch.cat([x[:, :1], edits], dim=1), "b p ... -> (b p) ...")
