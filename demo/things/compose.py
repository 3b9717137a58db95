"""Puts the things of a layout on their backdrops and draws the truth, their masks, by the same steps."""

from __future__ import annotations

import torch
from torch import Tensor

from .canvas import PIXELS
from .layout import Layout
from .sprites import Sprites

SHADOW = 0.38
HAZE = (0.86, 0.89, 0.91)  # the color of fog
HAZE_ON_THINGS = 0.45  # share of the fog that lies before the things


def compose(layout: Layout, sprites: Sprites, backdrops: Tensor) -> tuple[Tensor, Tensor]:
    """backdrops [places, variants, 3, side, side] → pictures in 0..1 and masks, both [B, 3, side, side].

    A mask is the share of every pixel that its thing covers.
    """
    picture = backdrops[layout.place, layout.backdrop]
    picture = torch.where(layout.flipped.view(-1, 1, 1, 1), picture.flip(3), picture)
    picture = _fogged(picture, layout.fog)
    masks = torch.zeros_like(picture)
    for slot in range(layout.variant.shape[1]):
        thing = _layer(layout, sprites, slot, picture.shape[-1])
        picture = picture * (1 - SHADOW * _shadow(layout, sprites, slot, picture.shape[-1]))
        picture = thing[:, :3] + picture * (1 - thing[:, 3:])
        masks = masks * (1 - thing[:, 3:])
        masks[:, slot] = thing[:, 3]
    return _fogged(picture, layout.fog * HAZE_ON_THINGS), masks


def _layer(layout: Layout, sprites: Sprites, slot: int, side: int) -> Tensor:
    """One thing per scene at its place, alpha multiplied in, [B, 4, side, side]."""
    scale = PIXELS // side
    variant, size = layout.variant[:, slot].clamp(min=0), layout.size[:, slot]
    height, width = sprites.heights[variant, size], sprites.widths[variant, size]
    pixel = torch.arange(side, device=variant.device)
    row = pixel - (layout.top[:, slot] // scale)[:, None]
    column = pixel - (layout.left[:, slot] // scale)[:, None]
    inside = ((row >= 0) & (row < height[:, None]))[:, :, None] & ((column >= 0) & (column < width[:, None]))[
        :, None
    ]
    inside &= layout.present[:, slot, None, None]
    column = torch.where(layout.mirrored[:, slot, None], width[:, None] - 1 - column, column)
    last = sprites.pixels.shape[-1] - 1
    row, column = row.clamp(0, last)[:, :, None], column.clamp(0, last)[:, None]
    one = variant[:, None, None], size[:, None, None]
    pixels = sprites.pixels.permute(0, 1, 3, 4, 2)[one[0], one[1], row, column]
    return (pixels * inside.unsqueeze(-1)).permute(0, 3, 1, 2)


def _shadow(layout: Layout, sprites: Sprites, slot: int, side: int) -> Tensor:
    """A soft ellipse under what stands on the ground, 0..1, [B, 1, side, side]."""
    scale = PIXELS // side
    variant, size = layout.variant[:, slot].clamp(min=0), layout.size[:, slot]
    height, width = (s[variant, size][:, None] * scale for s in (sprites.heights, sprites.widths))
    center = torch.arange(side, device=variant.device) * scale + scale / 2
    across = (center - layout.left[:, slot, None] - width / 2) / (0.52 * width)
    down = (center - layout.top[:, slot, None] - 0.97 * height) / (0.09 * width)
    away = (across[:, None] ** 2) ** 2 + (down[:, :, None] ** 2)
    return ((-away).exp() * layout.shaded[:, slot, None, None]).unsqueeze(1)


def _fogged(picture: Tensor, density: Tensor) -> Tensor:
    haze = torch.tensor(HAZE, device=picture.device).view(1, 3, 1, 1)
    return picture + (haze - picture) * density.view(-1, 1, 1, 1)
