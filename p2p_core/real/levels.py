"""What the noise levels of a model mean."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Denoise = Callable[[Tensor, float], Tensor]
"""The model's prediction of the clean latent for x [B, C, h, w] at one noise level."""
OnStep = Callable[[int], None]


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
