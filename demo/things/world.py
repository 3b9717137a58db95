"""The world: endless scenes with pictures, captions and truth, made on one device without the CPU's help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .backgrounds import backgrounds
from .captions import captions
from .compose import compose
from .layout import Layout, held_out, random_layouts
from .sprites import Sprites, sprites
from .styles import styled

SPARE = 1.2  # scenes drawn per scene wanted, so that enough are left without the held-out ones


@dataclass(frozen=True)
class Scenes:
    """pictures [B, 3, side, side] in -1..1. words [B, L]: captions. named [B, 3]: whether they name the look.

    masks [B, 3, side, side], boxes [B, 3, 4] in pixels of 256 and the layout: the truth.
    """

    pictures: Tensor
    words: Tensor
    named: Tensor
    masks: Tensor
    boxes: Tensor
    layout: Layout


class World:
    """scale: pixels of 256 per pixel drawn, so side = 256 / scale. variants: backdrops per place."""

    def __init__(
        self,
        pictures: Mapping[str, Tensor],
        scale: int,
        device: torch.device,
        variants: int = 48,
        seed: int = 0,
    ) -> None:
        self.scale = scale
        self.sprites: Sprites = sprites(pictures, scale, device)
        generator = torch.Generator(device).manual_seed(seed)
        self.backdrops, self.ground = backgrounds(variants, scale, generator)

    def layouts(self, count: int, generator: torch.Generator, held: bool = False) -> Layout:
        """held: only combinations that training leaves out; otherwise none of these."""
        spare = int(count * (80 if held else SPARE)) + 8
        layout = random_layouts(spare, self.sprites, self.ground, self.scale, generator)
        wanted = held_out(layout) == held
        return layout[(~wanted).int().argsort(stable=True)[:count]]

    def scenes(self, layout: Layout, generator: torch.Generator) -> Scenes:
        """Draw these layouts. The generator chooses the forms of captions and the textures of styles."""
        pictures, masks = compose(layout, self.sprites, self.backdrops)
        words, named = captions(layout, self.sprites, generator)
        return Scenes(
            styled(pictures, layout.style, generator) * 2 - 1,
            words,
            named,
            masks,
            layout.boxes(self.sprites, self.scale),
            layout,
        )
