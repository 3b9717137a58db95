"""The steps that edit attention: token edits and weights (paper section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from ..architecture.layers import Layer, LayerFilter
from ..step import Step
from ..words.prompts import Prompt, PromptSet
from ..words.weights import Weights
from ..words.windows import Window, WordWindow
from ..words.wording import in_words

EditMethod = Literal["swap", "refine", "edit"]
EDIT_METHODS: tuple[EditMethod, ...] = get_args(EditMethod)


@dataclass(frozen=True)
class Windows:
    """Windows of cross- and self-attention."""

    cross: Window
    self_attention: Window


EDIT_WINDOWS = Windows(Window(0.0, 0.4), Window(0.0, 0.6))  # measured: docs/edit_quality.md
WEIGHT_WINDOWS = Windows(Window(0.0, 0.8), Window(0.0, 0.4))  # the paper's code


@dataclass(frozen=True)
class TokenEdit(Step):
    """One node's edit: how tokens are aligned, and when and where the source's attention is used.

    cross: window of cross-attention; words: windows that replace it for single words of the edit prompts.
    self_attention: window in which the edit uses the source's self-attention, in layers with at most
    self_tokens image tokens (0: in layers of any size).
    """

    method: EditMethod = "swap"
    cross: Window = EDIT_WINDOWS.cross
    self_attention: Window = EDIT_WINDOWS.self_attention
    words: tuple[WordWindow, ...] = ()
    layers: LayerFilter = field(default_factory=LayerFilter)
    self_tokens: int = 0

    @property
    def filter(self) -> LayerFilter:
        return self.layers

    @property
    def timed(self) -> bool:
        windows = (self.cross, self.self_attention, *(entry.window for entry in self.words))
        return not all(window.empty or window == Window() for window in windows)

    def check(self, prompts: PromptSet, before: Sequence[Step]) -> None:
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

    def extended(self, prompts: PromptSet) -> PromptSet:
        """Weights for a source prompt alone add rows: the source again, once per block of weights."""
        return prompts.copies(len(self.weights.blocks))

    def check(self, prompts: PromptSet, before: Sequence[Step]) -> None:
        self.weights.require_words(prompts.with_edits())

    def describe(self, source: Prompt, edit: Prompt, row: int) -> str:
        weights = [entry for entry in self.weights.of_row(row) if edit.has(entry.word)]
        texts = (f"{entry.word} × {entry.weight:g}" for entry in weights)
        return f"weights: {', '.join(texts)}" if weights else ""
