"""Attention maps of a run, as it leaves them for later: chosen words' columns by layer (paper section 3,
figure 4). Everything is float32 and on the CPU."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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

RUNS, MOST_BYTES = 4, 256 << 20  # that a store keeps, the newest at any size
_POINTS = 256  # per row, by which a latent is recognised
_STRIDE = 100_003  # between them, a prime, so that they spread over all columns of any size
_NEAR = 0.02  # in standard deviations: half-precision copies of a latent are that near


@dataclass(frozen=True)
class Channel:
    """What is recorded as one map: for each prompt the columns it sums, none where it has no such word."""

    name: str
    columns: tuple[tuple[int, ...], ...]

    def over(self, prompts: int) -> Channel:
        """The same for so many prompts: those of a source prompt alone hold for its copies (re-weighting)."""
        return replace(self, columns=self.columns * prompts) if len(self.columns) == 1 else self


def word_channel(word: str, prompts: PromptSet) -> Channel:
    """A word or phrase in all prompts that have it. Raises P2PError when none has."""
    prompts.require([word])
    return Channel(word, tuple(p.find(word) if p.has(word) else () for p in prompts.prompts))


@dataclass(frozen=True, eq=False)
class Recorded:
    """The maps of one run, all finite.

    maps: by layer [parts, P·B, n, h, w], n the channels; a part of the sampling in which no call fell is 0.
    self_map: [P·B, N, N], the mean over layers and over calls in the window; self_size: height and width of
    its N; None where none was kept. blend: [E·B, H, W], the mask of a local blend for each edit, None without
    one. rule: what made it of the maps, None where the user's mask alone did. signatures: points of the
    latents that the run returned, [P·B, points] each.
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
        """Height and width of the latent."""
        return self.scene.latent

    @property
    def bytes(self) -> int:
        own = 0 if self.self_map is None else self.self_map.nbytes
        return own + sum(maps.nbytes for maps in self.maps.values())

    def fits(self, latent: Tensor) -> bool:
        """Whether a latent [P·B, C, ..., h, w] has the size of those that the run returned."""
        return (latent.shape[0], *latent.shape[-2:]) == (self.rows.count, *self.latent)

    def masks_at(self, thresholds: Iterable[float]) -> Tensor | None:
        """What other thresholds make of the maps, [thresholds, E·B, H, W]; None without a rule for maps."""
        if self.rule is None:
            return None
        maps = {layer: values[0] for layer, values in self.maps.items()}  # [P·B, 2, h, w] each
        return self.rule.at(list(thresholds), maps, self.rows, self.latent)


def signature(rows: Tensor) -> Tensor:
    """Points of a latent by which it is recognised, [R, points]."""
    flat = rows.detach().flatten(1)
    places = torch.arange(_POINTS) * _STRIDE % flat.shape[1]
    return flat[:, places.to(flat.device)].float().cpu()


class MapStore:
    """Where runs leave their maps: the last few are kept. One object in all copies of a plan."""

    def __init__(self) -> None:
        self._runs: list[Recorded] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> MapStore:
        return self

    def fill(self, recorded: Recorded) -> None:
        """Keep a run; the oldest are dropped."""
        self._runs.append(recorded)
        while len(self._runs) > 1 and (
            len(self._runs) > RUNS or sum(run.bytes for run in self._runs) > MOST_BYTES
        ):
            self._runs.pop(0)

    def read(self, latent: Tensor | None = None) -> Recorded:
        """What the run left that returned this latent; without one, what the last run left.

        Raises P2PError where no run filled the store, and where none of those kept returned the latent.
        """
        hint = "Read it with the latent of a sampling that filled it, after that sampling."
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
            "that of another sampling",
            hint,
            topic="other run",
        )


def same_points(a: Tensor, b: Tensor) -> bool:
    """Whether two signatures are of one latent, in any precision."""
    return a.shape == b.shape and bool(((a - b).abs() <= _NEAR * b.std().clamp(min=1e-6)).all())
