"""Masks of local blend: from maps of words, from a user, with a soft edge (paper section 3.2).

The rule is that of the published code's second version (its null-text notebook), generalised to any size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from ..architecture.layers import Layer
from ..errors import P2PError
from ..rows import Rows, edits, joined_with_source
from ..step import Size
from .resolution import mean_map

MaskMode = Literal["intersect", "replace"]
MASK_MODES: tuple[MaskMode, ...] = get_args(MaskMode)


@dataclass(frozen=True, eq=False)
class MaskRule:
    """How to compute a mask from maps and from a user's mask.

    The mask is where a map exceeds `threshold`, minus where a map of the subtracted words exceeds
    `subtract_threshold`; maps are relative to their maximum. pool: 3 × 3 maximum pooling of the maps. soft:
    latent cells over which the mask fades out. mask: a user's, [1, E or E·B, H, W], which is intersected with
    the words' mask or replaces it. below: the mask is where the edit's map is less than 1 − `threshold`.
    """

    threshold: float = 0.3
    subtract_threshold: float = 0.3
    pool: bool = True
    soft: int = 0
    mask: Tensor | None = None
    mask_mode: MaskMode = "intersect"
    below: bool = False

    def __post_init__(self) -> None:
        limits = {"threshold": self.threshold, "subtract threshold": self.subtract_threshold}
        for name, value in limits.items():
            require_share(name, value)
        if self.soft < 0:
            raise P2PError("a soft edge of 0 cells or more", f"{self.soft}", "Set it to 0 for a hard edge.")
        if self.mask is not None:
            _require_mask(self.mask)

    @property
    def ignores_words(self) -> bool:
        return self.mask is not None and self.mask_mode == "replace"

    def users_mask(self, rows: Rows, size: Size, frames: int = 1) -> Tensor | None:
        """The user's mask for each edit of each sample, [E·B, H, W], or None. All frames have the same."""
        return None if self.mask is None else user_mask(self.mask, rows, size, frames)

    def of_maps(
        self, maps: Mapping[Layer, Tensor], users: Tensor | None, rows: Rows, size: Size, frames: int = 1
    ) -> Tensor:
        """The mask [E·B, H, W] of these maps, by layer [P·B, 2, h, w]: added and subtracted words.

        frames: how many stand one below the other. Each has its own mask, relative to the whole video's
        maximum.
        """
        return self._above(self.threshold, self._field(maps, rows, size, frames), users, frames)

    def at(
        self,
        thresholds: Sequence[float],
        maps: Mapping[Layer, Tensor],
        rows: Rows,
        size: Size,
        frames: int = 1,
    ) -> Iterator[Tensor]:
        """The masks of other thresholds with these maps, for one edit after the other [thresholds, H, W]."""
        field, users = self._field(maps, rows, size, frames), self.users_mask(rows, size, frames)
        for n in range(len(field)):
            own = None if users is None else users[n : n + 1]
            masks = torch.empty(len(thresholds), *size)
            for mask, threshold in zip(masks, thresholds, strict=True):
                mask.copy_(self._above(threshold, field[n : n + 1], own, frames)[0])
            yield masks

    def _above(self, threshold: float, field: Tensor, users: Tensor | None, frames: int) -> Tensor:
        words = field.gt(threshold).float()
        return soft_edge(words if users is None else words * users.to(words.device), self.soft, frames)

    def _field(self, maps: Mapping[Layer, Tensor], rows: Rows, size: Size, frames: int) -> Tensor:
        """The values to compare with a threshold, [E·B, H, W]: the larger of edit's and source's maps, −1
        where subtracted; or 1 less the edit's."""
        mean = mean_map(list(maps.values()))
        if self.below:
            return 1 - edits(_relative(mean[:, 0], size, frames, pool=False), rows.prompts)
        added = joined_with_source(_relative(mean[:, 0], size, frames, pool=self.pool), rows.prompts)
        subtracted = joined_with_source(_relative(mean[:, 1], size, frames, pool=False), rows.prompts)
        return added.masked_fill(subtracted.gt(self.subtract_threshold), -1.0)


def _relative(maps: Tensor, size: Size, frames: int, pool: bool) -> Tensor:
    """Maps relative to their maximum at the latent's size; an all-zero map stays 0. [R, h, w] → [R, H, W]."""
    each = apart(maps, frames)[:, None]
    pooled = F.max_pool2d(each, 3, stride=1, padding=1) if pool else each
    large = F.interpolate(pooled, (size[0] // frames, size[1]), mode="nearest")[:, 0]
    large = together(large, frames)
    most = large.amax((1, 2), keepdim=True)
    return large / most.where(most > 0, torch.ones_like(most))


def apart(maps: Tensor, frames: int) -> Tensor:
    """Frames that stand one below the other, one by one. [R, F·h, w] → [R·F, h, w]."""
    return rearrange(maps, "r (f h) w -> (r f) h w", f=frames)


def together(maps: Tensor, frames: int) -> Tensor:
    """[R·F, h, w] → [R, F·h, w]."""
    return rearrange(maps, "(r f) h w -> r (f h) w", f=frames)


def user_mask(mask: Tensor, rows: Rows, size: Size, frames: int = 1) -> Tensor:
    """A user's mask for each edit of each sample, [E·B, H, W], resized to the latent by averaging.

    One mask serves all edits, E masks serve the edits of every sample. Partly covered cells blend partly.
    """
    one = size[0] // frames, size[1]
    small = F.interpolate(mask[:, None].float(), one, mode="area")[:, 0].repeat(1, frames, 1)
    several, count = rows.prompts - 1, len(rows.edited)
    if len(small) not in (1, several, count):
        raise P2PError(
            f"one mask, one for each of {several} edits, or one for each of {count} edited images",
            f"{len(small)} masks",
            "Provide one of these numbers of masks.",
            topic="number of masks",
        )
    return small.repeat(count // len(small), 1, 1)


def _require_mask(mask: Tensor) -> None:
    hint = "Paint the part of the image that may change, or use no mask."
    if not bool(torch.isfinite(mask).all()):
        raise P2PError("a mask with values from 0 to 1", "one with NaN or infinity", hint, topic="mask")
    if not bool((mask > 0).any()):
        raise P2PError("a mask that covers something", "an empty mask", hint, topic="mask")
    low, high = float(mask.min()), float(mask.max())
    if low < 0 or high > 1:
        raise P2PError("a mask with values from 0 to 1", f"one from {low:g} to {high:g}", hint, topic="mask")


def require_share(name: str, value: float) -> None:
    """Raises P2PError for a number outside 0..1."""
    if not 0 <= value <= 1:
        raise P2PError(f"a {name} within 0..1", f"{value:g}", "Set it between 0 and 1.")


def soft_edge(mask: Tensor, cells: int, frames: int = 1) -> Tensor:
    """The mask, fading to 0 over `cells` cells around it, frame by frame. [R, H, W] → the same."""
    wide = apart(mask, frames)
    for step in range(1, cells + 1):  # each ring is slightly lower than the one inside it
        wide = torch.maximum(wide, _grown(wide).clamp_(max=1 - step / (cells + 1)))
    return together(wide, frames)


def _grown(mask: Tensor) -> Tensor:
    """The maximum of each cell and its eight neighbours; far faster than max_pool2d on a CPU."""
    for dim in (1, 2):
        cells = mask.shape[dim] - 1
        before, after = mask.narrow(dim, 0, cells), mask.narrow(dim, 1, cells)
        mask = mask.clone()
        for part, neighbour in ((mask.narrow(dim, 1, cells), before), (mask.narrow(dim, 0, cells), after)):
            torch.maximum(part, neighbour, out=part)
    return mask
