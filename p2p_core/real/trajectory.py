"""A picture's trajectory through the noise levels, from an inversion, for a sampling to follow.

Without inversion it is the picture alone, for a sampling that adds its own noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import P2PError

AGAIN = "Invert the image again with this model."
_SAME = 1e-4  # relative tolerance for equal noise levels


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Latents of B pictures at the noise levels of a schedule. All float32, on the CPU.

    sigmas: [n+1], from noise down to 0, as in a sampler; [0] without inversion, where n is 0. latents:
    [n+1, B, C, ..., h, w], at the sigmas, in the model's own space; the last ones are the pictures.
    picture: [B, C, h, w], the pictures as passed in, in the space of the host's LATENT.
    prompt: [T, W], the encoded source prompt; text: the prompt itself, "" if only its encoding is known.
    model, method, schedule: the model it belongs to, the inversion method, the sampler settings.
    noise: [n, B, C, h, w], the noise for an ancestral sampler after each step, or None.
    nulls: [n, B, T, W], an unconditional encoding for each step (null-text inversion), or None.
    """

    sigmas: Tensor
    latents: Tensor
    picture: Tensor
    prompt: Tensor
    text: str
    model: str
    method: str
    schedule: str
    noise: Tensor | None = None
    nulls: Tensor | None = None

    def __post_init__(self) -> None:
        if floats(self.sigmas) != [0.0]:
            require_sigmas(self.sigmas)
        steps, shape = self.steps, tuple(self.picture.shape)
        expected = {
            "latents": (self.latents, (steps + 1, *shape)),
            "noise": (self.noise, (steps, *shape)),
            "nulls": (self.nulls, (steps, *shape[:1], *_last(self.nulls))),
        }
        for name, (tensor, wanted) in expected.items():
            if tensor is not None and tuple(tensor.shape) != wanted:
                raise P2PError(f"{name} of shape {wanted}", f"{tuple(tensor.shape)}", AGAIN)
        if self.prompt.ndim != 2:
            raise P2PError("an encoded prompt [T, W]", f"{tuple(self.prompt.shape)}", AGAIN)
        tensors = (self.latents, self.picture, self.prompt, self.noise, self.nulls)
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors if tensor is not None):
            hint = "Check the image's latent, try the method euler, or run the model in float32."
            raise P2PError("finite latents", "NaN or infinity in a trajectory", hint, topic="not finite")

    @property
    def steps(self) -> int:
        return len(self.sigmas) - 1

    @property
    def inverted(self) -> bool:
        """Whether it has noise levels of its own. Without them it goes through any sampling of its model."""
        return self.steps > 0

    @property
    def samples(self) -> int:
        """B, the number of pictures."""
        return self.picture.shape[0]

    def start(self, sigmas: Tensor) -> int:
        """The step at which a sampling with `sigmas` starts. P2PError unless they are part of self.sigmas."""
        wanted = sigmas.detach().float().cpu()
        for first in range(self.steps + 2 - len(wanted)):
            part = self.sigmas[first : first + len(wanted)]
            if torch.allclose(part, wanted, rtol=_SAME, atol=1e-6):
                return first
        raise P2PError(
            f"a sampler with the sigmas of the trajectory, {self.schedule}",
            f"{len(wanted) - 1} steps from sigma {float(wanted[0]):.4g} to {float(wanted[-1]):.4g}",
            "Use the sigmas of the inversion, with a sampler that skips no step.",
            topic="other sigmas",
        )

    def level(self, sigma: float) -> int | None:
        """The index of a sigma; None for one in between, where second-order samplers evaluate."""
        index = int((self.sigmas - sigma).abs().argmin())
        return index if abs(float(self.sigmas[index]) - sigma) <= _SAME * sigma else None

    def step(self, sigma: float) -> int:
        """The step, 0..n−1, that a model call at this sigma belongs to."""
        passed = int((self.sigmas >= sigma * (1 - _SAME)).sum()) - 1
        return min(max(passed, 0), self.steps - 1)


def _last(nulls: Tensor | None) -> tuple[int, ...]:
    return () if nulls is None or nulls.ndim != 4 else tuple(nulls.shape[-2:])


def floats(sigmas: Tensor) -> list[float]:
    return [float(sigma) for sigma in sigmas]


def require_sigmas(sigmas: Tensor) -> None:
    """Raises P2PError unless they descend from noise to 0 in at least one step."""
    if sigmas.ndim != 1 or len(sigmas) < 2:
        raise P2PError("at least one step", "none", "Set steps to 1 or more and denoise above 0.")
    falling = bool((sigmas[:-1] > sigmas[1:]).all())  # false for NaN too
    if not falling or float(sigmas[-1]) != 0 or not bool(torch.isfinite(sigmas).all()):
        raise P2PError(
            "sigmas that descend to 0",
            f"{len(sigmas)} from {float(sigmas[0]):.4g} to {float(sigmas[-1]):.4g}",
            "Pass a complete schedule, not flipped or split.",
            topic="sigmas",
        )
