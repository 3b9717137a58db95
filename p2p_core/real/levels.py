"""The noise levels of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

Denoise = Callable[[Tensor, float], Tensor]
"""The model's prediction of the clean latent for x [B, C, h, w] at one noise level."""
OnStep = Callable[[int], None]


@dataclass(frozen=True)
class Levels:
    """The noise levels of a model.

    flow: x = (1 − σ)·x0 + σ·n in place of x0 + σ·n. floor: smallest sigma the model was trained on; lower
    ones are clamped to it.
    """

    flow: bool = False
    floor: float = 1e-4

    def signal(self, sigma: float) -> float:
        """Factor of x0 in x."""
        return 1 - sigma if self.flow else 1.0

    def size(self, sigma: float) -> float:
        """Scale of x relative to the model's input."""
        return 1.0 if self.flow else (1 + sigma * sigma) ** 0.5
