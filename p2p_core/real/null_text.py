"""Null-text inversion (Mokady et al. 2022, section 3.2): an unconditional encoding for each step.

With these encodings, sampling at a high guidance scale stays on the trajectory without pinning.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from einops import rearrange, repeat
from torch import Tensor

from ..errors import P2PError
from .levels import Levels, OnStep

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


def optimise(
    with_prompt: Callable[[Tensor, float], Tensor], with_null: Encoded, null: Tensor, latents: Tensor,
    sigmas: Tensor, levels: Levels, chosen: NullText, on_step: OnStep = lambda step: None,
) -> Tensor:  # fmt: skip
    """Encodings [n, B, T, W], optimised from a first one [T, W], so that Euler steps follow the latents.

    with_prompt: the source prompt's prediction; latents: [n+1, B, C, h, w], as in a Trajectory. Must be
    called with gradients enabled.
    """
    steps, x = len(sigmas) - 1, latents[0]
    null = repeat(null, "t w -> b t w", b=x.shape[0]).clone()
    found: list[Tensor] = []
    for i in range(steps):
        sigma, low = float(sigmas[i]), float(sigmas[i + 1])
        with torch.no_grad():
            clean = with_prompt(x, sigma)

        def after(
            null: Tensor, x: Tensor = x, sigma: float = sigma, low: float = low, clean: Tensor = clean
        ) -> Tensor:
            free = with_null(x, sigma, null)
            guided = free + chosen.cfg * (clean - free)
            return x + (low - sigma) * (x - guided) / sigma

        null = _descend(after, null, latents[i + 1], i, levels.size(low), chosen.rate(i, steps), chosen)
        found.append(null)
        with torch.no_grad():
            x = after(null)
        on_step(i + 1)
    return torch.stack(found)


def _descend(
    after: Callable[[Tensor], Tensor], null: Tensor, target: Tensor, step: int, size: float, rate: float,
    chosen: NullText,
) -> Tensor:  # fmt: skip
    """Adam on each picture's encoding until the step ends close enough to `target`."""
    null = null.detach().clone().requires_grad_(True)
    adam = torch.optim.Adam([null], lr=rate)
    for _ in range(chosen.iterations):
        missed = (after(null) - target) / size  # at the scale of the published code's latents
        losses = rearrange(missed.square(), "b ... -> b (...)").mean(1)
        if bool((losses < chosen.enough(step)).all()):
            break
        (null.grad,) = torch.autograd.grad(losses.sum(), null)  # gives no other tensor a gradient
        adam.step()  # pyright: ignore[reportUnknownMemberType]
    return null.detach()
