"""Paints a thing in another color: pixels of its main hue get a Paint's hue, saturation and value."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .vocabulary import Paint

NEAR = 0.13  # of the hue circle: what counts as the main hue
GREY = 0.12  # below this saturation a pixel has no hue


def painted(picture: Tensor, paint: Paint) -> Tensor:
    """[4, H, W] in 0..1, alpha not multiplied in → the same in the paint's color."""
    hue, saturation, value = hsv(picture[:3])
    main = main_hue(hue, saturation * picture[3])
    distance = ((hue - main + 0.5) % 1 - 0.5).abs()
    part = (distance < NEAR) & (saturation > GREY) & (picture[3] > 0.5)
    if not part.any():
        return picture
    new = rgb(
        torch.full_like(hue, paint.hue),
        (saturation * paint.saturation / saturation[part].quantile(0.7)).clamp(0, 1),
        (value * paint.value / value[part].quantile(0.7)).clamp(0, 1),
    )
    return torch.cat([torch.where(part, new, picture[:3]), picture[3:]])


def main_hue(hue: Tensor, weight: Tensor) -> float:
    """The weighted mean on the hue circle."""
    angle = hue * 2 * math.pi
    across, along = (weight * angle.sin()).sum(), (weight * angle.cos()).sum()
    return float(torch.atan2(across, along)) / (2 * math.pi) % 1


def hsv(picture: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Red, green and blue [3, H, W] to hue, saturation and value, each [H, W] in 0..1."""
    red, green, blue = picture
    value, spread = picture.amax(0), picture.amax(0) - picture.amin(0)
    safe = spread.clamp(min=1e-6)
    sector = torch.where(
        value == red,
        (green - blue) / safe % 6,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    return sector / 6 % 1, spread / value.clamp(min=1e-6), value


def rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """Hue, saturation and value, each [H, W] in 0..1, to [3, H, W]."""
    channels = []
    for offset in (5, 3, 1):
        k = (offset + hue * 6) % 6
        channels.append(value * (1 - saturation * torch.minimum(k, 4 - k).clamp(0, 1)))
    return torch.stack(channels)
