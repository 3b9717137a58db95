"""The frozen description of all edits of a run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

from .architecture.layers import Layer
from .architecture.names import Architecture
from .edits.columns import MixingKey, mixing_of
from .edits.steps import Reweight, TokenEdit
from .errors import P2PError
from .step import Kind, Step
from .words.prompts import PromptSet
from .words.windows import Schedule

S = TypeVar("S", bound=Step)


@dataclass(frozen=True)
class EditPlan:
    """The prompts of a run and the steps of its nodes, in order.

    If two token edits act on a column, the later one wins. Weights multiply. Local blends apply in order.
    """

    prompts: PromptSet
    steps: tuple[Step, ...] = ()

    def then(self, prompts: PromptSet, step: Step) -> EditPlan:
        """The plan with one more step.

        Raises P2PError if `prompts` are not those of the plan, or if the step cannot join it.
        """
        extended = step.extended(self.prompts)
        require_same(self.prompts, prompts, extended)
        step.check(extended, self.steps)
        steps = (step, *self.steps) if step.leads else (*self.steps, step)
        return replace(self, prompts=extended, steps=steps)

    def resolved(self, schedule: Schedule, architecture: Architecture) -> EditPlan:
        """The plan with the windows of one sampling."""
        return replace(self, steps=tuple(step.resolved(schedule, architecture) for step in self.steps))

    def of(self, kind: type[S]) -> Iterator[S]:
        """The steps of a kind, in order."""
        return (step for step in self.steps if isinstance(step, kind))

    @cached_property
    def timed(self) -> bool:
        """Whether anything depends on the progress of the sampling."""
        return any(step.timed for step in self.steps)

    @cached_property
    def token_edits(self) -> tuple[TokenEdit, ...]:
        """The token edits, or without any, those implied by re-weighting."""
        return tuple(self.of(TokenEdit)) or tuple(reweight.alone for reweight in self.of(Reweight))

    @cached_property
    def _reweights(self) -> tuple[Reweight, ...]:
        return tuple(self.of(Reweight))

    def injects(self, layer: Layer, progress: float, tokens: int = 0) -> bool:
        """Whether edit rows use the source's queries and keys in this layer now. tokens: its image tokens."""
        return any(edit.injects(layer, progress, tokens) for edit in self.token_edits)

    def mixing_keys(self, layer: Layer, progress: float) -> tuple[MixingKey | None, ...]:
        """For each edit prompt, the key of its column mixing in this layer now, None for no mixing."""
        edits = tuple(edit for edit in self.token_edits if layer in edit.layers)
        windows = tuple(edit.open_windows(progress) for edit in edits)
        active = [r for r in self._reweights if layer in r.layers and r.cross.active(progress)]
        keys: list[MixingKey | None] = []
        for row in range(1, self.prompts.count):
            weights = tuple(entry for reweight in active for entry in reweight.weights.of_row(row))
            acts = bool(weights) or any(any(states) for states in windows)
            keys.append(MixingKey(row, edits, windows, weights) if acts else None)
        return tuple(keys)

    def reads(self, layer: Layer, progress: float, tokens: int) -> Iterator[Kind]:
        """The kinds of attention in which edit rows use the source's queries and keys in this layer now."""
        if self.injects(layer, progress, tokens):
            yield "self"
        if any(self._takes(key) for key in self.mixing_keys(layer, progress) if key is not None):
            yield "cross"

    def _takes(self, key: MixingKey) -> bool:
        """Whether a mixing takes any of the source's attention; padding follows the columns at the ends."""
        mixing = mixing_of(self.prompts, key)
        return mixing is not None and (bool(mixing.from_source.any()) or not bool(mixing.own[[0, -1]].all()))

    def describe(self) -> str:
        """What the plan will do, as text, one line per edit prompt."""
        return "\n".join(self._describe(row) for row in range(1, self.prompts.count))

    def _describe(self, row: int) -> str:
        source, edit = self.prompts.source, self.prompts.prompts[row]
        parts = [step.describe(source, edit, row) for step in self.steps]
        return " · ".join(filter(None, parts)) or "the edit prompt alone"


def require_same(plan: PromptSet, given: PromptSet, extended: PromptSet | None = None) -> None:
    """Raise P2PError unless both are the same prompts.

    A source prompt without edits counts as equal to the copies that re-weighting made of it.
    """
    copies = not given.edits and set(plan.prompts) == {given.source}
    if plan != given and given != extended and not copies:
        same_text = "the same text with another encoding" if plan.texts == given.texts else ""
        raise P2PError(
            f"the prompts of the earlier edits, {' → '.join(map(repr, plan.texts))}",
            same_text or " → ".join(map(repr, given.texts)),
            "Use one set of prompts for all edits of a model.",
            topic="other prompts",
        )
