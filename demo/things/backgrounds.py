"""The places, drawn with depth: one function per place, from a canvas to pictures and their ground line.

Every function returns pictures [count, 3, 256, 256] and ground [count]: the y, 0..1, at which the ground
begins, or AIR where things hang freely.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .canvas import PIXELS, Canvas, mix
from .vocabulary import PLACES

AIR = -1.0
Background = tuple[Tensor, Tensor]
TURN = 2 * torch.pi


def plain(c: Canvas) -> Background:
    tint = torch.cat([c.uniform(0.80, 0.92) for _ in range(3)], dim=1)
    tint = mix(tint, tint.mean(1, keepdim=True), 0.7)
    light = 1.04 - 0.16 * ((c.x - 0.5) ** 2 + (c.y - 0.4) ** 2)
    floor = c.uniform(0.50, 0.60)
    return tint * light * (1 - 0.07 * c.below(floor, 0.05)), floor.flatten()


def sky(c: Canvas) -> Background:
    return _clouds(c, _blue(c), c.uniform(0.35, 0.55)), torch.full((c.count,), AIR, device=c.generator.device)


def beach(c: Canvas) -> Background:
    shore, horizon = c.uniform(0.54, 0.62), c.uniform(0.40, 0.46)
    air = _clouds(c, _blue(c), 0.62)
    waves = (c.noise(3, 24) - 0.5) * 0.25
    water = mix(c.color(40, 140, 190), c.color(120, 215, 220), (c.y - horizon) / (shore - horizon)) * (
        1 + waves
    )
    edge = shore + 0.025 * (c.ridge(3) - 0.5)
    ripples = (c.noise(5, 28) - 0.5) * 0.12 + (c.grain() - 0.5) * 0.08
    sand = mix(c.color(226, 196, 140), c.color(246, 222, 170), c.y) * (1 + ripples)
    picture = mix(mix(air, water, c.below(horizon)), sand, c.below(edge))
    foam = (-(((c.y - edge) / 0.012) ** 2)).exp()
    return mix(picture, c.color(252, 252, 250), foam * 0.85), shore.flatten()


def meadow(c: Canvas) -> Background:
    ground = c.uniform(0.48, 0.58)
    picture = _clouds(c, _blue(c), 0.6)
    far = ground - 0.04 - 0.14 * c.ridge(3)
    picture = mix(picture, mix(c.color(150, 190, 190), c.color(128, 184, 130), c.y), c.below(far))
    hill = ground - 0.05 * c.ridge(2, 1)
    grass = mix(c.color(136, 204, 92), c.color(66, 150, 58), (c.y - ground) / (1 - ground))
    blades = (c.noise(26, 9) - 0.5) * 0.18 + (c.grain() - 0.5) * 0.12
    picture = mix(picture, grass * (1 + blades), c.below(hill))
    flowers = c.dots(14, 0.011, 1.0) * c.below(ground + 0.06, 0.02)
    return mix(picture, c.color(255, 244, 150), flowers), ground.flatten()


def forest(c: Canvas) -> Background:
    ground = c.uniform(0.56, 0.64)
    picture = mix(c.color(214, 238, 196), c.color(150, 200, 140), c.y) * (1 + 0.1 * c.noise(4, 4))
    for distance, number in ((0.75, 9), (0.45, 6), (0.1, 4)):
        bark = mix(c.color(70, 52, 40), c.color(170, 205, 160), distance)
        base = ground + 0.05 * (1 - distance)
        for i in range(number):
            center = (i + c.uniform(0.1, 0.9)) / number
            half = c.uniform(0.6, 1.2) * 0.035 * (1 - 0.6 * distance) * (1 + 0.25 * (c.y - 0.5))
            trunk = torch.sigmoid((half - (c.x - center).abs()) / 0.003) * (1 - c.below(base))
            picture = mix(picture, bark * (1.1 - 4 * (c.x - center).clamp(-0.05, 0.05)), trunk)
    leaves = (c.noise(9, 9) - 0.35 - 1.3 * c.y).mul(14).sigmoid()
    picture = mix(picture, mix(c.color(36, 104, 52), c.color(98, 166, 76), c.noise(14, 14)), leaves)
    moss = mix(c.color(112, 158, 82), c.color(62, 92, 44), (c.y - ground) / (1 - ground))
    path = c.below(ground + 0.02 * c.ridge(4), 0.012)
    return mix(picture, moss * (1 + (c.noise(8, 20) - 0.5) * 0.3), path), ground.flatten()


def snow(c: Canvas) -> Background:
    ground = c.uniform(0.48, 0.58)
    air = mix(c.color(150, 186, 226), c.color(226, 236, 246), c.y / ground)
    peaks = ground - 0.05 - 0.26 * c.ridge(4)
    rock = mix(
        c.color(252, 253, 255),
        c.color(132, 152, 184),
        ((c.y - peaks) * 5 + (c.noise(9, 9) - 0.5)).clamp(0, 1),
    )
    picture = mix(air, rock, c.below(peaks))
    drift = ground - 0.03 * c.ridge(2, 1)
    white = mix(c.color(226, 234, 246), c.color(250, 252, 255), (c.y - ground) / (1 - ground))
    picture = mix(picture, white * (1 - 0.07 * c.noise(4, 12)), c.below(drift))
    return picture, ground.flatten()


def night(c: Canvas) -> Background:
    ground = c.uniform(0.52, 0.62)
    air = mix(c.color(8, 12, 44), c.color(56, 60, 122), c.y / ground)
    air = mix(air, c.color(255, 246, 206), c.dots(16, 0.016, 0.5))
    hills = ground - 0.02 - 0.12 * c.ridge(3)
    picture = mix(air, c.color(24, 30, 66), c.below(hills))
    field = mix(c.color(38, 58, 74), c.color(18, 30, 42), (c.y - ground) / (1 - ground))
    return mix(picture, field * (1 + 0.2 * (c.noise(6, 20) - 0.5)), c.below(ground)), ground.flatten()


def brick(c: Canvas) -> Background:
    ground = c.uniform(0.60, 0.68)
    rows, columns = 11, 5
    down = c.y * rows + c.uniform(0, 1)
    row = down.floor()
    across = c.x * columns + c.uniform(0, columns) + 0.5 * (row % 2)
    joint = ((down % 1 < 0.10) | (across % 1 < 0.05)).float()
    shade = ((across.floor() * 12.9898 + row * 78.233).sin() * 43758.5453) % 1
    wall = c.color(182, 88, 68) * (0.84 + 0.22 * shade) * (1 - 0.12 * c.noise(5, 5))
    wall = mix(wall, c.color(216, 206, 196), joint)
    floor = mix(c.color(150, 146, 144), c.color(188, 184, 180), (c.y - ground) / (1 - ground))
    floor = floor * (1 + (c.noise(4, 14) - 0.5) * 0.1)
    shadow = 1 - 0.35 * (-(c.y - ground).abs() / 0.03).exp()
    return mix(wall, floor, c.below(ground)) * shadow, ground.flatten()


def table(c: Canvas) -> Background:
    ground = c.uniform(0.42, 0.50)
    wall = mix(c.color(244, 232, 212), c.color(222, 204, 178), c.y) * (1 - 0.08 * c.noise(3, 3))
    across = (c.x - 0.5) / (c.y - ground + 0.55).clamp(min=0.1)
    gap = ((across * 5 + 0.5) % 1 < 0.03).float()
    plank = ((across * 5 + 0.5).floor() * 12.9898).sin() * 0.06
    grain = (c.noise(40, 4) - 0.5) * 0.16
    wood = mix(c.color(168, 112, 66), c.color(206, 148, 94), (c.y - ground) / (1 - ground)) * (
        1 + plank + grain
    )
    wood = mix(wood, c.color(104, 66, 38), gap)
    return mix(wall, wood, c.below(ground)), ground.flatten()


def sea(c: Canvas) -> Background:
    water = mix(c.color(70, 186, 214), c.color(8, 62, 122), c.y)
    tilt, phase = c.uniform(0.5, 1.1), c.uniform(0, 1)
    rays = (TURN * (3 * c.x + tilt * c.y + phase + 0.3 * c.noise(3, 2))).sin() * (1 - c.y) ** 2
    picture = water * (1 + 0.2 * rays)
    bed = c.uniform(0.84, 0.90) + 0.05 * (c.ridge(3) - 0.5)
    picture = mix(picture, c.color(176, 178, 138) * (1 - 0.25 * c.noise(8, 8)), c.below(bed, 0.01) * 0.9)
    picture = mix(picture, c.color(200, 236, 246), c.dots(8, 0.013, 0.8) * 0.7)
    return picture, torch.full((c.count,), AIR, device=c.generator.device)


def sunset(c: Canvas) -> Background:
    ground = c.uniform(0.54, 0.62)
    air = mix(c.color(84, 62, 142), c.color(244, 126, 92), (c.y / ground * 1.3).clamp(0, 1))
    air = mix(air, c.color(255, 196, 110), ((c.y / ground - 0.6) / 0.4).clamp(0, 1))
    x, y = c.uniform(0.15, 0.85), ground - c.uniform(0.02, 0.16)
    away = ((c.x - x) ** 2 + (c.y - y) ** 2).sqrt()
    air = mix(air, c.color(255, 224, 150), 0.7 * (-((away / 0.2) ** 2)).exp())
    air = mix(air, c.color(255, 246, 206), torch.sigmoid((0.07 - away) / 0.004))
    clouds = ((c.noise(3, 9) - 0.58) * 3).clamp(0, 1) * 0.55
    air = mix(air, c.color(250, 150, 140), clouds)
    hills = ground - 0.10 * c.ridge(3)
    picture = mix(air, c.color(112, 62, 98), c.below(hills))
    field = mix(c.color(120, 72, 84), c.color(58, 40, 62), (c.y - ground) / (1 - ground))
    return mix(picture, field * (1 + 0.2 * (c.noise(6, 20) - 0.5)), c.below(ground)), ground.flatten()


def _blue(c: Canvas) -> Tensor:
    return mix(c.color(74, 154, 232), c.color(206, 234, 250), (c.y * c.uniform(1.1, 1.7)).clamp(0, 1))


def _clouds(c: Canvas, air: Tensor, threshold: Tensor | float) -> Tensor:
    cover = ((c.noise(3, 6, 4) - threshold) * 6).clamp(0, 1)
    shaded = mix(c.color(255, 255, 255), c.color(214, 226, 240), c.noise(4, 6))
    return mix(air, shaded, cover * 0.95)


DRAWN: dict[str, Callable[[Canvas], Background]] = {
    "plain": plain, "sky": sky, "beach": beach, "meadow": meadow, "forest": forest, "snow": snow,
    "night": night, "brick": brick, "table": table, "sea": sea, "sunset": sunset,
}  # fmt: skip


def backgrounds(count: int, scale: int, generator: torch.Generator) -> Background:
    """Every place in `count` variants, averaged over scale × scale pixels.

    → pictures [places, count, 3, 256 / scale, 256 / scale] in 0..1, ground [places, count].
    """
    drawn = [DRAWN[place](Canvas(count, generator)) for place in PLACES]
    pictures = [
        F.avg_pool2d(picture.expand(count, 3, PIXELS, PIXELS).clamp(0, 1), scale) for picture, _ in drawn
    ]
    return torch.stack(pictures), torch.stack([ground for _, ground in drawn])
