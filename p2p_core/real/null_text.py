"""Null-text inversion (Mokady et al. 2022, section 3.2): an unconditional encoding for each step.

With these encodings, sampling at a high guidance scale stays on the trajectory without pinning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from einops import rearrange, repeat
from torch import Tensor

from ..errors import P2PError
from .levels import Levels, OnStep
from .trajectory import floats, require_steps

Encoded = Callable[[Tensor, float, Tensor], Tensor]
"""The prediction for x at sigma with unconditional encodings [B, T, W]; differentiable in the encodings."""


@dataclass(frozen=True)
class NullText:
    """cfg: the guidance scale of the sampling. iterations: maximum number of Adam steps per sampling step.

    Learning rate and stopping loss are the published ones, 1e-2·(1 − i/100) and 1e-5 + 2e-5·i in step i. A
    schedule with more than 50 steps uses the rates of 50 steps, stretched over it.
    """

    cfg: float = 7.5
    iterations: int = 10

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise P2PError("at least 1 iteration", f"{self.iterations}", "Set iterations to 10.")

    def rate(self, step: int, steps: int) -> float:
        return 1e-2 * (1 - step / max(100, 2 * steps))

    def enough(self, step: int) -> float:
        return 1e-5 + 2e-5 * step


@dataclass(frozen=True, eq=False)
class Course:
    """What Euler steps have to follow: latents [n+1, B, C, h, w] at sigmas [n+1], as in a Trajectory."""

    latents: Tensor
    sigmas: Tensor
    levels: Levels


def optimise(
    with_prompt: Callable[[Tensor, float], Tensor], with_null: Encoded, null: Tensor, course: Course,
    chosen: NullText, on_step: OnStep = lambda step: None,
) -> Tensor:  # fmt: skip
    """Encodings [n, B, T, W], optimised from a first one [T, W], so that Euler steps follow the course.

    On the CPU. with_prompt: the source prompt's prediction. Must be called with gradients enabled.
    """
    sigmas = floats(course.sigmas)
    steps, x = len(sigmas) - 1, course.latents[0]
    null = repeat(null, "t w -> b t w", b=x.shape[0]).clone()
    require_steps(steps, null.shape)
    found = null.new_empty(steps, *null.shape, device="cpu")
    for i, (sigma, low) in enumerate(pairwise(sigmas)):
        with torch.no_grad():
            clean = with_prompt(x, sigma)
        after = partial(_after, with_null, clean, x, (sigma, low), chosen.cfg)
        size = course.levels.size(low)  # missed by: at the scale of the published code's latents

        def missed(
            null: Tensor, after: Callable[[Tensor], Tensor] = after, i: int = i, size: float = size
        ) -> Tensor:
            return (after(null) - course.latents[i + 1]) / size

        null = _descend(missed, null, chosen, chosen.rate(i, steps), chosen.enough(i))
        found[i] = null
        with torch.no_grad():
            x = after(null)
        on_step(i + 1)
    return found


def _after(
    with_null: Encoded, clean: Tensor, x: Tensor, levels: tuple[float, float], cfg: float, null: Tensor
) -> Tensor:
    """Where an Euler step between two levels ends that is guided away from these encodings."""
    sigma, low = levels
    free = with_null(x, sigma, null)
    guided = free + cfg * (clean - free)
    return x + (low - sigma) * (x - guided) / sigma


def _descend(
    missed: Callable[[Tensor], Tensor], null: Tensor, chosen: NullText, rate: float, enough: float
) -> Tensor:
    """Adam on each picture's encoding until the step misses its target by little enough."""
    null = null.detach().clone().requires_grad_(True)
    adam = torch.optim.Adam([null], lr=rate)
    for _ in range(chosen.iterations):
        losses = rearrange(missed(null).square(), "b ... -> b (...)").mean(1)
        if bool((losses < enough).all()):
            break
        (null.grad,) = torch.autograd.grad(losses.sum(), null)  # gives no other tensor a gradient
        adam.step()  # pyright: ignore[reportUnknownMemberType]
    return null.detach()
