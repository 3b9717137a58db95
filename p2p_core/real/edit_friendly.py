"""Edit-friendly noise (Huberman-Spiegelglas et al. 2023): latents with independent noise at each level, and
the noise that leads an ancestral sampler along them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from .levels import Denoise, Levels, OnStep
from .trajectory import floats, require_sigmas, require_steps


def noisy(picture: Tensor, sigmas: Tensor, levels: Levels, generator: torch.Generator) -> Tensor:
    """The picture with independent noise at each level, [n+1, B, C, h, w] on the CPU (equation 6)."""
    drawn = picture.new_empty(len(sigmas), *picture.shape, device="cpu")
    drawn[-1] = picture
    for i, sigma in enumerate(floats(sigmas[:-1])):
        noise = torch.randn(picture.shape, generator=generator).to(picture)
        drawn[i] = picture * levels.signal(sigma) + sigma * noise
    return drawn


def edit_friendly(
    denoise: Denoise, picture: Tensor, sigmas: Tensor, levels: Levels, generator: torch.Generator,
    on_step: OnStep = lambda step: None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Latents [n+1, B, C, h, w] and the noise [n, B, C, h, w] that leads an ancestral sampler along them.

    Each latent is exactly what the previous step reaches with its noise, so errors do not accumulate. The
    last step draws no noise: it is 0.
    """
    require_sigmas(sigmas)
    require_steps(2 * len(sigmas), picture.shape)
    latents = noisy(picture, sigmas, levels, generator)
    noise = torch.zeros_like(latents[1:])
    for i, (high, low) in enumerate(pairwise(floats(sigmas))):
        x, after = latents[i].to(picture), latents[i + 1].to(picture)
        clean = denoise(x, high)
        if low:
            noise[i] = AncestralStep.between(high, low, levels).noise(x, clean, after)
        on_step(i + 1)
    return latents, noise


@dataclass(frozen=True)
class AncestralStep:
    """x' = keep·x + clean·D + drawn·z: one step of the host's ancestral Euler sampler at eta 1."""

    keep: float
    clean: float
    drawn: float

    @staticmethod
    def between(high: float, low: float, levels: Levels) -> AncestralStep:
        if levels.flow:
            down = low * low / high
            scale = (1 - low) / (1 - down)
            drawn = max(low**2 - (down * scale) ** 2, 0) ** 0.5
            return AncestralStep(scale * down / high, scale * (1 - down / high), drawn)
        drawn = (low**2 * (high**2 - low**2) / high**2) ** 0.5
        down = (low**2 - drawn**2) ** 0.5
        return AncestralStep(down / high, 1 - down / high, drawn)

    def noise(self, x: Tensor, clean: Tensor, after: Tensor) -> Tensor:
        """The z with which the step from x ends at `after`."""
        return (after - self.keep * x - self.clean * clean) / self.drawn
