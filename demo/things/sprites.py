"""Every thing in every look and size, cut out and ready to be put into a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from .paint import painted
from .vocabulary import COLORS, KINDS, LOOKS, TOPPINGS

SIZES = (72, 88, 104, 124, 148)  # the longer side, in pixels of a picture of 256
NO_LOOK = -1


@dataclass(frozen=True)
class Sprites:
    """N variants (a kind in a look) in Z sizes, at the top left of squares of M pixels, alpha multiplied in.

    pixels [N, Z, 4, M, M] in 0..1. heights and widths [N, Z]: what a variant really covers, in pixels.
    kinds, looks [N]: indices into KINDS and LOOKS; NO_LOOK for a kind without looks.
    first, count [K]: where a kind's variants begin, and how many there are.
    """

    pixels: Tensor
    heights: Tensor
    widths: Tensor
    kinds: Tensor
    looks: Tensor
    first: Tensor
    count: Tensor


def sprites(pictures: Mapping[str, Tensor], scale: int, device: torch.device) -> Sprites:
    """pictures: what assets.load gives. scale: pixels of a picture of 256 that one pixel here stands for."""
    kinds, looks, cut = [], [], []
    for index, kind in enumerate(KINDS.values()):
        for look in kind.looks or (None,):
            kinds.append(index)
            looks.append(LOOKS.index(look) if look else NO_LOOK)
            cut.append(_cut_out(_dressed(pictures, kind.code, look)))
    sized = [[_resized(picture, size // scale) for size in SIZES] for picture in cut]
    count = torch.tensor([max(1, len(kind.looks)) for kind in KINDS.values()])
    largest = max(SIZES) // scale
    return Sprites(
        torch.stack([torch.stack([_in_square(p, largest) for p in row]) for row in sized]).to(device),
        torch.tensor([[p.shape[1] for p in row] for row in sized], device=device),
        torch.tensor([[p.shape[2] for p in row] for row in sized], device=device),
        torch.tensor(kinds, device=device),
        torch.tensor(looks, device=device),
        (count.cumsum(0) - count).to(device),
        count.to(device),
    )


def _dressed(pictures: Mapping[str, Tensor], code: str, look: str | None) -> Tensor:
    if look is None:
        return pictures[code]
    if look in COLORS:
        return painted(pictures[code], COLORS[look])
    return topped(pictures[code], pictures[TOPPINGS[look]])


def topped(cake: Tensor, topping: Tensor) -> Tensor:
    """A topping of half the cake's width in front of the cake's upper half. Both [4, H, W]."""
    side = cake.shape[-1]
    small = F.interpolate(topping[None], (side * 9 // 16,) * 2, mode="bilinear", antialias=True)[0]
    layer = torch.zeros_like(cake)
    left = (side - small.shape[-1]) // 2
    layer[:, : small.shape[1], left : left + small.shape[2]] = small
    low = F.pad(cake, (0, 0, side // 4, 0))[:, :side]
    opaque = layer[3:]
    colors = layer[:3] * opaque + low[:3] * (1 - opaque)
    return torch.cat([colors, opaque + low[3:] * (1 - opaque)])


def _cut_out(picture: Tensor) -> Tensor:
    """The part that is not transparent, alpha multiplied in."""
    shown = picture[3] > 0.02
    rows, columns = shown.any(1).nonzero()[:, 0], shown.any(0).nonzero()[:, 0]
    part = picture[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return torch.cat([part[:3] * part[3:], part[3:]])


def _resized(picture: Tensor, longer: int) -> Tensor:
    height, width = picture.shape[1:]
    ratio = longer / max(height, width)
    size = max(1, round(height * ratio)), max(1, round(width * ratio))
    return F.interpolate(picture[None], size, mode="bilinear", antialias=True)[0].clamp(0, 1)


def _in_square(picture: Tensor, side: int) -> Tensor:
    return F.pad(picture, (0, side - picture.shape[2], 0, side - picture.shape[1]))
