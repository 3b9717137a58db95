"""Records attention maps during a sampling: running means by layer and part of the sampling.

NaN and infinity stay in a mean, so they are checked once, at the end: each check makes a GPU wait.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from ..architecture.dit import Layout
from ..architecture.layers import Layer, LayerFilter
from ..attention.calls import JointCall
from ..attention.editing import EditedBatch
from ..attention.joint import JointEdit
from ..attention.probing import Probe, joint_maps, prepare_probe, probabilities, word_maps
from ..errors import P2PError
from ..limits import MAPS, require_memory
from ..step import Call, Hooks, Scene, Step
from ..words.windows import Window
from .masks import MaskRule
from .means import Mean
from .store import Channel, MapStore, Recorded, signature

SELF_TOKENS = 4096  # the self-attention map of more tokens is larger than 64 MiB


@dataclass(frozen=True, eq=False)
class Record(Step):
    """What a run writes into a store.

    parts: number of equal parts of the window, each with its own mean. self_scale: also keep the mean
    self-attention of the layers that are this many times smaller than the latent, which takes 4·N² bytes per
    row; 0 for none. rule: how to compute a mask from the maps, None for maps alone.
    """

    channels: tuple[Channel, ...]
    store: MapStore
    layers: LayerFilter = field(default_factory=LayerFilter)
    window: Window = field(default_factory=Window)
    parts: int = 1
    self_scale: int = 0
    rule: MaskRule | None = None

    @property
    def filter(self) -> LayerFilter:
        return self.layers

    @property
    def timed(self) -> bool:
        return self.window != Window() or self.parts > 1

    def keeps_self(self, layer: Layer) -> bool:
        return layer.scale == self.self_scale and layer in self.layers

    def require_layers(self, layers: Sequence[Layer]) -> None:
        super().require_layers(layers)
        if self.self_scale and not any(map(self.keeps_self, layers)):
            scales = ", ".join(
                f"1/{scale}" for scale in sorted({x.scale for x in layers if x in self.layers})
            )
            raise P2PError(
                "a self-attention resolution that the chosen layers of this model have",
                f"1/{self.self_scale}",
                f"Choose one of {scales or 'none'}, or other layers.",
            )

    def begin(self, scene: Scene) -> Hooks:
        return Recording(self, scene)

    def part(self, progress: float) -> int | None:
        """The part of the window that contains a model call at this progress."""
        if not self.window.active(progress):
            return None
        share = (progress - self.window.start) / (self.window.end - self.window.start)
        return min(int(share * self.parts), self.parts - 1)


class Recorder:
    """The running means of one run."""

    def __init__(self, record: Record, scene: Scene) -> None:
        count = scene.rows.prompts
        _require_room(record, scene)
        self.record = replace(record, channels=tuple(c.over(count) for c in record.channels))
        self.scene = scene
        self.version = 0  # number of maps so far
        self._maps: dict[Layer, Tensor] = {}  # [parts, P·B, n, h, w]
        self._means: dict[tuple[Layer, int], Mean] = {}  # of these maps
        self._self: Mean | None = None  # of [h, w, N] per row
        self._self_finite: dict[Layer, Tensor] = {}
        self._indicators = tuple(_indicator(self.record.channels, p, scene) for p in range(count))
        self._probes: dict[object, Probe] = {}
        self._rows: dict[object, Tensor] = {}

    def observes(self, layer: Layer, progress: float) -> bool:
        """Whether maps of cross-attention are recorded."""
        wanted = layer in self.record.layers and bool(self.record.channels)
        return wanted and self.record.part(progress) is not None

    def observes_self(self, layer: Layer, progress: float) -> bool:
        return self.record.keeps_self(layer) and self.record.part(progress) is not None

    def observe(self, call: Call, q: Tensor, k: Tensor, batch: EditedBatch) -> None:
        """A cross-attention call. q: [B, h·w, C]; k: [B, K, C]."""
        part = self.record.part(call.progress)
        if part is None or not batch.rows:
            return
        self._require_references(None)
        self._add(call, part, word_maps(q, k, call.heads, self._probe(call, batch, k)), batch)

    def observe_joint(
        self, call: Call, joint: JointCall, edits: Sequence[JointEdit], batch: EditedBatch
    ) -> None:
        """A call of joint attention, as it is edited."""
        part = self.record.part(call.progress)
        if part is None or not batch.rows or call.layout is None:
            return
        self._require_references(call.layout)
        maps = joint_maps(joint, call.heads, edits, self._by_row(call.layout, batch, joint.q))
        rows = torch.tensor([row.row for row in batch.rows], device=maps.device)
        self._add(call, part, maps[rows], batch)

    def _by_row(self, layout: Layout, batch: EditedBatch, q: Tensor) -> Tensor:
        """[B, L, n]: the indicators of each batch row's prompt, 0 in rows that are not paired."""
        key = (layout, batch, len(q), q.device)
        if key not in self._rows:
            placed, text, reference = self._placed(layout), layout.text, layout.reference
            with torch.inference_mode(False):
                rows = torch.zeros(len(q), layout.total, placed[0].shape[1])
                for row in batch.rows:
                    rows[row.row, text.start : text.stop] = placed[row.prompt]
                for n, channel in enumerate(self.record.channels):
                    rows[:, reference.start : reference.stop, n] += float(channel.reference)
                self._rows[key] = rows.to(q.device)
        return self._rows[key]

    def _require_references(self, layout: Layout | None) -> None:
        """Raises P2PError for a call without reference latents if a map of them is recorded."""
        there = layout is not None and layout.reference.count
        if not there and any(channel.reference for channel in self.record.channels):
            raise P2PError(
                "a model call with reference latents, for a mask by the reference",
                "one without them",
                "Use an edit model with a reference image, or a mask by words.",
                topic="no reference",
            )

    def _placed(self, layout: Layout | None) -> Sequence[Tensor]:
        """The indicators on the text columns of a layout."""
        if layout is None:
            return self._indicators
        spans = [layout.prompt(len(ones)) for ones in self._indicators]
        return [
            F.pad(ones, (0, 0, span.start, layout.text.count - span.stop))
            for ones, span in zip(self._indicators, spans, strict=True)
        ]

    def _add(self, call: Call, part: int, maps: Tensor, batch: EditedBatch) -> None:
        """maps: [R, h·w, n] of the rows of the batch."""
        grid = rearrange(maps, "r (h w) n -> r n h w", h=call.size[0])
        if (call.layer, part) not in self._means:
            if call.layer not in self._maps:
                shape = self.record.parts, self.scene.rows.count, *grid.shape[1:]
                self._maps[call.layer] = grid.new_zeros(shape)
            self._means[call.layer, part] = Mean(self._maps[call.layer][part])
        self._means[call.layer, part].add(grid, self._targets(batch))
        self.version += 1

    def observe_self(self, call: Call, q: Tensor, k: Tensor, batch: EditedBatch) -> None:
        """A self-attention call. q, k: [B, h·w, C]."""
        if not batch.rows:
            return
        if q.shape[-2] > SELF_TOKENS:
            raise P2PError(
                f"self-attention with at most {SELF_TOKENS} image tokens",
                f"{call.size[1]} × {call.size[0]} in {call.layer.name}",
                "Record self-attention at a lower resolution.",
            )
        origins = {edit.row: edit.source for edit in batch.edits}
        used = [origins.get(row.row, row.row) for row in batch.rows]
        maps = torch.stack([probabilities(q[row], k[row], call.heads) for row in used])
        grid = rearrange(maps, "r (h w) n -> r h w n", h=call.size[0])
        self._self = self._self or Mean(grid.new_zeros(self.scene.rows.count, *grid.shape[1:]))
        self._self.add(grid, self._targets(batch))
        finite = torch.isfinite(maps).all().to(self._self.value.device)
        self._self_finite[call.layer] = finite & self._self_finite.get(call.layer, True)

    def _probe(self, call: Call, batch: EditedBatch, k: Tensor) -> Probe:
        columns = k.shape[-2]
        key = (batch, columns, k.device)
        if key not in self._probes:
            self._probes[key] = prepare_probe(batch, self._placed(call.layout), columns, k.device)
        return self._probes[key]

    def _targets(self, batch: EditedBatch) -> list[int]:
        return [self.scene.rows.row(row.sample, row.prompt) for row in batch.rows]

    def means(self) -> Mapping[Layer, Tensor]:
        """The means so far, for a record with one part: [P·B, n, h, w] by layer."""
        return {layer: mean.value for (layer, _), mean in self._means.items()}

    def recorded(self, returned: Sequence[Tensor], blend: Tensor | None = None) -> Recorded:
        """The contents for the store. returned: the latents of the run. Raises P2PError for NaN."""
        maps = {layer: values.cpu() for layer, values in self._maps.items()}
        _require_finite({layer: torch.isfinite(values).all() for layer, values in maps.items()})
        _require_finite(self._self_finite)
        own = None if self._self is None else self._self.value.cpu()  # [P·B, h, w, N]
        return Recorded(
            self.scene,
            self.record.channels,
            MappingProxyType(maps),
            self_map=None if own is None else rearrange(own, "r h w n -> r (h w) n"),
            self_size=None if own is None else (own.shape[1], own.shape[2]),
            blend=None if blend is None else blend.cpu(),
            rule=self.record.rule,
            signatures=tuple(map(signature, returned)),
        )


class Recording(Hooks):
    """A record's hooks."""

    def __init__(self, record: Record, scene: Scene) -> None:
        self.recorder = Recorder(record, scene)
        self.observer = self.recorder if record.channels or record.self_scale else None
        self._recorded: Recorded | None = None

    def mask(self) -> Tensor | None:
        """The mask to keep with the maps, or None."""
        return None

    def collect(self, returned: Sequence[Tensor]) -> None:
        self._recorded = self.recorder.recorded(returned, self.mask())

    def publish(self) -> None:
        if self._recorded is not None:
            self.recorder.record.store.fill(self._recorded)


def _require_room(record: Record, scene: Scene) -> None:
    """Raises P2PError if the means of a run take too much memory."""
    rows, words = scene.rows.count, len(record.channels)
    layers = [layer for layer in scene.layers if layer in record.layers]
    cells = {layer: math.prod(scene.size(layer)) for layer in layers}
    values = rows * words * record.parts * sum(cells.values()) if words else 0
    own = max((cells[layer] for layer in layers if record.keeps_self(layer)), default=0)
    what = f"maps of {words} words in {len(layers)} layers, {record.parts} parts and {rows} images"
    hint = "Record fewer words, layers or parts of the sampling."
    require_memory(what, values + rows * own**2, MAPS, hint)


def _require_finite(finite: Mapping[Layer, Tensor]) -> None:
    """finite: for each layer, whether all of its maps are finite."""
    if finite and not bool(torch.stack([each.cpu() for each in finite.values()]).all()):
        layer = next(layer for layer, good in finite.items() if not good)
        raise P2PError(
            "finite attention maps",
            f"NaN or infinity in {layer.name}",
            "Run the model in a higher precision, or use another attention backend.",
            topic="precision",
        )


def _indicator(channels: Sequence[Channel], prompt: int, scene: Scene) -> Tensor:
    """[T, n], 1 where a column of the prompt belongs to the channel."""
    indicator = torch.zeros(scene.prompts.prompts[prompt].columns, len(channels))
    for n, channel in enumerate(channels):
        indicator[list(channel.columns[prompt]), n] = 1
    return indicator
