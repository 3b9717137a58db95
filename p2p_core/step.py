"""The interface of a plan's steps, and of their hooks in a sampling.

A step is frozen and says what one node wants. When a sampling starts, `begin` makes the step's hooks, an
object with state that is dropped with the run. A new kind of step overrides what it needs; plan and run know
none of them by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Tensor

from .architecture.dit import Layout
from .architecture.layers import Layer, LayerFilter, require_layers
from .architecture.names import Architecture
from .attention.calls import JointCall
from .attention.editing import EditedBatch
from .attention.joint import JointEdit
from .rows import Rows
from .words.prompts import Prompt, PromptSet
from .words.windows import Schedule, Window

Kind = Literal["cross", "self", "joint"]
"""Of an attention call: of the image to the text, to itself, or both in one softmax."""
Size = tuple[int, int]
"""Height and width."""


@dataclass(frozen=True)
class Scene:
    """The facts of a sampling: prompts, samples, the latent's size in cells, the layers of the model.

    cell: pixels per latent cell. frames: of a video. They stand one below the other, so that the height of
    `latent`, of maps and of masks is that of all frames.
    """

    prompts: PromptSet
    samples: int
    latent: Size
    layers: tuple[Layer, ...]
    cell: int = 8
    architecture: Architecture = "unet"
    frames: int = 1

    @property
    def rows(self) -> Rows:
        return Rows(self.prompts.count, self.samples)

    def size(self, layer: Layer) -> Size:
        """Height and width of a layer's image tokens."""
        height, width = (-(-side // layer.scale) for side in self.latent)
        return height, width


@dataclass(frozen=True)
class Call:
    """One attention call of a model. size: height and width of its N = h·w image tokens,
    with the frames of a video one below the other.

    progress: 0 (pure noise) to 1 (finished). paired: for each of the batch's equal parts, whether it holds
    paired rows. layout: where the tokens of a transformer stand, None in a U-Net. sources: whether paired
    parts hold source rows. others: how many rows follow the parts that belong to none of them.
    """

    layer: Layer
    progress: float
    size: Size
    heads: int
    paired: tuple[bool, ...]
    layout: Layout | None = None
    sources: bool = True
    others: int = 0


class Observer(Protocol):
    """Observes attention calls without changing them. q: [B, h·w, C]; k: [B, K, C]; or heads apart."""

    def observes(self, layer: Layer, progress: float) -> bool:
        """Whether to observe cross-attention of this layer at this progress."""
        ...

    def observes_self(self, layer: Layer, progress: float) -> bool:
        """Whether to observe self-attention of this layer at this progress."""
        ...

    def observe(self, call: Call, q: Tensor, k: Tensor, batch: EditedBatch) -> None:
        """A cross-attention call. batch: the same object for all calls with the same edits."""
        ...

    def observe_joint(
        self, call: Call, joint: JointCall, edits: Sequence[JointEdit], batch: EditedBatch
    ) -> None:
        """A joint attention call, as edited."""
        ...

    def observe_self(self, call: Call, q: Tensor, k: Tensor, batch: EditedBatch) -> None:
        """A self-attention call. batch: has no edits if edit rows use their own map."""
        ...


class Hooks:
    """What a step does in one sampling, called in this order. A step overrides the hooks it needs.

    Rows are latents or predictions [P·B, C, H, W]. observer: observes attention calls, if not None.
    """

    observer: Observer | None = None

    def start(self, sigmas: Tensor, progress: Sequence[float]) -> Tensor | None:
        """Called before the first model call. Returns the rows to start from, None for the host's noise.

        sigmas: [n+1]; progress: of the n model calls at the schedule's levels. Raises P2PError if the step
        cannot act in this schedule, before any time is spent on it.
        """

    def before_model(self, rows: Tensor, sigma: float, progress: float) -> Tensor:
        """The input rows of the model."""
        return rows

    def guided(self, with_text: Tensor, others: list[Tensor], progress: float) -> tuple[Tensor, list[Tensor]]:
        """The predictions for guidance: with the prompts, and those to guide away from."""
        return with_text, others

    def after_model(self, clean: Tensor, progress: float) -> Tensor:
        """The prediction of the clean rows, after guidance."""
        return clean

    def finish(self, rows: Tensor) -> Tensor:
        """The finished rows."""
        return rows

    def collect(self, returned: Sequence[Tensor]) -> None:
        """Collect the results of the run. returned: its latents. Raises P2PError for unusable results."""

    def publish(self) -> None:
        """Publishes the results. Called after all hooks have finished."""


class Step:
    """Abstract: one node's contribution to a plan.

    origin: the host's mark for the node, reported with the calls that its windows held.
    """

    origin: object = None

    @property
    def filter(self) -> LayerFilter | None:
        """The layers that the step was given, or None if it chooses them itself."""
        return None

    @property
    def leads(self) -> bool:
        """Whether it goes before all other steps, wherever its node is in the chain."""
        return False

    @property
    def timed(self) -> bool:
        """Whether it depends on the progress of the sampling."""
        return True

    @property
    def windows(self) -> Mapping[str, Window]:
        """Its windows of progress by name."""
        return {}

    def resolved(self, schedule: Schedule, architecture: Architecture) -> Step:
        """The step with the windows of one sampling: a preset's values, and no window between two calls."""
        return self

    def extended(self, prompts: PromptSet) -> PromptSet:
        """The prompts of a plan with this step."""
        return prompts

    def check(self, prompts: PromptSet, before: Sequence[Step]) -> None:
        """Raise P2PError if the step cannot join a plan with these prompts and steps."""

    def require_layers(self, layers: Sequence[Layer]) -> None:
        """Raise P2PError if the model has none of the layers that the step was given."""
        if self.filter is not None:
            require_layers(self.filter, layers)

    def describe(self, source: Prompt, edit: Prompt, row: int) -> str:
        """What it does to edit prompt `row` (1..E), as text; "" if there is nothing to say."""
        return ""

    def begin(self, scene: Scene) -> Hooks | None:
        """Its hooks for one sampling, or None."""
        return None
