"""The checker's network: which things stand where, in which look, in which place and style.

After CenterNet (Zhou et al. 2019).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..things.vocabulary import KINDS, LOOKS, PLACES, STYLES

STRIDE = 8  # pixels per cell of the maps
USUAL_SIDE = 96.0  # pixels; widths and heights are predicted as logarithms relative to it


class Maps(NamedTuple):
    """Logits on a grid of 8-pixel cells: thing [B, 1, h, w], kind [B, kinds, h, w], look [B, looks, h, w].

    place [B, 4, h, w]: the center's distance from the cell's center (x, y, in cells), and the logarithms of
    width and height relative to 96 pixels. background [B, places], style [B, styles].
    """

    thing: Tensor
    kind: Tensor
    look: Tensor
    place: Tensor
    background: Tensor
    style: Tensor


_HEADS = (1, len(KINDS), len(LOOKS), 4)
_WHOLE = (len(PLACES), len(STYLES))


def _convolution(inner: int, outer: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(inner, outer, size, stride, size // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outer), nn.ReLU())


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = _convolution(width, width)
        self.b = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.b(self.a(x)))


class Detector(nn.Module):
    """Pictures [B, 3, H, W] in -1..1, sides multiples of 32, to Maps."""

    def __init__(self, widths: tuple[int, int, int] = (48, 96, 160)) -> None:
        super().__init__()
        a, b, c = widths
        self.fine = nn.Sequential(nn.PixelUnshuffle(4), _convolution(48, a), _Residual(a))
        self.middle = nn.Sequential(_convolution(a, b, stride=2), _Residual(b))
        self.coarse = nn.Sequential(_convolution(b, c, stride=2), *(_Residual(c) for _ in range(3)))
        self.lateral = _convolution(c, b, size=1)
        self.joined = nn.Sequential(_convolution(b, b), _Residual(b))
        self.heads = nn.Conv2d(b, sum(_HEADS), 1)
        self.whole = nn.Linear(b + c, sum(_WHOLE))
        nn.init.constant_(self.heads.bias[:1], -4.0)  # type: ignore[index, arg-type]

    def forward(self, pictures: Tensor) -> Maps:
        middle = self.middle(self.fine(pictures))
        coarse = self.coarse(middle)
        joined = self.joined(middle + F.interpolate(self.lateral(coarse), scale_factor=2.0))
        thing, kind, look, place = self.heads(joined).split(_HEADS, dim=1)
        texture = torch.cat([middle.mean((2, 3)), coarse.mean((2, 3))], dim=1)
        background, style = self.whole(texture).split(_WHOLE, dim=1)
        return Maps(thing, kind, look, place, background, style)
