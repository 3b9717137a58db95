"""Trains the checker's network on scenes that are bent, softened and dyed, as a model's pictures are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from ..model.decoder import FACTOR
from ..things.canvas import PIXELS
from ..things.sprites import NO_LOOK, Sprites
from ..things.world import Scenes, World
from .detector import STRIDE, USUAL_SIDE, Detector, Maps
from .device import autocast, placed
from .training import Recipe

RECIPES = {"cpu": Recipe(8, 2e-3, 0.995), "cuda": Recipe(64, 3e-3, 0.998)}
IGNORED = -100  # what cross-entropy leaves out
CELLS = PIXELS // STRIDE


class DetectorLoss:
    def __init__(
        self, model: Detector, pictures: Mapping[str, Tensor], device: torch.device, seed: int
    ) -> None:
        self.device = device
        self.detector = placed(model, device).train()
        self.world = World(pictures, 1, device, variants=12 if device.type == "cpu" else 48)
        self.generator = torch.Generator(device).manual_seed(seed)

    def __call__(self, count: int) -> Tensor:
        layouts = self.world.layouts(count, self.generator)
        scenes = self.world.scenes(layouts, self.generator)
        seen = softened(scenes.pictures, self.generator)
        with autocast(self.device):
            maps = self.detector(seen.contiguous(memory_format=torch.channels_last))
        return loss_of(Maps(*(m.float() for m in maps)), targets(scenes, self.world.sprites))


@dataclass(frozen=True)
class Targets:
    """heat [B, h, w]: 1 in the cell of a thing's center, falling off around it.

    Of the nearest thing: kind and look [B, h, w], place [B, 4, h, w] as in Maps. background, style [B].
    """

    heat: Tensor
    kind: Tensor
    look: Tensor
    place: Tensor
    background: Tensor
    style: Tensor


def targets(scenes: Scenes, sprites: Sprites) -> Targets:
    heat, places = _heat_and_places(scenes)
    warmest, nearest = heat.max(1)
    of_nearest = nearest[:, None, None].expand(-1, 1, 4, -1, -1)
    variant = scenes.layout.variant.clamp(min=0)
    batch = torch.arange(len(nearest), device=heat.device)[:, None, None]
    look = sprites.looks[variant][batch, nearest]
    return Targets(
        heat=warmest,
        kind=sprites.kinds[variant][batch, nearest],
        look=torch.where(look == NO_LOOK, IGNORED, look),
        place=places.gather(1, of_nearest)[:, 0],
        background=scenes.layout.place,
        style=scenes.layout.style,
    )


def _heat_and_places(scenes: Scenes) -> tuple[Tensor, Tensor]:
    """Of every thing by itself: heat [B, 3, h, w] and place [B, 3, 4, h, w]."""
    left, top, right, bottom = (scenes.boxes.float() / STRIDE).unbind(2)
    center_x, center_y = ((a + b)[:, :, None, None] / 2 for a, b in ((left, right), (top, bottom)))
    cell = torch.arange(CELLS, device=left.device, dtype=torch.float32)
    x, y = cell.view(1, 1, 1, -1), cell.view(1, 1, -1, 1)
    away = (x - center_x.floor()) ** 2 + (y - center_y.floor()) ** 2
    heat = (-away / 2).exp() * scenes.layout.present[:, :, None, None]
    sides = _logarithm(right - left), _logarithm(bottom - top)
    place = (center_x - x - 0.5, center_y - y - 0.5, *sides)
    return heat, torch.stack([p.expand_as(heat) for p in place], dim=2)


def _logarithm(sides: Tensor) -> Tensor:
    """Of sides [B, 3] in cells, [B, 3, 1, 1]."""
    return (sides.clamp(min=1) * STRIDE / USUAL_SIDE).log()[:, :, None, None]


def loss_of(maps: Maps, truth: Targets) -> Tensor:
    """CenterNet's focal loss for the centers; cross-entropy and L1 around them."""
    thing = maps.thing[:, 0]
    center = truth.heat == 1
    p = thing.sigmoid()
    miss = F.softplus(-thing) * (1 - p).square()
    false = F.softplus(thing) * p.square() * (1 - truth.heat) ** 4
    focal = torch.where(center, miss, false).sum() / center.sum().clamp(min=1)
    near = truth.heat * (truth.heat > 0.3)
    near = near / near.sum().clamp(min=1)
    kinds = (F.cross_entropy(maps.kind, truth.kind, reduction="none") * near).sum()
    looks = (F.cross_entropy(maps.look, truth.look, reduction="none", ignore_index=IGNORED) * near).sum()
    places = ((maps.place - truth.place).abs().sum(1) * near).sum()
    whole = F.cross_entropy(maps.background, truth.background) + F.cross_entropy(maps.style, truth.style)
    return focal + kinds + 0.5 * looks + 0.3 * places + 0.3 * whole


# Softening


def softened(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """A third each as drawn, as thumbnails and blurred; half of them bent first; all dyed and noisy."""
    half = len(pictures) // 2
    pictures = torch.cat([warped(pictures[:half], generator), pictures[half:]])
    kept = pictures.clone()
    kept[1::3] = as_thumbnails(pictures[1::3], generator)
    kept[2::3] = blurred(pictures[2::3], generator)
    return jittered(kept, generator)


def warped(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Outlines bent by up to a few pixels."""
    count, _, height, width = pictures.shape
    bends = _normal(generator, count, 2, 9, 9) * _uniform(generator, count, 1, 1, 1) * 0.02
    bends = F.interpolate(bends, (height, width), mode="bicubic").permute(0, 2, 3, 1)
    straight = torch.eye(2, 3, device=pictures.device).expand(count, 2, 3)
    grid = F.affine_grid(straight, list(pictures.shape), align_corners=False) + bends
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def as_thumbnails(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Averaged over 8 × 8 pixels, a little noise, enlarged, and up to 60 % of the original."""
    small = F.avg_pool2d(pictures, FACTOR)
    small = small + 0.06 * _uniform(generator, len(small), 1, 1, 1) * _normal(generator, *small.shape)
    large = F.interpolate(small, scale_factor=float(FACTOR), mode="bilinear")
    return large.lerp(pictures, 0.6 * _uniform(generator, len(small), 1, 1, 1))


def blurred(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """A mixture of the picture with itself softened by about 6 pixels."""
    small = F.interpolate(pictures, scale_factor=0.2, mode="bilinear", antialias=True)
    soft = F.interpolate(small, pictures.shape[-2:], mode="bicubic")
    return pictures.lerp(soft, _uniform(generator, len(pictures), 1, 1, 1))


def jittered(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Contrast, tint and brightness off by some percent, and noise."""
    count = len(pictures)
    gain = 1 + 0.12 * (_uniform(generator, count, 3, 1, 1) - 0.5)
    shift = 0.10 * (_uniform(generator, count, 3, 1, 1) - 0.5)
    noise = _normal(generator, *pictures.shape) * _uniform(generator, count, 1, 1, 1) * 0.05
    return (pictures * gain + shift + noise).clamp(-1, 1)


def _uniform(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)
