"""Inversion: from a picture up the noise levels, so that a sampler comes back down to it.

`denoise(x, sigma)` is the model's prediction of the clean latent for x [B, C, h, w] at one noise level.
With d = (x − D)/σ an Euler step is x' = x + (σ' − σ)·d for models of every kind; for those that predict
noise or velocity on Stable Diffusion's schedule (x = x0 + σ·n) it is a DDIM step (Song et al. 2020), for flow
models (x = (1 − σ)·x0 + σ·n) one along the straight line. Sigmas are given as a sampler has them, from noise
down to 0, and results are in their order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from ..errors import P2PError
from .trajectory import floats, require_sigmas

Denoise = Callable[[Tensor, float], Tensor]
OnStep = Callable[[int], None]
Method = Literal["euler", "euler at target level", "fixed point", "midpoint", "edit-friendly noise"]
METHODS: tuple[Method, ...] = (
    "euler",
    "euler at target level",
    "fixed point",
    "midpoint",
    "edit-friendly noise",
)


@dataclass(frozen=True)
class Levels:
    """What the noise levels of a model mean.

    flow: x = (1 − σ)·x0 + σ·n in place of x0 + σ·n. floor: the lowest sigma that the model knows, which it is
    asked at in place of lower ones.
    """

    flow: bool = False
    floor: float = 1e-4

    def signal(self, sigma: float) -> float:
        """How much of x0 is in x."""
        return 1 - sigma if self.flow else 1.0

    def size(self, sigma: float) -> float:
        """How large x is beside what the model is given."""
        return 1.0 if self.flow else (1 + sigma * sigma) ** 0.5


def direction(denoise: Denoise, x: Tensor, sigma: float) -> Tensor:
    """d = (x − D)/σ, the slope of the way through the noise levels."""
    return (x - denoise(x, sigma)) / sigma


def invert(
    denoise: Denoise, picture: Tensor, sigmas: Tensor, method: Method, levels: Levels,
    iterations: int = 3, on_step: OnStep = lambda step: None,
) -> Tensor:  # fmt: skip
    """The latents of a picture [B, C, h, w] at each sigma, [n+1, B, C, h, w].

    on_step: called after each step with how many are done. Raises P2PError where a step is not finite.
    """
    require_sigmas(sigmas)
    latents = [picture]
    for low, high in pairwise(floats(sigmas.flip(0))):
        x = _up(denoise, latents[-1], low, high, method, levels, iterations)
        if not bool(torch.isfinite(x).all()):
            raise P2PError(
                "an inversion of numbers",
                f"NaN or infinity at sigma {high:.4g}",
                "Look at the picture's latent, use fewer iterations, or a MODEL in float32.",
            )
        latents.append(x)
        on_step(len(latents) - 1)
    return torch.stack(latents[::-1])


def _up(
    denoise: Denoise, x: Tensor, low: float, high: float, method: Method, levels: Levels, iterations: int
) -> Tensor:
    if method == "euler":
        return x + (high - low) * direction(denoise, x, max(low, levels.floor))
    if method == "midpoint":
        return _midpoint(denoise, x, low, high, levels)
    return _fixed_point(denoise, x, low, high, levels, iterations if method == "fixed point" else 0)


def _midpoint(denoise: Denoise, x: Tensor, low: float, high: float, levels: Levels) -> Tensor:
    """The second-order step of RF-Solver (Wang et al. 2024, section 3.2): the slope half way up."""
    middle = (low + high) / 2
    half = x + (middle - low) * direction(denoise, x, max(low, levels.floor))
    return x + (high - low) * direction(denoise, half, max(middle, levels.floor))


def _fixed_point(
    denoise: Denoise, x: Tensor, low: float, high: float, levels: Levels, iterations: int
) -> Tensor:
    """y = x + (σ' − σ)·d(y, σ'), whose solution an Euler step takes back to x (ReNoise, Garibi et al. 2024).

    The first guess is DDIM inversion as the null-text code has it: what the model is given is the picture of
    the level below, called one of the target level. No iterations: that guess alone.
    """
    given = x * levels.size(high) / levels.size(low)
    y = x + (high - low) * direction(denoise, given, high)
    for _ in range(iterations):
        y = x + (high - low) * direction(denoise, y, high)
    return y


# Edit-friendly noise (Huberman-Spiegelglas et al. 2023)


def noisy(picture: Tensor, sigmas: Tensor, levels: Levels, generator: torch.Generator) -> Tensor:
    """The picture with noise of its own at each level, [n+1, B, C, h, w] (equation 6)."""
    drawn = [
        picture * levels.signal(sigma) + sigma * torch.randn(picture.shape, generator=generator).to(picture)
        for sigma in floats(sigmas[:-1])
    ]
    return torch.stack([*drawn, picture])


def edit_friendly(
    denoise: Denoise, picture: Tensor, sigmas: Tensor, levels: Levels, generator: torch.Generator,
    on_step: OnStep = lambda step: None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Latents [n+1, B, C, h, w] and the noise [n, B, C, h, w] that leads an ancestral sampler along them.

    Each latent is the one that the step before it reaches with its noise, so no error adds up. The last step
    draws none: its noise is 0.
    """
    require_sigmas(sigmas)
    latents = noisy(picture, sigmas, levels, generator)
    noise: list[Tensor] = []
    for i, (high, low) in enumerate(pairwise(floats(sigmas))):
        clean = denoise(latents[i], high)
        step = AncestralStep.between(high, low, levels)
        noise.append(step.noise(latents[i], clean, latents[i + 1]) if low else torch.zeros_like(picture))
        on_step(i + 1)
    return latents, torch.stack(noise)


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
        """z, with which the step from x ends at `after`."""
        return (after - self.keep * x - self.clean * clean) / self.drawn
