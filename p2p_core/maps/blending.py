"""Local blend: outside a mask the edit keeps the source's latent (paper section 3.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from ..architecture.layers import Layer, LayerFilter
from ..errors import P2PError
from ..rows import blended
from ..step import Hooks, Scene, Step
from ..words.prompts import PromptSet
from ..words.windows import Window
from .masks import MaskRule, require_share, soft_edge
from .recording import Record, Recording
from .resolution import map_scale
from .store import Channel, MapStore


@dataclass(frozen=True, eq=False)
class Blend(Step):
    """One node's local blend.

    source, edit, subtract: words. The mask covers those of the source and of the edit, minus the subtracted
    ones; with a rule that is `below`, where the edit attends little to reference latents. start: progress
    from which the latent is blended. layers: the layers of the maps, None for those of `map_scale`.
    """

    source: tuple[str, ...]
    edit: tuple[str, ...]
    subtract: tuple[str, ...]
    store: MapStore
    rule: MaskRule = field(default_factory=MaskRule)
    start: float = 0.2
    layers: LayerFilter | None = None

    def __post_init__(self) -> None:
        require_share("start", self.start)
        if self.rule.below and (self.source or self.edit or self.subtract):
            raise P2PError(
                "no words for a mask by the reference",
                ", ".join((*self.source, *self.edit, *self.subtract)),
                "Remove the words, or compute the mask from them.",
            )
        if not (self.source or self.edit or self.rule.below) and self.rule.mask is None:
            raise P2PError(
                "words to blend around, or a mask",
                "neither",
                "List the words that change, or provide a mask.",
                topic="nothing to blend",
            )

    @property
    def by_maps(self) -> bool:
        """Whether the mask is computed from attention maps."""
        return bool(self.source or self.edit or self.rule.below) and not self.rule.ignores_words

    @property
    def window(self) -> Window:
        """When it acts."""
        return Window(self.start, 1.0)

    @property
    def filter(self) -> LayerFilter | None:
        return self.layers

    @property
    def timed(self) -> bool:
        return self.start > 0

    def check(self, prompts: PromptSet, before: Sequence[Step]) -> None:
        """Raises P2PError for words that are not in their prompts."""
        prompts.with_edits()
        prompts.require(self.source, [prompts.source])
        prompts.require(self.edit, prompts.edits)
        prompts.require(self.subtract)

    def require_layers(self, layers: Sequence[Layer]) -> None:
        if self.by_maps:
            super().require_layers(layers)

    def begin(self, scene: Scene) -> Hooks:
        return _Blending(self, scene)

    def record(self, scene: Scene) -> Record:
        """The maps that the mask needs; none for a user's mask alone."""
        chosen = self.layers or LayerFilter(f"1/{map_scale(scene.layers, scene.latent)}")
        if not self.by_maps:
            return Record((), self.store, chosen)
        return Record(self._channels(scene.prompts), self.store, chosen, rule=self.rule)

    def _channels(self, prompts: PromptSet) -> tuple[Channel, ...]:
        if self.rule.below:
            return (Channel("reference", ((),), reference=True),)
        added = [self.source, *[self.edit] * len(prompts.edits)]
        subtracted = [self.subtract] * prompts.count
        return Channel("blend", _columns(prompts, added)), Channel("subtract", _columns(prompts, subtracted))


def _columns(prompts: PromptSet, words: Sequence[Sequence[str]]) -> tuple[tuple[int, ...], ...]:
    """For each prompt, the columns of those words that it contains."""
    return tuple(
        tuple(dict.fromkeys(c for word in some if prompt.has(word) for c in prompt.find(word)))
        for prompt, some in zip(prompts.prompts, words, strict=True)
    )


class _Blending(Recording):
    """A blend's hooks: the mask of the means so far, updated when there are new maps."""

    def __init__(self, blend: Blend, scene: Scene) -> None:
        super().__init__(blend.record(scene), scene)
        self.blend, self.scene = blend, scene
        self._users = blend.rule.users_mask(scene.rows, scene.latent, scene.frames)
        self._mask: Tensor | None = None
        self._version = -1  # version of the maps that the mask was computed from

    def start(self, sigmas: Tensor, progress: Sequence[float]) -> None:
        if not any(map(self.blend.window.active, progress)):
            last = max(progress, default=0.0)
            raise P2PError(
                f"a local blend that starts by the last step, which is at {last:.3g}",
                f"a start of {self.blend.start:g}",
                "Lower the start, or sample to the end.",
                topic="late blend",
            )

    def before_model(self, rows: Tensor, sigma: float, progress: float) -> Tensor:
        return self.after_model(rows, progress)

    def after_model(self, clean: Tensor, progress: float) -> Tensor:
        if not self.blend.window.active(progress):
            return clean
        self._renew(clean)
        return clean if self._mask is None else blended(clean, self._mask, self.scene.rows.prompts)

    def _renew(self, like: Tensor) -> None:
        """Compute the mask again if there are new maps; the first call has none yet."""
        if self._mask is not None and self._version == self.recorder.version:
            return
        self._version, rule = self.recorder.version, self.blend.rule
        if self._users is not None:
            self._users = self._users.to(like.device)
        if self.blend.by_maps:
            maps = self.recorder.means()
            if maps:
                scene = self.scene
                mask = rule.of_maps(maps, self._users, scene.rows, scene.latent, scene.frames)
                self._mask = mask.to(like.device)
        elif self._users is not None:
            self._mask = soft_edge(self._users, rule.soft, self.scene.frames)

    def finish(self, rows: Tensor) -> Tensor:
        if self._mask is None:
            raise P2PError(
                "a local blend that acts at least once",
                f"none after {self.blend.start:g}",
                "Lower the start, or sample to the end.",
                topic="late blend",
            )
        return blended(rows, self._mask.to(rows.device), self.scene.rows.prompts)

    def mask(self) -> Tensor | None:
        return self._mask
