"""A real picture as the source of an edit: its rows follow a trajectory (Direct Inversion, Ju et al. 2023).

Edit rows start from the trajectory's noise and are free. Source rows are the stored latents at each of its
noise levels, so the source comes out as it went in, at any guidance scale.

A picture without inversion is the prediction of its source rows in each model call instead. The way from the
sampling's own noise to it is straight: x = x0 + σ·n, or (1 − σ)·x0 + σ·n in flow models, at each level that a
sampler visits, with whatever noise the sampler adds on the way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import P2PError
from ..rows import per_row, with_sources
from ..step import Hooks, Scene, Step
from ..words.prompts import PromptSet
from ..words.windows import Window
from .guidance import proximal
from .trajectory import Trajectory

Negative = Literal["as connected", "source prompt", "null text"]
NEGATIVES: tuple[Negative, ...] = get_args(Negative)
RESTORED = Window(0.6, 1.0)  # the published code's t < 400 of 1000


@dataclass(frozen=True, eq=False)
class RealImage(Step):
    """One node's real picture.

    pin: source rows follow the trajectory. negative: what edits are guided away from; `source prompt` is
    negative-prompt inversion, with `share` the source prompt's share. quantile: for proximal guidance, 0 for
    none; restore: whether it restores the picture where no guidance is left. control: the share of the
    picture in predictions until progress control_end (RF-Inversion, Rout et al. 2024), 0 for none.
    """

    trajectory: Trajectory
    pin: bool = True
    negative: Negative = "as connected"
    share: float = 1.0
    quantile: float = 0.0
    restore: bool = True
    control: float = 0.0
    control_end: float = 0.25

    def __post_init__(self) -> None:
        for name in ("share", "quantile", "control", "control_end"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise P2PError(f"a {name} within 0..1", f"{value:g}", "Set it between 0 and 1.")
        if self.negative == "null text" and self.trajectory.nulls is None:
            raise P2PError(
                "a trajectory with null-text encodings",
                "one without them",
                "Run null-text inversion first.",
                topic="no null texts",
            )
        if not (self.pin or self.trajectory.inverted):
            raise P2PError(
                "a pinned source for an image without inversion",
                "pin off",
                "Turn pin on, or invert the image.",
            )

    @property
    def leads(self) -> bool:
        return True

    def check(self, prompts: PromptSet, before: Sequence[Step]) -> None:
        self.require_prompt(prompts.source.text)
        if any(isinstance(step, RealImage) for step in before):
            raise P2PError(
                "one real image as the source",
                "a second one",
                "Remove one of them.",
                topic="two pictures",
            )

    def require_prompt(self, text: str) -> None:
        """Raises P2PError if the picture was inverted with another prompt than the source prompt."""
        known = self.trajectory.text
        if known and known != text:
            raise P2PError(
                f"the source prompt that the image was inverted with, {known!r}",
                repr(text),
                "Invert the image with the source prompt of the edit.",
                topic="other source",
            )

    def require_size(self, samples: int, shape: tuple[int, ...]) -> None:
        """Raises P2PError if the sampler's latent, B and [C, h, w], does not have the pictures' size."""
        pictures = tuple(self.trajectory.picture.shape)
        if pictures != (samples, *shape):
            raise P2PError(
                f"a latent of the inverted images' size, {_size(pictures)}",
                _size((samples, *shape)),
                "Sample latents of the inverted images' size.",
                topic="other size",
            )

    def require_encoded(self, prompt: Tensor) -> None:
        """Raises P2PError if a source prompt [T, W] is encoded differently from the inversion's."""
        if not self.trajectory.inverted:
            return
        known = self.trajectory.prompt
        columns = min(len(known), len(prompt))  # hosts repeat columns to match other prompts
        same = known.shape[1:] == prompt.shape[1:]
        if not (same and torch.allclose(known[:columns], prompt[:columns].float().cpu(), 1e-2, 1e-2)):
            raise P2PError(
                "the source prompt that the image was inverted with",
                "another prompt, or the encoding of another CLIP",
                "Invert and edit with the same source prompt and text encoder.",
                topic="other encoding",
            )

    def noise(self, sigma: float, prompts: int) -> Tensor:
        """The noise for an ancestral sampler at this sigma. P2PError for a trajectory without noise."""
        noise = self.trajectory.noise
        if noise is None:
            raise P2PError("a trajectory with noise", "one without noise", "Invert with edit-friendly noise.")
        return per_row(noise[self.trajectory.step(sigma)], prompts)

    def begin(self, scene: Scene) -> Hooks:
        return _Pinned(self, scene)


class _Pinned(Hooks):
    """A real picture's hooks: source rows follow its trajectory."""

    def __init__(self, real: RealImage, scene: Scene) -> None:
        self.real, self.prompts = real, scene.rows.prompts
        self._latents = real.trajectory.latents
        self._to_the_end = True

    def start(self, sigmas: Tensor, progress: Sequence[float]) -> Tensor | None:
        self._to_the_end = float(sigmas[-1]) == 0
        if not self.real.trajectory.inverted:
            return None
        first = self.real.trajectory.start(sigmas)
        return per_row(self.real.trajectory.latents[first], self.prompts)

    def before_model(self, rows: Tensor, sigma: float, progress: float) -> Tensor:
        if not (self.real.pin and self.real.trajectory.inverted):
            return rows
        level = self.real.trajectory.level(sigma)
        return rows if level is None else with_sources(rows, self._like(rows)[level], self.prompts)

    def after_model(self, clean: Tensor, progress: float) -> Tensor:
        """With the controller; without inversion, with the pictures as the predictions of their rows."""
        picture = self._like(clean)[-1]
        if self.real.control and Window(0, self.real.control_end).active(progress):
            clean = torch.lerp(clean, per_row(picture, self.prompts), self.real.control)
        return clean if self.real.trajectory.inverted else with_sources(clean, picture, self.prompts)

    def guided(self, with_text: Tensor, others: list[Tensor], progress: float) -> tuple[Tensor, list[Tensor]]:
        """Proximal guidance; late in the sampling, also the picture wherever no guidance is left."""
        if not self.real.quantile:
            return with_text, others
        guided, kept = proximal(with_text, others[0], self.real.quantile)
        if not (self.real.restore and RESTORED.active(progress)):
            return guided, others
        picture = per_row(self._like(guided)[-1], self.prompts)
        around = F.max_pool2d(kept.float().flatten(1, -3), 3, stride=1, padding=1)
        guides = around.view(kept.shape) > 0
        return torch.where(guides, guided, picture), [torch.where(guides, other, picture) for other in others]

    def finish(self, rows: Tensor) -> Tensor:
        """The rows with the pictures as source rows, in the space of the host's LATENT."""
        if not (self.real.pin and self._to_the_end):
            return rows
        return with_sources(rows, self.real.trajectory.picture, self.prompts)

    def _like(self, rows: Tensor) -> Tensor:
        """The trajectory's latents on the device of the rows, copied once."""
        self._latents = self._latents.to(rows)
        return self._latents


def _size(shape: tuple[int, ...]) -> str:
    batch, channels, *sides = shape
    return f"{batch} × {channels} channels, {' × '.join(map(str, sides[::-1]))}"
