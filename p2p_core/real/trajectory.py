"""A picture's trajectory through the noise levels, from an inversion, for a sampling to follow.

Without inversion it is the picture alone, for a sampling that adds its own noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import P2PError
from ..limits import TRAJECTORY, require_memory
from ..words.fields import CHARACTERS
from ..words.texts import is_readable

AGAIN = "Invert the image again with this model."
STEPS = 10_000  # the most that the host's samplers take
LARGEST = 1e6  # of any value; sigmas are below 1e4
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
        self._require_shapes()
        tensors = (self.latents, self.picture, self.prompt, self.noise, self.nulls)
        if not all(_moderate(tensor) for tensor in tensors if tensor is not None):
            hint = "Check the image's latent, try the method euler, or run the model in float32."
            got = f"NaN, infinity or values above {LARGEST:.0e} in a trajectory"
            raise P2PError("finite latents", got, hint, topic="not finite")
        for name, most in (("text", CHARACTERS), ("model", 1000), ("method", 1000), ("schedule", 1000)):
            value: str = getattr(self, name)
            if len(value) > most or not is_readable(value):
                raise P2PError(f"a {name} of at most {most} readable characters", repr(value), AGAIN)

    def _require_shapes(self) -> None:
        """Raises P2PError unless all tensors have the same steps, pictures and widths, and none is empty."""
        if self.picture.ndim not in (4, 5) or not self.picture.numel():
            raise P2PError("pictures [B, C, ..., h, w]", f"{tuple(self.picture.shape)}", AGAIN)
        if self.prompt.ndim != 2 or not self.prompt.numel():
            raise P2PError("an encoded prompt [T, W]", f"{tuple(self.prompt.shape)}", AGAIN)
        steps, shape, width = self.steps, tuple(self.picture.shape), self.prompt.shape[1]
        columns = 0 if self.nulls is None or self.nulls.ndim != 4 else self.nulls.shape[2]
        expected = {
            "latents": (self.latents, (steps + 1, *shape)),
            "noise": (self.noise, (steps, *shape)),
            "nulls": (self.nulls, (steps, shape[0], max(columns, 1), width)),
        }
        for name, (tensor, wanted) in expected.items():
            if tensor is not None and tuple(tensor.shape) != wanted:
                raise P2PError(f"{name} of shape {wanted}", f"{tuple(tensor.shape)}", AGAIN)
        require_steps(1, [sum(tensor.numel() for tensor, _ in expected.values() if tensor is not None)])

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


def _moderate(tensor: Tensor) -> bool:
    """Whether all values can be sampled with: NaN compares as false."""
    low, high = tensor.aminmax()
    return bool(low >= -LARGEST) and bool(high <= LARGEST)


def require_steps(steps: int, shape: Sequence[int]) -> None:
    """Raises P2PError if tensors of this shape for each step take more memory than a trajectory may."""
    what = f"{steps} steps of {' × '.join(map(str, shape))} values"
    require_memory(what, steps * math.prod(shape), TRAJECTORY, "Use fewer steps, or fewer or smaller images.")


def floats(sigmas: Tensor) -> list[float]:
    return [float(sigma) for sigma in sigmas]


def require_sigmas(sigmas: Tensor) -> None:
    """Raises P2PError unless they descend from noise to 0 in at least one step."""
    if sigmas.ndim != 1 or len(sigmas) < 2:
        raise P2PError("at least one step", "none", "Set steps to 1 or more and denoise above 0.")
    if len(sigmas) > STEPS + 1:
        raise P2PError(f"at most {STEPS} steps", f"{len(sigmas) - 1}", "Choose fewer steps.")
    falling = bool((sigmas[:-1] > sigmas[1:]).all())  # false for NaN too
    if not falling or float(sigmas[-1]) != 0 or not _moderate(sigmas):
        raise P2PError(
            "sigmas that descend to 0",
            f"{len(sigmas)} from {float(sigmas[0]):.4g} to {float(sigmas[-1]):.4g}",
            "Pass a complete schedule, not flipped or split.",
            topic="sigmas",
        )
