"""Distance of an edit from its picture, with the measures of Direct Inversion (Ju et al. 2023, section 5).

Pictures are [3, H, W] in 0..1. `kept` [H, W] is 1 where the picture has to stay. As published, both pictures
are multiplied by it, and means are over all pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

ORIENTATIONS, CELLS = 8, 32


@dataclass(frozen=True)
class Fidelity:
    """structure: `structure_distance` of whole pictures; mse, psnr (dB), ssim: where it has to stay."""

    structure: float
    mse: float
    psnr: float
    ssim: float


def fidelity(picture: Tensor, edited: Tensor, kept: Tensor) -> Fidelity:
    a, b = picture * kept, edited * kept
    error = float((a - b).square().mean())
    return Fidelity(structure_distance(picture, edited), error, decibels(error), ssim(a, b))


def decibels(mse: float) -> float:
    return -10 * math.log10(mse) if mse else math.inf


def structure_distance(a: Tensor, b: Tensor) -> float:
    """Mean square difference between the self-similarity matrices of both pictures.

    The published measure uses features of a large network. This one uses gradients, which see outlines but no
    colours, so that nothing has to be downloaded. Compare within a table only, not with published numbers.
    """
    return float((_alike(a) - _alike(b)).square().mean())


def _alike(picture: Tensor) -> Tensor:
    """Cosine similarity between the cells' gradients by orientation, [n, n]."""
    gray = picture.mean(0)[None, None]
    sobel = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]) / 8
    gradients = F.conv2d(F.pad(gray, (1, 1, 1, 1), "replicate"), torch.stack([sobel, sobel.T])[:, None])[0]
    strength, angle = gradients.norm(dim=0), torch.atan2(gradients[1], gradients[0]) % math.pi
    bins = (angle / math.pi * ORIENTATIONS).long() % ORIENTATIONS
    by_bin = F.one_hot(bins, ORIENTATIONS) * strength[..., None]
    cells = F.adaptive_avg_pool2d(rearrange(by_bin, "h w o -> o h w"), CELLS)
    wide = F.avg_pool2d(cells, 3, stride=1, padding=1)  # tolerates a shift by one pixel
    features = F.normalize(rearrange(wide, "o h w -> (h w) o"), dim=1, eps=1e-3)
    return features @ features.T


def ssim(a: Tensor, b: Tensor) -> float:
    """Structural similarity (Wang et al. 2004): Gaussian windows of 11 pixels, mean over all channels."""
    place = torch.arange(11) - 5.0
    line = torch.exp(-(place**2) / (2 * 1.5**2))
    window = (line[:, None] * line / line.sum() ** 2)[None, None]

    def mean(x: Tensor) -> Tensor:
        return F.conv2d(x[:, None], window)

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    both = mean(a * b) - mean_a * mean_b
    low, high = 0.01**2, 0.03**2
    alike = (2 * mean_a * mean_b + low) * (2 * both + high)
    return float((alike / ((mean_a**2 + mean_b**2 + low) * (var_a + var_b + high))).mean())
