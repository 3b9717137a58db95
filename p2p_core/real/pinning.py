"""A real picture as the source of an edit: its rows follow a trajectory (Direct Inversion, Ju et al. 2023).

Edit rows start from the trajectory's noise and are free; source rows are the stored latents at each of its
noise levels. So the source comes out as it went in, whatever the guidance scale.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import P2PError
from ..words.lengths import common_length
from .trajectory import Trajectory

Negative = Literal["as connected", "source prompt", "null text"]
NEGATIVES: tuple[Negative, ...] = ("as connected", "source prompt", "null text")
RESTORED_FROM = 0.6  # the published code's t < 400 of 1000


@dataclass(frozen=True, eq=False)
class RealImage:
    """One node's real picture.

    pin: source rows are the trajectory's. negative: what edits are guided away from; `source prompt` is
    negative-prompt inversion, of which `share` is the source prompt's part. quantile: of proximal guidance, 0
    for none; restore: whether it takes the picture back where guidance is too small to count.
    """

    trajectory: Trajectory
    pin: bool = True
    negative: Negative = "as connected"
    share: float = 1.0
    quantile: float = 0.0
    restore: bool = True

    def __post_init__(self) -> None:
        for name, value in {"share": self.share, "quantile": self.quantile}.items():
            if not 0 <= value <= 1:
                raise P2PError(f"a {name} within 0..1", f"{value:g}", "Set it between 0 and 1.")
        if self.negative == "null text" and self.trajectory.nulls is None:
            raise P2PError(
                "a trajectory with null-text encodings", "one without", "Put Null Text after Invert."
            )

    def require_prompt(self, text: str) -> None:
        """Raises P2PError when the picture was inverted with another prompt than the source prompt."""
        known = self.trajectory.text
        if known and known != text:
            raise P2PError(
                f"the source prompt that the picture was inverted with, {known!r}",
                repr(text),
                "Give Invert and Prompt Pair the same source prompt.",
            )

    def require_size(self, samples: int, shape: tuple[int, ...]) -> None:
        """Raises P2PError when the sampler's latent, B and [C, h, w], is not of the pictures' size."""
        pictures = tuple(self.trajectory.picture.shape)
        if pictures != (samples, *shape):
            raise P2PError(
                f"a latent of the inverted pictures' size, {_size(pictures)}",
                _size((samples, *shape)),
                "Connect the latent output of Real Image to the sampler.",
            )

    def require_encoded(self, prompt: Tensor) -> None:
        """Raises P2PError when a source prompt [T, W] is encoded otherwise than the inversion's."""
        known = self.trajectory.prompt
        columns = min(len(known), len(prompt))  # hosts repeat columns to match other prompts
        same = known.shape[1:] == prompt.shape[1:]
        if not (same and torch.allclose(known[:columns], prompt[:columns].float().cpu(), 1e-2, 1e-2)):
            raise P2PError(
                "the source prompt that the picture was inverted with",
                "another prompt, or another CLIP's encoding of it",
                "Give Invert and Prompt Pair the same source prompt and CLIP.",
            )

    def start(self, first: int, prompts: int) -> Tensor:
        """The rows at step `first`, each prompt's the same: [P·B, C, h, w]."""
        return per_row(self.trajectory.latents[first], prompts)

    def pinned(self, rows: Tensor, sigma: float, prompts: int) -> Tensor:
        """Rows [P·B, C, h, w] that go into the model, with source rows from the trajectory."""
        level = self.trajectory.level(sigma) if self.pin else None
        return rows if level is None else with_sources(rows, self.trajectory.latents[level], prompts)

    def finished(self, rows: Tensor, prompts: int) -> Tensor:
        """Finished rows, in the space of the host's LATENT, with the pictures as source rows."""
        return with_sources(rows, self.trajectory.picture, prompts) if self.pin else rows

    def noise(self, sigma: float, prompts: int) -> Tensor:
        """What an ancestral sampler draws at this sigma; for a trajectory with noise."""
        noise = self.trajectory.noise
        if noise is None:
            raise P2PError("a trajectory with noise", "one without", "Invert with edit-friendly noise.")
        return per_row(noise[self.trajectory.step(sigma)], prompts)

    def restored(self, clean: Tensor, kept: Tensor, progress: float, prompts: int) -> Tensor:
        """Predictions with the picture where guidance is too small to count: outside `kept`, like `clean`."""
        if not self.restore or progress <= RESTORED_FROM:
            return clean
        picture = per_row(self.trajectory.latents[-1], prompts).to(clean)
        return torch.where(F.max_pool2d(kept.float(), 3, stride=1, padding=1) > 0, clean, picture)


def with_sources(rows: Tensor, sources: Tensor, prompts: int) -> Tensor:
    """Rows [P·B, ...] with the source rows replaced by [B, ...]."""
    replaced = rows.clone()
    replaced[::prompts] = sources.to(rows)
    return replaced


def per_row(samples: Tensor, prompts: int) -> Tensor:
    """[B, ...] → [P·B, ...], a copy: row r holds sample r div P."""
    return samples.repeat_interleave(prompts, dim=0)


def proximal(with_text: Tensor, without: Tensor, quantile: float) -> tuple[Tensor, Tensor]:
    """Proximal guidance (Han et al. 2023): the text's direction less what is small in it.

    Both: predictions [R, ...]. Gives the prediction with text to guide by, and where something is left of the
    direction. Each row's threshold is a quantile of its absolute values, by which all are shrunk.
    """
    delta = with_text - without
    limits = torch.quantile(delta.abs().float().flatten(1), quantile, dim=1).to(delta)
    limit = limits.reshape(-1, *[1] * (delta.ndim - 1))  # [R, 1, ...]
    shrunk = delta - delta.clamp(-limit, limit)
    return without + shrunk, shrunk != 0


def mixed_negative(prompt: Tensor, negative: Tensor, share: float) -> Tensor:
    """Negative-prompt inversion (Miyake et al. 2023): the source prompt [1, T, W] as the negative.

    Below a share of 1 mixed with the negative [1, T', W], whose columns are repeated where it is shorter.
    Raises P2PError where their lengths have no common multiple within `words.lengths.MOST_COLUMNS`.
    """
    if share == 1:
        return prompt
    columns = common_length(prompt.shape[1], negative.shape[1])
    ours, theirs = (t.repeat(1, columns // t.shape[1], 1) for t in (prompt, negative))
    return share * ours + (1 - share) * theirs.to(ours)


def _size(shape: tuple[int, ...]) -> str:
    batch, channels, *sides = shape
    return f"{batch} × {channels} channels, {' × '.join(map(str, sides[::-1]))}"
