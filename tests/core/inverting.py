"""Denoisers with a known path through the noise levels, and trajectories for tests."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from p2p_core.real.inversion import Inversion, InversionMethod, invert
from p2p_core.real.levels import Denoise, Levels, OnStep
from p2p_core.real.trajectory import Trajectory

VE, FLOW = Levels(floor=1e-3), Levels(flow=True, floor=1e-3)
SPREAD = 0.5  # of pictures that are Gaussian around 0


def latents_of(
    denoise: Denoise, picture: Tensor, sigmas: Tensor, method: InversionMethod, levels: Levels,
    iterations: int = 3, on_step: OnStep = lambda step: None,
) -> Tensor:  # fmt: skip
    """The latents that an inversion finds, [n+1, B, C, h, w]."""
    return invert(denoise, picture, sigmas, Inversion(method, iterations), levels, on_step).latents


def gaussian(levels: Levels) -> Denoise:
    """The optimal denoiser of Gaussian pictures; linear, so that its path through the levels is known."""

    def denoise(x: Tensor, sigma: float) -> Tensor:
        signal = levels.signal(sigma)
        return x * signal * SPREAD**2 / (signal**2 * SPREAD**2 + sigma**2)

    return denoise


def exact(picture: Tensor, sigma: float, levels: Levels) -> Tensor:
    """The point at sigma on the path of `gaussian` from a picture."""
    return picture * ((levels.signal(sigma) * SPREAD) ** 2 + sigma**2) ** 0.5 / SPREAD


def waving(x: Tensor, sigma: float) -> Tensor:
    """A nonlinear denoiser."""
    return torch.sin(x) / (1 + sigma) + 0.1 * x


def counted(denoise: Denoise, asked: list[float]) -> Denoise:
    def counting(x: Tensor, sigma: float) -> Tensor:
        asked.append(sigma)
        return denoise(x, sigma)

    return counting


def euler_down(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """A first-order sampler."""
    for high, low in pairwise(sigmas.tolist()):
        x = x + (low - high) * (x - denoise(x, high)) / high
    return x


def ancestral_down(
    denoise: Denoise, x: Tensor, sigmas: Tensor, levels: Levels, draw: Callable[[int], Tensor]
):
    """The host's ancestral Euler sampler at eta 1, as in its source code."""
    for i, (high, low) in enumerate(pairwise(sigmas.tolist())):
        clean = denoise(x, high)
        if low == 0:
            return clean
        if levels.flow:
            down = low * (1 + (low / high - 1))
            scale = (1 - low) / (1 - down)
            x = scale * (down / high * x + (1 - down / high) * clean)
            x = x + draw(i) * (low**2 - down**2 * scale**2) ** 0.5
        else:
            up = min(low, (low**2 * (high**2 - low**2) / high**2) ** 0.5)
            down = (low**2 - up**2) ** 0.5
            x = x + (x - clean) / high * (down - high) + draw(i) * up
    raise AssertionError


def falling(steps: int, top: float = 10.0) -> Tensor:
    return torch.linspace(top, 0, steps + 1)


def picture(samples: int = 2) -> Tensor:
    return torch.randn(samples, 3, 4, 5, generator=torch.Generator().manual_seed(1)) * SPREAD


def trajectory(
    steps: int = 4, samples: int = 2, size: tuple[int, int] = (4, 5), **changes: Any
) -> Trajectory:
    draw = torch.Generator().manual_seed(2)
    latents = torch.randn(steps + 1, samples, 3, *size, generator=draw)
    given = {"sigmas": falling(steps), "latents": latents, "picture": latents[-1] * 2}
    texts = {"text": "a cat", "model": "Tiny", "method": "euler", "schedule": f"{steps} steps"}
    return Trajectory(**{**given, "prompt": torch.ones(7, 6), **texts, **changes})


def picture_alone(samples: int = 2, **changes: Any) -> Trajectory:
    """A picture without inversion."""
    whole = trajectory(samples=samples)
    last = {"sigmas": torch.zeros(1), "latents": whole.latents[-1:], "picture": whole.picture}
    return trajectory(samples=samples, **{**last, "method": "no inversion", **changes})
