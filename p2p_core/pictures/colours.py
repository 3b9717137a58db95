"""Heat maps in colours, alone and over pictures. Pictures are float32 IMAGE [R, H, W, 3] in 0..1."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import P2PError
from ..limits import PICTURES, require_memory
from ..maps.heat import relative

Size = tuple[int, int]  # height and width
# 33 of the 256 colours of magma (CC0, Nathaniel Smith and Stéfan van der Walt).
MAGMA = """
    000004 030311 0a0822 130d33 1d1146 28115a 36106a 430f76 50127c 5d177f 691c81 762181 822681 8f2a81 9c2e7f
    a9327d b63779 c33b75 cf4170 db486a e65163 ee5c5e f5695c f9785d fb8761 fd9668 fea571 feb47b fec387 fed194
    fde0a2 fceeb0 fcfdbf
"""
HINT = "Pass the decoded images of the sampling that filled the store, or none."


def heat_colours(values: Tensor) -> Tensor:
    """0..1 as colours from black over magenta to light yellow, increasing in lightness. [...] → [..., 3]."""
    anchors = torch.tensor([list(bytes.fromhex(colour)) for colour in MAGMA.split()]) / 255  # [33, 3]
    place = values.clamp(0, 1) * (len(anchors) - 1)
    below = place.long().clamp(max=len(anchors) - 2)
    return torch.lerp(anchors[below], anchors[below + 1], (place - below)[..., None])


def overlay(pictures: Tensor, maps: Tensor, opacity: float) -> Tensor:
    """Heat over pictures, each map relative to its maximum: all maps of the first picture, then the next.

    [R or 1, H, W, 3], [R, n, h, w] → [R·n, H, W, 3]. Opacity 0 is only the picture, 1 only the heat map.
    Raises P2PError for pictures of another number or shape, and for a result that is too large. Memory is
    that of the result and of a few pictures.
    """
    require_opacity(opacity)
    require_pictures(pictures, len(maps))
    size = (pictures.shape[1], pictures.shape[2])
    require_room(maps.shape[0] * maps.shape[1], size, "Choose fewer words, or smaller images.")
    drawn = torch.empty(*maps.shape[:2], *size, 3)
    for row, picture in zip(range(len(maps)), pictures.expand(len(maps), -1, -1, -1), strict=True):
        under = picture.cpu().float()
        for n, values in enumerate(maps[row]):
            drawn[row, n] = over(under, resized(relative(values), size), opacity)
    return drawn.flatten(0, 1)


def over(pictures: Tensor, values: Tensor, opacity: float) -> Tensor:
    """The colours of values [...] over pictures [..., 3]."""
    return torch.lerp(pictures, heat_colours(values), opacity)


def resized(maps: Tensor, size: Size) -> Tensor:
    """Resize maps in 0..1 smoothly. [..., h, w] → [..., H, W]."""
    flat = maps.reshape(1, -1, *maps.shape[-2:])  # [1, n, h, w]
    large = F.interpolate(flat, size, mode="bicubic", antialias=True).clamp(0, 1)
    return large.reshape(*maps.shape[:-2], *size)


def require_room(count: int, size: Size, hint: str) -> None:
    """Raises P2PError if `count` pictures take too much memory."""
    height, width = size
    require_memory(f"{count} images of {width} × {height}", 3 * count * height * width, PICTURES, hint)


def require_opacity(opacity: float) -> None:
    if not 0 <= opacity <= 1:
        raise P2PError("an opacity within 0..1", f"{opacity:g}", "Set it between 0 and 1.")


def require_pictures(pictures: Tensor, rows: int) -> None:
    """Raises P2PError unless pictures are [rows or 1, H, W, 3] and finite."""
    if pictures.ndim != 4 or pictures.shape[-1] != 3 or len(pictures) not in (1, rows):
        expected = f"{rows} RGB images, one for each prompt of each sample, or 1"
        raise P2PError(expected, f"images of shape {list(pictures.shape)}", HINT, topic="pictures")
    if not bool(torch.isfinite(pictures).all()):
        raise P2PError("images with values from 0 to 1", "NaN or infinity", HINT, topic="pictures")
