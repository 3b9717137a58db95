"""Stored attention maps of runs: the columns of chosen words by layer (paper section 3, figure 4).
Everything is float32 and on the CPU."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..architecture.layers import Layer
from ..errors import P2PError
from ..rows import Rows
from ..step import Scene, Size
from ..words.prompts import PromptSet
from .masks import MaskRule

RUNS, MOST_BYTES = 4, 256 << 20  # limits of a store; the newest run is always kept
_POINTS = 256  # per row, to recognise a latent by
_STRIDE = 100_003  # between points: a prime, so that they spread over all columns of any size
_NEAR = 0.02  # in standard deviations, the distance of half-precision copies of a latent


@dataclass(frozen=True)
class Channel:
    """One recorded map: the columns that it sums for each prompt, none if the prompt lacks the word.

    reference: whether it sums the tokens of reference latents.
    """

    name: str
    columns: tuple[tuple[int, ...], ...]
    reference: bool = False

    def over(self, prompts: int) -> Channel:
        """The channel for `prompts` prompts: columns of a source prompt alone apply to its copies too."""
        return replace(self, columns=self.columns * prompts) if len(self.columns) == 1 else self


def word_channel(word: str, prompts: PromptSet) -> Channel:
    """A word or phrase in all prompts that have it. Raises P2PError if none does."""
    prompts.require([word])
    return Channel(word, tuple(p.find(word) if p.has(word) else () for p in prompts.prompts))


@dataclass(frozen=True, eq=False)
class Recorded:
    """The maps of one run, all finite.

    maps: [parts, P·B, n, h, w] by layer, with n channels; 0 in a part of the sampling without a call.
    self_map: [P·B, N, N], the mean over layers and over calls in the window, or None; self_size: height and
    width of its N. blend: [E·B, H, W], the mask of a local blend for each edit, or None. rule: how it was
    computed from the maps, None for a user's mask alone. signatures: [P·B, points] of each latent that the
    run returned.
    """

    scene: Scene
    channels: tuple[Channel, ...]
    maps: Mapping[Layer, Tensor]
    self_map: Tensor | None = None
    self_size: Size | None = None
    blend: Tensor | None = None
    rule: MaskRule | None = None
    signatures: tuple[Tensor, ...] = ()

    @property
    def prompts(self) -> PromptSet:
        return self.scene.prompts

    @property
    def rows(self) -> Rows:
        return self.scene.rows

    @property
    def latent(self) -> Size:
        """Height and width of the latent, with the frames of a video one below the other."""
        return self.scene.latent

    @property
    def bytes(self) -> int:
        own = 0 if self.self_map is None else self.self_map.nbytes
        return own + sum(maps.nbytes for maps in self.maps.values())

    def fits(self, latent: Tensor) -> bool:
        """Whether a latent [P·B, C, ..., h, w] has the size of the run's."""
        frames = latent.shape[2] if latent.ndim == 5 else 1
        height, width = latent.shape[-2:]
        return (latent.shape[0], frames * height, width) == (self.rows.count, *self.latent)

    def masks_at(self, thresholds: Sequence[float]) -> Iterator[Tensor]:
        """The masks of other thresholds, for one edit after the other [thresholds, H, W].

        Without a rule for maps, there are none: [0, H, W].
        """
        if self.rule is None:
            return iter([torch.empty(0, *self.latent)] * len(self.rows.edited))
        maps = {layer: values[0] for layer, values in self.maps.items()}  # [P·B, 2, h, w] each
        return self.rule.at(thresholds, maps, self.rows, self.latent, self.scene.frames)


def signature(rows: Tensor) -> Tensor:
    """Points of a latent to recognise it by, [R, points]."""
    flat = rows.detach().flatten(1)
    places = torch.arange(_POINTS) * _STRIDE % flat.shape[1]
    return flat[:, places.to(flat.device)].float().cpu()


class MapStore:
    """Keeps the maps of the last few runs. One object in all copies of a plan."""

    def __init__(self) -> None:
        self._runs: list[Recorded] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> MapStore:
        return self

    def fill(self, recorded: Recorded) -> None:
        """Keep a run and drop the oldest ones."""
        self._runs.append(recorded)
        while len(self._runs) > 1 and (
            len(self._runs) > RUNS or sum(run.bytes for run in self._runs) > MOST_BYTES
        ):
            self._runs.pop(0)

    def read(self, latent: Tensor | None = None) -> Recorded:
        """The maps of the run that returned this latent or, without a latent, of the last run.

        Raises P2PError if no run has filled the store, or if none of the kept runs returned the latent.
        """
        hint = "Read it after the sampling, with the latent of a sampling that filled it."
        if not self._runs:
            raise P2PError(
                "a store that a sampling has filled", "one that was never filled", hint, topic="store"
            )
        if latent is None:
            return self._runs[-1]
        fitting = [run for run in self._runs if run.fits(latent)]
        if not fitting:
            last = self._runs[-1]
            size = f"{last.rows.count} of {last.latent[1]} × {last.latent[0]}"
            got = f"{latent.shape[0]} of {latent.shape[-1]} × {latent.shape[-2]}"
            raise P2PError(f"the latent of the run that filled the store, {size}", got, hint, topic="store")
        points = signature(latent)
        for run in reversed(fitting):
            if any(same_points(points, known) for known in run.signatures):
                return run
        raise P2PError(
            f"the latent of one of the last {len(fitting)} runs that filled the store",
            "the latent of another sampling",
            hint,
            topic="other run",
        )


def same_points(a: Tensor, b: Tensor) -> bool:
    """Whether two signatures belong to the same latent, in any precision."""
    return a.shape == b.shape and bool(((a - b).abs() <= _NEAR * b.std().clamp(min=1e-6)).all())
