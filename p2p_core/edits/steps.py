"""The steps that edit attention: token edits and weights (paper section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, get_args

from ..architecture.layers import Layer, LayerFilter
from ..architecture.names import Architecture
from ..limits import MATRIX, require_memory
from ..step import Step
from ..words.prompts import Prompt, PromptSet
from ..words.weights import Weights
from ..words.windows import Schedule, Window, Windows, WordWindow
from ..words.wording import in_words
from .presets import Preset, ends_of

EditMethod = Literal["swap", "refine", "edit"]
EDIT_METHODS: tuple[EditMethod, ...] = get_args(EditMethod)


EDIT_WINDOWS = ends_of("balanced", "unet").windows
WEIGHT_WINDOWS = Windows(Window(0.0, 0.8), Window(0.0, 0.4))  # the paper's code


@dataclass(frozen=True)
class TokenEdit(Step):
    """One node's edit: how tokens are aligned, and when and where the source's attention is used.

    cross: window of cross-attention; words: windows that replace it for single words of the edit prompts.
    self_attention: window in which the edit uses the source's self-attention, in layers with at most
    self_tokens image tokens (0: in layers of any size). preset: replaces both windows when a run starts, by
    those for the model and the number of steps.
    """

    method: EditMethod = "swap"
    cross: Window = EDIT_WINDOWS.cross
    self_attention: Window = EDIT_WINDOWS.self_attention
    words: tuple[WordWindow, ...] = ()
    layers: LayerFilter = field(default_factory=LayerFilter)
    self_tokens: int = 0
    preset: Preset | None = None
    origin: object = field(default=None, compare=False, repr=False)

    @property
    def filter(self) -> LayerFilter:
        return self.layers

    @property
    def timed(self) -> bool:
        return not all(window.empty or window == Window() for window in self.windows.values())

    @property
    def windows(self) -> Mapping[str, Window]:
        words = {f"window of {entry.word}": entry.window for entry in self.words}
        return {"cross window": self.cross, "self window": self.self_attention, **words}

    def resolved(self, schedule: Schedule, architecture: Architecture) -> TokenEdit:
        cross, own = self.cross, self.self_attention
        if self.preset is not None:
            windows = ends_of(self.preset, architecture).windows_in(schedule)
            cross, own = windows.cross, windows.self_attention
        words = tuple(replace(entry, window=schedule.acting(entry.window)) for entry in self.words)
        return replace(self, cross=schedule.acting(cross), self_attention=schedule.acting(own), words=words)

    def check(self, prompts: PromptSet, before: Sequence[Step]) -> None:
        _require_room(prompts)
        prompts.with_edits().require((entry.word for entry in self.words), prompts.edits)

    def describe(self, source: Prompt, edit: Prompt, row: int) -> str:
        return in_words(self.method, source, edit)

    def injects(self, layer: Layer, progress: float, tokens: int) -> bool:
        """Whether edit rows use the source's self-attention in this layer now."""
        small = not self.self_tokens or tokens <= self.self_tokens
        return small and layer in self.layers and self.self_attention.active(progress)

    def open_windows(self, progress: float) -> tuple[bool, ...]:
        """Which windows are open: the one of cross-attention, then those of single words."""
        return self.cross.active(progress), *(entry.window.active(progress) for entry in self.words)


@dataclass(frozen=True)
class Reweight(Step):
    """Multiplies the attention on words of the edit prompts by their weights, inside the cross window.

    Without a token edit on the model, words in both prompts take the source's attention in these windows, as
    in the paper's re-weighting. With one, the windows of that edit decide.
    """

    weights: Weights
    cross: Window = WEIGHT_WINDOWS.cross
    self_attention: Window = WEIGHT_WINDOWS.self_attention
    layers: LayerFilter = field(default_factory=LayerFilter)
    origin: object = field(default=None, compare=False, repr=False)

    @property
    def alone(self) -> TokenEdit:
        """The token edit that re-weighting implies if there is none."""
        return TokenEdit("refine", self.cross, self.self_attention, layers=self.layers)

    @property
    def filter(self) -> LayerFilter:
        return self.layers

    @property
    def timed(self) -> bool:
        return self.alone.timed

    @property
    def windows(self) -> Mapping[str, Window]:
        return {"window of the weights": self.cross}

    def resolved(self, schedule: Schedule, architecture: Architecture) -> Reweight:
        cross, own = schedule.acting(self.cross), schedule.acting(self.self_attention)
        return replace(self, cross=cross, self_attention=own)

    def extended(self, prompts: PromptSet) -> PromptSet:
        """Weights for a source prompt alone add rows: the source again, once per block of weights."""
        return prompts.copies(len(self.weights.blocks))

    def check(self, prompts: PromptSet, before: Sequence[Step]) -> None:
        _require_room(prompts)
        self.weights.require_words(prompts.with_edits())

    def describe(self, source: Prompt, edit: Prompt, row: int) -> str:
        weights = [entry for entry in self.weights.of_row(row) if edit.has(entry.word)]
        texts = (f"{entry.word} × {entry.weight:g}" for entry in weights)
        return f"weights: {', '.join(texts)}" if weights else ""


def _require_room(prompts: PromptSet) -> None:
    """Raises P2PError if the mixing of a pair of prompts takes too much memory."""
    source = prompts.source.columns
    for edit in prompts.edits:
        what = f"the mixing of {source:,} and {edit.columns:,} tokens"
        require_memory(what, source * edit.columns, MATRIX, "Shorten the prompts.")
