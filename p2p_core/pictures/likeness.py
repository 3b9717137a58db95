"""How similar an edit is to its source."""

from __future__ import annotations

import math

from torch import Tensor
from torch.nn import functional as F

from ..errors import P2PError


def psnr(a: Tensor, b: Tensor, where: Tensor | None = None) -> float | None:
    """Peak signal-to-noise ratio of two pictures [H, W, C] in 0..1, in dB; infinite for equal ones.

    where: [h, w], the weight of each pixel, resized to the pictures. Returns None if it is 0 everywhere.
    Raises P2PError for pictures of different sizes.
    """
    if a.shape != b.shape:
        sizes = [f"{p.shape[1]} × {p.shape[0]}" for p in (a, b)]
        raise P2PError(
            "images of one size", " and ".join(sizes), "Compare images of one sampling.", topic="sizes"
        )
    error = (a.float().cpu() - b.float().cpu()).square().mean(-1)  # [H, W]
    if where is None:
        mean = float(error.mean())
    else:
        weight = F.interpolate(where[None, None].float().cpu(), a.shape[:2], mode="nearest")[0, 0]
        total = float(weight.sum())
        if not total:
            return None
        mean = float((error * weight).sum()) / total
    return -10 * math.log10(mean) if mean else math.inf


def in_words(value: float | None) -> str:
    """A PSNR as text."""
    if value is None:
        return "nothing there"
    return "identical" if math.isinf(value) else f"{value:.1f} dB"
