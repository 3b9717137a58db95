"""The state of one sampling: its run, the edited parts of a batch, its progress."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ...p2p_core.architecture.layers import Layer
from ...p2p_core.errors import P2PError
from ...p2p_core.run import Run
from ...p2p_core.step import Call

NODE = "Prompt-to-Prompt"  # node name in errors of a sampling
DIGITS = 5  # of progress: a call at the end of a window is not inside it by rounding
_ANY = 0.5  # progress when nothing depends on it


def alone(name: uuid.UUID) -> uuid.UUID:
    """The name of a conditioning's entry for the edit rows alone."""
    return uuid.uuid5(name, "edits")


def together(name: uuid.UUID) -> uuid.UUID:
    """The name of a conditioning's entry whose rows are followed by edit rows of another side."""
    return uuid.uuid5(name, "together")


class ProgressTable:
    """Timestep percent by sigma, 0 (noise) to 1 (finished): the inverse of the host's `percent_to_sigma`.

    Computed once per run for the levels of its schedule. A level in between, where second-order samplers
    evaluate, is added on first use. Runs on the CPU, because reading a schedule on the GPU makes it wait.
    """

    def __init__(self, model_sampling: Any, sigmas: Tensor) -> None:
        is_module = isinstance(model_sampling, nn.Module)
        self._schedule: Any = copy.deepcopy(model_sampling).to("cpu") if is_module else model_sampling
        self._known: dict[float, float] = {}
        self.levels = [self.at(sigma) for sigma in sigmas.tolist()]
        self.end = self.levels.pop() if self.levels else 1.0

    def at(self, sigma: float) -> float:
        if sigma not in self._known:
            self._known[sigma] = self._search(sigma)
        return self._known[sigma]

    def _search(self, sigma: float) -> float:
        low, high = 0.0, 1.0
        for _ in range(24):
            middle = (low + high) / 2
            if float(self._schedule.percent_to_sigma(middle)) > sigma:
                low = middle
            else:
                high = middle
        return round((low + high) / 2, DIGITS)


class Sampling:
    """One sampling of the host.

    layers: by the host's block names. edited: the host's ids of the edited conditionings; plain: ids of those
    with one prompt for all rows.
    """

    def __init__(self, run: Run, table: ProgressTable, edited: frozenset[Any], plain: frozenset[Any]) -> None:
        self.run, self.table, self.edited, self.plain = run, table, edited, plain
        self.alone = frozenset(map(alone, edited))  # where edit rows are computed alone
        self.together = frozenset(map(together, edited))  # where edit rows of another side follow
        self.layers: Mapping[tuple[str, int, int], Layer] = {
            (layer.stage, layer.number, layer.index): layer for layer in run.scene.layers
        }
        self.denoised: Tensor | None = None  # the last prediction
        self._seen: list[tuple[Tensor, float]] = []  # the last tensors of sigmas and their values

    def same_level(self, sigmas: Tensor, as_of: Tensor) -> Tensor:
        """Register the sigmas of some rows of a model call, so that they need no other read."""
        if self.run.plan.timed:
            self._note(sigmas, self.sigma(as_of))
        return sigmas

    def sigma(self, sigmas: Tensor) -> float:
        """The noise level of a model call, read once: all parts of a call get the same tensor."""
        known = next((sigma for seen, sigma in self._seen if seen is sigmas), None)
        return self._note(sigmas, float(sigmas.flatten()[0])) if known is None else known

    def _note(self, sigmas: Tensor, sigma: float) -> float:
        self._seen = [(sigmas, sigma), *self._seen[:3]]
        return sigma

    def progress(self, sigmas: Tensor) -> float:
        """Timestep percent of a model call. Reads nothing if nothing depends on it."""
        return self.table.at(self.sigma(sigmas)) if self.run.plan.timed else _ANY

    def acts_on_self(self, options: Mapping[str, Any], tokens: int) -> bool:
        """Whether a self-attention call is edited or recorded. If not, its batch may have any form."""
        return self.run.acts_on_self(self._layer(options), self.progress(options["sigmas"]), tokens)

    def _layer(self, options: Mapping[str, Any]) -> Layer:
        return self.layers[(*options["block"], options["block_index"])]

    def call(self, options: Mapping[str, Any], q: Tensor, words: bool) -> Call:
        """The description of an attention call. words: whether it is cross-attention."""
        layer, paired = self._layer(options), self.paired(q.shape[0], options, words)
        size = self._size(layer, options, q.shape[1])
        progress, rows = self.progress(options["sigmas"]), (self.with_sources(options), self.others(options))
        return Call(layer, progress, size, options["n_heads"], paired, None, *rows)

    def _size(self, layer: Layer, options: Mapping[str, Any], tokens: int) -> tuple[int, int]:
        """Height and width of a layer, from the host's [B, C, h, w]. Maps need those of the whole picture."""
        height, width = options["activations_shape"][-2:]
        if tokens != height * width:
            raise P2PError(
                f"{width} × {height} image tokens in {layer.name}",
                f"{tokens} tokens",
                "Remove the node that merges tokens (ToMe), or close the self-attention window.",
            )
        rows, columns = self.run.scene.size(layer)
        if self.run.observed and (height, width) != (rows, columns):
            raise P2PError(
                f"attention over the whole image, {columns} × {rows} in {layer.name}",
                f"{width} × {height}",
                "Remove nodes that sample parts of the image separately or at a smaller size (areas, tiles).",
            )
        return height, width

    def with_sources(self, options: Mapping[str, Any]) -> bool:
        """Whether the paired parts of a batch hold source rows."""
        return not any(name in self.alone for name in options["uuids"])

    def others(self, options: Mapping[str, Any]) -> int:
        """The rows of a batch that follow its parts."""
        rows = self.run.scene.rows
        return len(rows.edited) if any(name in self.together for name in options["uuids"]) else 0

    def named(self, options: Mapping[str, Any], words: bool = True) -> tuple[bool, ...]:
        """`paired` by the names alone, for a batch of any form."""
        named = self.edited - self.plain if words else self.edited
        return tuple(name in named for name in options.get("uuids", ()))

    def paired(self, batch: int, options: Mapping[str, Any], words: bool) -> tuple[bool, ...]:
        """Which parts of the batch hold paired rows, by the host's conditioning id of each part.

        words: exclude the parts with one prompt for all rows.
        """
        plain = self.plain | frozenset(map(alone, self.plain)) if words else frozenset[Any]()
        named = (self.edited | self.alone | self.together) - plain
        paired = tuple(name in named for name in options["uuids"])
        if not any(paired):
            return paired  # a real picture's source may have no rows
        rows = self.run.scene.rows
        count = rows.count if self.with_sources(options) else len(rows.edited)
        if "ad_params" in options:
            raise P2PError("a batch of images", "frames of AnimateDiff", "Remove the motion model.")
        if batch != len(paired) * count + self.others(options):
            prompts = count // rows.samples
            raise P2PError(
                f"a batch of prompts × samples × parts, {prompts} × {rows.samples} × {len(paired)}",
                f"{batch} rows",
                "Remove the node that splits images or batches (HyperTile, context windows).",
            )
        return paired
