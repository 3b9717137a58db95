"""What a plan asks of its steps, and what a sampling asks of their hooks.

A step is frozen and says what one node wants. When a sampling starts, `begin` makes the step's hooks, an
object with state that is dropped with the run. A new kind of step overrides what it needs; plan and run know
none of them by name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from .architecture.layers import Layer, LayerFilter, require_layers
from .attention.editing import EditedBatch
from .rows import Rows
from .words.prompts import Prompt, PromptSet

Size = tuple[int, int]
"""Height and width."""


@dataclass(frozen=True)
class Scene:
    """What a sampling is about: prompts, rows, the latent's size in cells, the layers of the model.

    cell: pixels per latent cell.
    """

    prompts: PromptSet
    samples: int
    latent: Size
    layers: tuple[Layer, ...]
    cell: int = 8

    @property
    def rows(self) -> Rows:
        return Rows(self.prompts.count, self.samples)


@dataclass(frozen=True)
class Call:
    """One attention call of a model. size: height and width of its N = h·w image tokens.

    progress: 0 (pure noise) to 1 (finished). paired: for each equal part of the batch whether its rows are
    those of the paired prompts.
    """

    layer: Layer
    progress: float
    size: Size
    heads: int
    paired: tuple[bool, ...]


class Observer(Protocol):
    """Looks at attention calls without changing them. q: [B, h·w, C]; k: [B, K, C]."""

    def observes(self, layer: Layer, progress: float) -> bool:
        """Whether cross-attention of this layer is of interest now."""
        ...

    def observes_self(self, layer: Layer, progress: float) -> bool:
        """Whether self-attention of this layer is of interest now."""
        ...

    def observe(self, call: Call, q: Tensor, k: Tensor, batch: EditedBatch) -> None:
        """A cross-attention call; `batch` is the same object in all calls that are edited alike."""
        ...

    def observe_self(self, call: Call, q: Tensor, k: Tensor, batch: EditedBatch) -> None:
        """A self-attention call; `batch` has no edits where edit rows use their own map."""
        ...


class Hooks:
    """What a step does in one sampling, called in this order. A step overrides the hooks it needs.

    Rows are latents or predictions [P·B, C, H, W]. observer: what looks at attention calls, if anything.
    """

    observer: Observer | None = None

    def start(self, sigmas: Tensor, progress: Sequence[float]) -> Tensor | None:
        """Before the first model call: the rows to start from, None for the host's noise.

        sigmas: [n+1]; progress: of the n model calls at the schedule's levels. Raises P2PError where the
        step cannot do its work in this schedule, before it is paid for.
        """

    def before_model(self, rows: Tensor, sigma: float, progress: float) -> Tensor:
        """The rows that go into the model."""
        return rows

    def guided(self, with_text: Tensor, others: list[Tensor], progress: float) -> tuple[Tensor, list[Tensor]]:
        """The predictions that guidance works on: with the prompts, and those it guides away from."""
        return with_text, others

    def after_model(self, clean: Tensor, progress: float) -> Tensor:
        """The prediction of the clean rows, after guidance."""
        return clean

    def finish(self, rows: Tensor) -> Tensor:
        """The finished rows."""
        return rows

    def collect(self, returned: Sequence[Tensor]) -> None:
        """Results of the run, whose latents were returned. Raises P2PError where they cannot be used."""

    def publish(self) -> None:
        """Leave the results for later; called when all hooks have collected theirs."""


class Step:
    """Abstract: what one node adds to a plan."""

    @property
    def filter(self) -> LayerFilter | None:
        """The layers that the step was given, None where it chooses them itself."""
        return None

    @property
    def leads(self) -> bool:
        """Whether it goes before all other steps, wherever its node stands in the chain."""
        return False

    @property
    def timed(self) -> bool:
        """Whether what it does depends on the progress of the sampling."""
        return True

    def extended(self, prompts: PromptSet) -> PromptSet:
        """The prompts of a plan that takes the step."""
        return prompts

    def check(self, prompts: PromptSet, before: Sequence[Step]) -> None:
        """Raise P2PError where the step cannot join a plan of these prompts and steps."""

    def require_layers(self, layers: Sequence[Layer]) -> None:
        """Raise P2PError where the model has none of the layers that the step was given."""
        if self.filter is not None:
            require_layers(self.filter, layers)

    def describe(self, source: Prompt, edit: Prompt, row: int) -> str:
        """What it does to edit prompt `row` (1..E), in words, "" for nothing to say."""
        return ""

    def begin(self, scene: Scene) -> Hooks | None:
        """Its hooks in a sampling, None where it needs none."""
        return None
