"""Styles that change a whole picture: watercolor, pencil and pixel art, as filters on tensors.

Lengths are in pixels of 256; `scale` says how many of them one pixel of the given pictures stands for.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from .canvas import PIXELS
from .vocabulary import STYLES

Filter = Callable[[Tensor, torch.Generator], Tensor]
BLOCK = 8
LEVELS = 4


def watercolor(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Soft light washes with darker rims, on white paper that shows along an uneven border."""
    wash = blurred(pictures, 2.5)
    rim = (wash - blurred(pictures, 11)).abs().mean(1, keepdim=True)
    grey = wash.mean(1, keepdim=True)
    wash = (grey + 1.25 * (wash - grey)).clamp(0, 1)
    wash = 1 - (1 - wash) * (0.72 + 1.6 * rim) * (0.85 + 0.3 * _uneven(pictures, 8, generator))
    edge = _to_border(pictures) + 0.10 * (_uneven(pictures, 6, generator) - 0.5)
    return 1 - (1 - wash).clamp(0, 1) * torch.sigmoid((edge - 0.07) / 0.012)


def pencil(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Grey lines along the edges and light shading, on paper."""
    grey = (pictures * _weights(pictures)).sum(1, keepdim=True)
    lines = (1 - 3.2 * (grey - blurred(grey, 7)).abs()).clamp(0, 1)
    shading = 1 - 0.5 * (1 - blurred(grey, 3)) * (0.9 + 0.2 * _uneven(pictures, 24, generator))
    paper = torch.tensor([0.97, 0.965, 0.94], device=pictures.device).view(1, 3, 1, 1)
    return (lines * shading) * paper


def pixel(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Square blocks of few colors."""
    block = BLOCK * pictures.shape[-1] // PIXELS
    coarse = (F.avg_pool2d(pictures, block) * LEVELS).round() / LEVELS
    return F.interpolate(coarse, scale_factor=float(block))


FILTERS: dict[str, Filter] = {"watercolor": watercolor, "pencil": pencil, "pixel": pixel}


def styled(pictures: Tensor, style: Tensor, generator: torch.Generator) -> Tensor:
    """pictures [B, 3, side, side] in 0..1, style [B]: indices into STYLES."""
    result = pictures.clone()
    for index, name in enumerate(STYLES):
        chosen = style == index
        if name in FILTERS and chosen.any():
            result[chosen] = FILTERS[name](pictures[chosen], generator).clamp(0, 1)
    return result


def blurred(pictures: Tensor, radius: float) -> Tensor:
    """Gaussian blur; radius: the standard deviation, in pixels of 256."""
    sigma = radius * pictures.shape[-1] / PIXELS
    reach = max(1, round(2.5 * sigma))
    offset = torch.arange(-reach, reach + 1, device=pictures.device, dtype=pictures.dtype)
    kernel = (-(offset**2) / (2 * sigma**2)).exp()
    kernel = (kernel / kernel.sum()).expand(pictures.shape[1], 1, -1)
    padded = F.pad(pictures, (reach,) * 4, mode="replicate")
    rows = F.conv2d(padded, kernel.unsqueeze(2), groups=pictures.shape[1])
    return F.conv2d(rows, kernel.unsqueeze(3), groups=pictures.shape[1])


def _uneven(pictures: Tensor, cells: int, generator: torch.Generator) -> Tensor:
    """Smooth noise in 0..1, [B, 1, side, side]."""
    coarse = torch.rand(len(pictures), 1, cells, cells, generator=generator, device=pictures.device)
    return F.interpolate(coarse, pictures.shape[-2:], mode="bicubic").clamp(0, 1)


def _to_border(pictures: Tensor) -> Tensor:
    """The distance to the nearest border as a share of the side, [1, 1, side, side]."""
    side = pictures.shape[-1]
    center = (torch.arange(side, device=pictures.device) + 0.5) / side
    near = torch.minimum(center, 1 - center)
    return torch.minimum(near[:, None], near[None, :])[None, None]


def _weights(pictures: Tensor) -> Tensor:
    return torch.tensor([0.299, 0.587, 0.114], device=pictures.device).view(1, 3, 1, 1)
