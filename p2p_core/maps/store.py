"""Attention maps of a run: running means of chosen words' columns, by layer (paper section 3, figure 4).

Everything is float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange
from torch import Tensor

from ..architecture.layers import Layer, LayerFilter
from ..attention.editing import PairedRow
from ..attention.probing import probabilities, word_maps
from ..errors import P2PError
from ..words.prompts import PromptSet
from ..words.windows import Window

if TYPE_CHECKING:
    from .blending import Blend

SELF_TOKENS = 4096  # a self-attention map of more is larger than 64 MiB
_ALL, _WHOLE = LayerFilter(), Window()


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


def all_words(prompts: PromptSet) -> tuple[str, ...]:
    """Every word of the prompts once, in order; the second of two equal words is written word[2]."""
    names: dict[str, None] = {}
    for prompt in prompts.prompts:
        count: dict[str, int] = {}
        for word in prompt.words:
            count[word.text] = nth = count.get(word.text, 0) + 1
            names[word.text if nth == 1 else f"{word.text}[{nth}]"] = None
    return tuple(names)


@dataclass(frozen=True, eq=False)
class Record:
    """What a run writes into a store.

    parts: the window in so many equal parts, each with a mean of its own.
    self_scale: of the layers that are this many times smaller than the latent the mean self-attention is kept
    too, which takes 4·N² bytes a row; 0 for none. rule: what makes a mask of the maps, None for maps alone.
    """

    channels: tuple[Channel, ...]
    store: MapStore
    layers: LayerFilter = _ALL
    window: Window = _WHOLE
    parts: int = 1
    self_scale: int = 0
    rule: Blend | None = None

    def keeps_self(self, layer: Layer) -> bool:
        return layer.scale == self.self_scale and layer in self.layers

    def require_self(self, layers: Sequence[Layer]) -> None:
        """Raises P2PError where self-attention is wanted and no layer of the MODEL has it."""
        if self.self_scale and not any(map(self.keeps_self, layers)):
            scales = ", ".join(
                f"1/{scale}" for scale in sorted({x.scale for x in layers if x in self.layers})
            )
            raise P2PError(
                "self-attention of a resolution that the chosen layers of this MODEL have",
                f"1/{self.self_scale}",
                f"Choose one of {scales or 'none'}, or other layers.",
            )

    def part(self, progress: float) -> int | None:
        """The part of the window that a model call at this progress belongs to."""
        if not self.window.active(progress):
            return None
        share = (progress - self.window.start) / (self.window.end - self.window.start)
        return min(int(share * self.parts), self.parts - 1)


@dataclass(frozen=True, eq=False)
class Recorded:
    """The maps of one run, on the CPU, all finite.

    maps: by layer [parts, P·B, n, h, w], n the channels; row r is of prompt r mod P of sample r div P; a part
    in which no call fell is 0. latent: height and width. self_map: [P·B, N, N], the mean over layers and over
    calls in the window; self_size: height and width of its N; None where none was kept. blend: [E·B, H, W],
    the mask of a local blend for each edit, None without one. rule: what made it of the maps, None where the
    user's mask alone did.
    """

    prompts: PromptSet
    channels: tuple[Channel, ...]
    samples: int
    latent: tuple[int, int]
    maps: Mapping[Layer, Tensor]
    self_map: Tensor | None = None
    self_size: tuple[int, int] | None = None
    blend: Tensor | None = None
    rule: Blend | None = None

    @property
    def bytes(self) -> int:
        own = 0 if self.self_map is None else self.self_map.nbytes
        return own + sum(maps.nbytes for maps in self.maps.values())


class MapStore:
    """Where a run leaves its maps for the nodes after it. One object in all copies of a MODEL."""

    def __init__(self) -> None:
        self._recorded: Recorded | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> MapStore:
        return self

    def clear(self) -> None:
        self._recorded = None

    def fill(self, recorded: Recorded) -> None:
        self._recorded = recorded

    def read(self, latent: Tensor | None = None) -> Recorded:
        """What the last run left. Raises P2PError where there is none, or one of another size."""
        recorded = self._recorded
        mend = "Connect the LATENT of the sampler whose MODEL went through the store, and queue again."
        if recorded is None:
            raise P2PError("a store that a sampling has filled", "one that was never filled", mend)
        rows = recorded.samples * len(recorded.prompts.prompts)
        if latent is not None and (latent.shape[0], *latent.shape[-2:]) != (rows, *recorded.latent):
            size = "{1} × {0}".format(*recorded.latent)
            got = f"{latent.shape[0]} of {latent.shape[-1]} × {latent.shape[-2]}"
            raise P2PError(f"the latent of the run that filled the store, {rows} of {size}", got, mend)
        return recorded


class Recorder:
    """The running means of one run.

    NaN and infinity stay in a mean, so they are looked for where it is read: a look makes the GPU wait.
    """

    def __init__(self, record: Record, prompts: PromptSet, samples: int, latent: tuple[int, int]) -> None:
        count = len(prompts.prompts)
        self.record = replace(record, channels=tuple(c.over(count) for c in record.channels))
        self.prompts, self.samples, self.latent = prompts, samples, latent
        self._rows = samples * count
        self._means: dict[tuple[Layer, int], _Mean] = {}
        self._self: _Mean | None = None  # of [h, w, N] a row
        self._self_finite: dict[Layer, Tensor] = {}
        self._indicators = tuple(_indicator(self.record.channels, p, prompts) for p in range(count))

    def observe(
        self,
        layer: Layer,
        progress: float,
        size: tuple[int, int],
        q: Tensor,
        k: Tensor,
        heads: int,
        rows: Sequence[PairedRow],
    ) -> None:
        """A call of cross-attention. q: [B, h·w, C]; k: [B, K, C], K a multiple of each T; size: h, w."""
        part = self.record.part(progress)
        if part is None or layer not in self.record.layers or not self.record.channels or not rows:
            return
        maps = word_maps(q, k, heads, rows, self._indicators)
        grid = rearrange(maps, "r (h w) n -> r n h w", h=size[0])
        if (layer, part) not in self._means:
            self._means[layer, part] = _Mean(self._rows, grid)
        self._means[layer, part].add(grid, self._targets(rows))

    def observe_self(
        self,
        layer: Layer,
        progress: float,
        size: tuple[int, int],
        q: Tensor,
        k: Tensor,
        heads: int,
        rows: Sequence[PairedRow],
        from_source: bool,
    ) -> None:
        """A call of self-attention. q, k: [B, h·w, C]; from_source: whether edit rows use the source's."""
        if not self.record.keeps_self(layer) or self.record.part(progress) is None or not rows:
            return
        if q.shape[1] > SELF_TOKENS:
            raise P2PError(
                f"self-attention of at most {SELF_TOKENS} image tokens",
                f"{size[1]} × {size[0]} in {layer.stage} {layer.number}",
                "Keep the self-attention of a smaller part of the latent's side.",
            )
        used = [row.source if from_source else row.row for row in rows]
        maps = torch.stack([probabilities(q[row], k[row], heads) for row in used])
        grid = rearrange(maps, "r (h w) n -> r h w n", h=size[0])
        self._self = self._self or _Mean(self._rows, grid)
        self._self.add(grid, self._targets(rows))
        finite = torch.isfinite(maps).all().to(self._self.value.device)
        self._self_finite[layer] = finite & self._self_finite.get(layer, True)

    def _targets(self, rows: Sequence[PairedRow]) -> list[int]:
        return [row.sample * len(self.prompts.prompts) + row.prompt for row in rows]

    def mean(self) -> Mapping[Layer, Tensor]:
        """So far: by layer [P·B, n, h, w], the mean over the calls of all parts. Raises P2PError for NaN."""
        by_layer: dict[Layer, list[_Mean]] = {}
        for (layer, _), mean in self._means.items():
            by_layer.setdefault(layer, []).append(mean)
        joined = {layer: _joined(means) for layer, means in by_layer.items()}
        _require_finite({layer: torch.isfinite(maps).all() for layer, maps in joined.items()})
        return joined

    def recorded(self, blend: Tensor | None = None) -> Recorded:
        """What goes into the store, on the CPU. Raises P2PError for NaN."""
        maps: dict[Layer, Tensor] = {}
        for layer in dict.fromkeys(layer for layer, _ in self._means):
            means = [self._means.get((layer, part)) for part in range(self.record.parts)]
            empty = torch.zeros_like(next(m.value for m in means if m is not None))
            maps[layer] = torch.stack([empty if m is None else m.value for m in means]).cpu()
        _require_finite({layer: torch.isfinite(values).all() for layer, values in maps.items()})
        _require_finite(self._self_finite)
        own = None if self._self is None else self._self.value.cpu()  # [P·B, h, w, N]
        return Recorded(
            self.prompts,
            self.record.channels,
            self.samples,
            self.latent,
            MappingProxyType(maps),
            None if own is None else rearrange(own, "r h w n -> r (h w) n"),
            None if own is None else (own.shape[1], own.shape[2]),
            None if blend is None else blend.cpu(),
            self.record.rule,
        )


class _Mean:
    """A running mean by row, of what is added for some of the rows. Nothing in it makes a GPU wait."""

    def __init__(self, rows: int, like: Tensor) -> None:
        """like: [R, ...], what will be added."""
        self.value, self.count = like.new_zeros(rows, *like.shape[1:]), [0] * rows

    def add(self, maps: Tensor, rows: Sequence[int]) -> None:
        """maps: [R, ...] for these rows of the result, each row any number of times; from any device."""
        if self.value.shape[1:] != maps.shape[1:]:
            raise P2PError(
                "attention maps of one size",
                f"{list(maps.shape[1:])} after {list(self.value.shape[1:])}",
                "Take out what samples parts of the picture on their own (areas, tiles).",
            )
        for row, new in zip(rows, maps, strict=True):
            self.count[row] += 1
            self.value[row].lerp_(new.to(self.value.device), 1 / self.count[row])


def _require_finite(finite: Mapping[Layer, Tensor]) -> None:
    """finite: by layer, whether all of its maps are."""
    if finite and not bool(torch.stack(list(finite.values())).all()):
        layer = next(layer for layer, good in finite.items() if not good)
        raise P2PError(
            "finite attention maps",
            f"NaN or infinity in {layer.stage} {layer.number}",
            "Run the model in a wider precision (--force-fp32), or use another attention backend.",
        )


def _joined(means: Sequence[_Mean]) -> Tensor:
    """The mean of several, each as often as it was added to."""
    values = torch.stack([mean.value for mean in means])  # [parts, R, ...]
    counts = values.new_tensor([mean.count for mean in means])  # [parts, R]
    return torch.einsum("pr,pr...->r...", counts / counts.sum(0).clamp(min=1), values)


def _indicator(channels: Sequence[Channel], prompt: int, prompts: PromptSet) -> Tensor:
    """[T, n], 1 where a column of the prompt belongs to the channel."""
    indicator = torch.zeros(prompts.prompts[prompt].columns, len(channels))
    for n, channel in enumerate(channels):
        indicator[list(channel.columns[prompt]), n] = 1
    return indicator
