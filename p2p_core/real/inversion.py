"""Inversion: from a picture up the noise levels, so that a sampler comes back down to it.

`denoise(x, sigma)` is the model's prediction of the clean latent for x [B, C, h, w] at one noise level. With
d = (x − D)/σ, an Euler step is x' = x + (σ' − σ)·d for every kind of model. For models that predict noise or
velocity on Stable Diffusion's schedule (x = x0 + σ·n), this is a DDIM step (Song et al. 2020); for flow
models (x = (1 − σ)·x0 + σ·n), a step along the straight line. Sigmas are in a sampler's order, from noise
down to 0, and so are results.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor

from ..errors import P2PError
from .edit_friendly import edit_friendly
from .levels import Denoise, Levels, OnStep
from .trajectory import floats, require_sigmas, require_steps

InversionMethod = Literal[
    "euler", "euler at target level", "fixed point", "midpoint", "edit-friendly noise", "rf inversion"
]
INVERSION_METHODS: tuple[InversionMethod, ...] = get_args(InversionMethod)
PULL = 0.5  # toward noise, of "rf inversion": as published


@dataclass(frozen=True)
class Inversion:
    """How to invert. iterations: extra model calls per step ("fixed point" only). seed: for "edit-friendly
    noise" and "rf inversion"."""

    method: InversionMethod
    iterations: int = 3
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Found:
    """latents: [n+1, B, C, h, w] at each sigma; noise: [n, B, C, h, w] for an ancestral sampler, or None.

    On the CPU.
    """

    latents: Tensor
    noise: Tensor | None = None


def direction(denoise: Denoise, x: Tensor, sigma: float) -> Tensor:
    """d = (x − D)/σ, the slope of the path through the noise levels."""
    return (x - denoise(x, sigma)) / sigma


def invert(
    denoise: Denoise, picture: Tensor, sigmas: Tensor, chosen: Inversion, levels: Levels,
    on_step: OnStep = lambda step: None,
) -> Found:  # fmt: skip
    """The way of a picture [B, C, h, w] through the noise levels, by any method.

    on_step: called after each step with the number of steps done. Raises P2PError if a step is not finite.
    """
    require_sigmas(sigmas)
    generator = torch.Generator().manual_seed(chosen.seed)
    if chosen.method == "edit-friendly noise":
        return Found(*edit_friendly(denoise, picture, sigmas, levels, generator, on_step))
    if chosen.method == "rf inversion":
        up = _controlled(denoise, picture, levels, generator)
    else:
        up = partial(_up, denoise, chosen=chosen, levels=levels)
    steps, x = len(sigmas) - 1, picture
    require_steps(steps + 1, picture.shape)
    latents = picture.new_empty(steps + 1, *picture.shape, device="cpu")
    latents[steps] = picture
    for done, (low, high) in enumerate(pairwise(floats(sigmas.flip(0))), 1):
        x = up(x, low, high)
        if not bool(torch.isfinite(x).all()):
            raise P2PError(
                "finite latents during inversion",
                f"NaN or infinity at sigma {high:.4g}",
                "Check the picture's latent, use fewer iterations, or run the model in float32.",
            )
        latents[steps - done] = x
        on_step(done)
    return Found(latents)


def _up(denoise: Denoise, x: Tensor, low: float, high: float, chosen: Inversion, levels: Levels) -> Tensor:
    if chosen.method == "euler":
        return x + (high - low) * direction(denoise, x, max(low, levels.floor))
    if chosen.method == "midpoint":
        return _midpoint(denoise, x, low, high, levels)
    iterations = chosen.iterations if chosen.method == "fixed point" else 0
    return _fixed_point(denoise, x, low, high, levels, iterations)


def _controlled(
    denoise: Denoise, picture: Tensor, levels: Levels, generator: torch.Generator
) -> Callable[[Tensor, float, float], Tensor]:
    """Euler steps that are pulled toward noise (RF-Inversion, Rout et al. 2024, algorithm 1).

    The slope is the mean of the model's own and that to the noise, (n − x)/(1 − σ). Raises P2PError for
    models that are not flow models.
    """
    if not levels.flow:
        raise P2PError(
            "a flow model for rf inversion",
            "a model that predicts noise or velocity of another schedule",
            "Choose fixed point or midpoint.",
        )
    noise = torch.randn(picture.shape, generator=generator).to(picture)

    def up(x: Tensor, low: float, high: float) -> Tensor:
        own = direction(denoise, x, max(low, levels.floor))
        return x + (high - low) * torch.lerp(own, (noise - x) / (1 - low), PULL)

    return up


def _midpoint(denoise: Denoise, x: Tensor, low: float, high: float, levels: Levels) -> Tensor:
    """The second-order step of RF-Solver (Wang et al. 2024, section 3.2): the slope half way up."""
    middle = (low + high) / 2
    half = x + (middle - low) * direction(denoise, x, max(low, levels.floor))
    return x + (high - low) * direction(denoise, half, max(middle, levels.floor))


def _fixed_point(
    denoise: Denoise, x: Tensor, low: float, high: float, levels: Levels, iterations: int
) -> Tensor:
    """Solves y = x + (σ' − σ)·d(y, σ'): an Euler step leads from y back to x (ReNoise, Garibi et al. 2024).

    The first guess is DDIM inversion as in the null-text code: the model gets the latent of the level below
    with the sigma of the target level. Without iterations, this guess is the result.
    """
    given = x * levels.size(high) / levels.size(low)
    y = x + (high - low) * direction(denoise, given, high)
    for _ in range(iterations):
        y = x + (high - low) * direction(denoise, y, high)
    return y
