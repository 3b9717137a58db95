"""The frozen description of all edits of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import torch

from .architecture.layers import Layer, LayerFilter
from .attention.editing import Mixing
from .errors import P2PError
from .maps.blending import Blend
from .maps.store import Record
from .real.pinning import RealImage
from .words.align import Alignment, align_edit, align_refine, align_swap
from .words.prompts import Prompt, PromptSet
from .words.weights import Weights, WordWeight
from .words.windows import Window, WordWindow
from .words.wording import in_words

Method = Literal["swap", "refine", "edit"]
_CROSS, _SELF = Window(0.0, 0.4), Window(0.0, 0.6)  # measured (docs/edit_quality.md)
_CROSS_WEIGHTS, _SELF_WEIGHTS = Window(0.0, 0.8), Window(0.0, 0.4)  # the paper's code
_ALL = LayerFilter()
_ALIGNERS: dict[str, Callable[[Prompt, Prompt], Alignment]] = {
    "swap": align_swap,
    "refine": align_refine,
    "edit": align_edit,
}


@dataclass(frozen=True)
class TokenEdit:
    """One node's edit: how tokens are aligned, when and where the source's attention is used.

    cross: window of cross-attention; words: windows of single words of the edit prompts in its place.
    self_attention: window in which the edit uses the source's self-attention, in layers of at most
    self_tokens image tokens (0: in layers of any size). The paper's code ends the windows at 0.8 and 0.4.
    """

    method: Method = "swap"
    cross: Window = _CROSS
    self_attention: Window = _SELF
    words: tuple[WordWindow, ...] = ()
    layers: LayerFilter = _ALL
    self_tokens: int = 0

    def uses_self_attention(self, layer: Layer, progress: float, tokens: int) -> bool:
        small = not self.self_tokens or tokens <= self.self_tokens
        return small and layer in self.layers and self.self_attention.active(progress)


@dataclass(frozen=True)
class Reweight:
    """Attention on words of the edit prompts is multiplied by their weights, inside the cross window.

    On a MODEL without a token edit, words of both prompts take the source's attention in these windows, as in
    the paper's re-weighting; with one, that edit's windows say what does.
    """

    weights: Weights
    cross: Window = _CROSS_WEIGHTS
    self_attention: Window = _SELF_WEIGHTS
    layers: LayerFilter = _ALL

    @property
    def alone(self) -> TokenEdit:
        return TokenEdit("refine", self.cross, self.self_attention, layers=self.layers)


Step = TokenEdit | Reweight | Blend | Record | RealImage


@dataclass(frozen=True)
class EditPlan:
    """The prompts of a run and what its nodes do, in their order.

    Where two token edits act on a column, the later wins; weights multiply; local blends follow each other.
    real: the picture that is the source, where it is not drawn from noise.
    """

    prompts: PromptSet
    edits: tuple[TokenEdit, ...] = ()
    reweights: tuple[Reweight, ...] = ()
    blends: tuple[Blend, ...] = ()
    records: tuple[Record, ...] = ()
    real: RealImage | None = None

    def __post_init__(self) -> None:
        if self.edits or self.blends or self.reweights:
            self.prompts.with_edits()
        for edit in self.edits:
            self.prompts.require((entry.word for entry in edit.words), self.prompts.edits)
        for reweight in self.reweights:
            reweight.weights.require_words(self.prompts)
        for blend in self.blends:
            blend.require_words(self.prompts)

    def then(self, prompts: PromptSet, step: Step) -> EditPlan:
        """The plan with one more step. Raises P2PError when `prompts` are not those of the plan.

        Weights for a source prompt without edit prompts make rows of their own: the source, once a block.
        """
        plan = self
        if isinstance(step, Reweight) and not self.prompts.edits:
            plan = replace(self, prompts=self.prompts.copies(len(step.weights.blocks)))
        require_same(self.prompts, prompts, plan.prompts)
        if isinstance(step, TokenEdit):
            return replace(plan, edits=(*plan.edits, step))
        if isinstance(step, Reweight):
            return replace(plan, reweights=(*plan.reweights, step))
        if isinstance(step, Blend):
            return replace(plan, blends=(*plan.blends, step))
        if isinstance(step, RealImage):
            step.require_prompt(plan.prompts.source.text)
            if plan.real is not None:
                raise P2PError("one Real Image on a MODEL", "a second one", "Take one of them out.")
            return replace(plan, real=step)
        return replace(plan, records=(*plan.records, step))

    @property
    def token_edits(self) -> tuple[TokenEdit, ...]:
        """The token edits, or those that re-weighting alone stands for."""
        return self.edits or tuple(reweight.alone for reweight in self.reweights)

    def self_attention(self, layer: Layer, progress: float, tokens: int = 0) -> bool:
        """Whether edit rows use the source's queries and keys in this layer of `tokens` image tokens now."""
        return any(edit.uses_self_attention(layer, progress, tokens) for edit in self.token_edits)

    def mixing(
        self, row: int, layer: Layer, progress: float, make: Callable[..., Mixing | None] | None = None
    ) -> Mixing | None:
        """Column mixing of edit prompt `row` (1..E) in this cross-attention layer now, None for no mixing.

        make: `mixing_of`, or what remembers its results.

        Edits are applied in order: with mapper M and alpha a,
        W_s ← W_s·diag(1−a) + M·diag(a), w_e ← w_e·(1−a);
        then both are multiplied by the equalizer of the weights.
        """
        active = tuple(e for e in self.token_edits if layer in e.layers)
        states = tuple(_alpha_state(e, progress) for e in active)
        weights = tuple(
            weight
            for r in self.reweights
            if layer in r.layers and r.cross.active(progress)
            for weight in r.weights.of_row(row)
        )
        if not weights and not any(any(state) for state in states):
            return None
        return (make or mixing_of)(self.prompts, active, states, weights, row)

    def describe(self) -> str:
        """What the plan will do, in words, one line an edit prompt."""
        return "\n".join(self._describe(row) for row in range(1, len(self.prompts.prompts)))

    def _describe(self, row: int) -> str:
        edit = self.prompts.prompts[row]
        parts = [in_words(e.method, self.prompts.source, edit) for e in self.edits[-1:]]
        weights = [w for r in self.reweights for w in r.weights.of_row(row) if edit.has(w.word)]
        parts += ["weights: " + ", ".join(f"{w.word} × {w.weight:g}" for w in weights)] * bool(weights)
        return " · ".join(parts) or "the edit prompt alone"


def require_same(plan: PromptSet, given: PromptSet, copied: PromptSet | None = None) -> None:
    """Raise P2PError unless both are the same prompts.

    A source prompt without edits is the same as its copies, which re-weighting made of it.
    """
    copies = not given.edits and set(plan.prompts) == {given.source}
    if plan != given and given != copied and not copies:
        same_text = "the same text from another CLIP" if plan.texts == given.texts else ""
        raise P2PError(
            f"the prompts of the earlier node in the chain, {' → '.join(map(repr, plan.texts))}",
            same_text or " → ".join(map(repr, given.texts)),
            "Connect all Prompt-to-Prompt nodes of one MODEL to the same Prompt Pair.",
        )


def _alpha_state(edit: TokenEdit, progress: float) -> tuple[bool, ...]:
    """Which windows of an edit are open: that of cross-attention, then those of its words."""
    return edit.cross.active(progress), *(w.window.active(progress) for w in edit.words)


def mixing_of(
    prompts: PromptSet,
    edits: tuple[TokenEdit, ...],
    states: tuple[tuple[bool, ...], ...],
    weights: tuple[WordWeight, ...],
    row: int,
) -> Mixing | None:
    """The mixing of these edits in these states of their windows, see `EditPlan.mixing`."""
    source, target = prompts.source, prompts.prompts[row]
    with torch.inference_mode(False):  # so that it serves in any mode
        from_source = torch.zeros(source.columns, target.columns)
        own = torch.ones(target.columns)
        for edit, state in zip(edits, states, strict=True):
            alignment = _ALIGNERS[edit.method](source, target)
            alpha = torch.tensor(alignment.alpha) * _open_columns(edit, state, target)
            from_source = from_source * (1 - alpha) + _matrix(alignment) * alpha
            own = own * (1 - alpha)
        equalizer = _equalizer(weights, target)
        from_source, own = from_source * equalizer, own * equalizer
        unchanged = bool((own == 1).all()) and not bool(from_source.any())
    return None if unchanged else Mixing(from_source, own)


def _matrix(alignment: Alignment) -> torch.Tensor:
    """The mapper, [T_s, T_e]."""
    sources, edits, shares = zip(*alignment.mapper, strict=True)
    matrix = torch.zeros(alignment.source_columns, len(alignment.alpha))
    matrix[torch.tensor(sources), torch.tensor(edits)] = torch.tensor(shares)
    return matrix


def _open_columns(edit: TokenEdit, state: tuple[bool, ...], target: Prompt) -> torch.Tensor:
    """[T_e], 1 where the window of the column's word (else of the rest) is open."""
    columns = torch.full((target.columns,), float(state[0]))
    for entry, is_open in zip(edit.words, state[1:], strict=True):
        if target.has(entry.word):
            columns[list(target.find(entry.word))] = float(is_open)
    return columns


def _equalizer(weights: tuple[WordWeight, ...], target: Prompt) -> torch.Tensor:
    """[T_e], the product of the weights of each column's words."""
    equalizer = torch.ones(target.columns)
    for entry in weights:
        if target.has(entry.word):
            equalizer[list(target.find(entry.word))] *= entry.weight
    return equalizer
