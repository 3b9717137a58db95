"""The frozen description of all edits of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Literal

import torch

from .align import Alignment, align_swap, swap_changes
from .attention import Mixing
from .errors import P2PError
from .layers import Layer, LayerFilter
from .prompts import Prompt, PromptSet
from .schedule import Window, WordWindow

Method = Literal["swap"]
_CROSS, _SELF = Window(0.0, 0.8), Window(0.0, 0.4)  # the paper's code
_ALL = LayerFilter()
_ALIGNERS: dict[str, Callable[[Prompt, Prompt], Alignment]] = {"swap": align_swap}


@dataclass(frozen=True)
class TokenEdit:
    """One node's edit: how tokens are aligned, when and where the source's attention is used.

    cross: window of cross-attention; words: windows of single words of the edit prompts in its place.
    self_attention: window in which the edit uses the source's self-attention.
    """

    method: Method = "swap"
    cross: Window = _CROSS
    self_attention: Window = _SELF
    words: tuple[WordWindow, ...] = ()
    layers: LayerFilter = _ALL


@dataclass(frozen=True)
class EditPlan:
    """The prompts of a run and its token edits in the order of the nodes; where both act, the later wins."""

    prompts: PromptSet
    edits: tuple[TokenEdit, ...] = ()

    def __post_init__(self) -> None:
        for edit in self.edits:
            for entry in edit.words:
                if not any(prompt.has(entry.word) for prompt in self.prompts.edits):
                    self.prompts.edits[0].find(entry.word)  # raises, with the prompt's words

    def then(self, prompts: PromptSet, edit: TokenEdit) -> EditPlan:
        """The plan with one more edit. Raises P2PError when `prompts` are not those of the plan."""
        require_same(self.prompts, prompts)
        return replace(self, edits=(*self.edits, edit))

    def self_attention(self, layer: Layer, progress: float) -> bool:
        """Whether edit rows use the source's queries and keys in this self-attention layer now."""
        return any(layer in e.layers and e.self_attention.active(progress) for e in self.edits)

    def mixing(self, row: int, layer: Layer, progress: float) -> Mixing | None:
        """Column mixing of edit prompt `row` (1..E) in this cross-attention layer now, None for no mixing.

        Edits are applied in order: with mapper M and alpha a,
        W_s ← W_s·diag(1−a) + M·diag(a), w_e ← w_e·(1−a).
        """
        active = tuple(e for e in self.edits if layer in e.layers)
        states = tuple(_alpha_state(e, progress) for e in active)
        if not any(any(state) for state in states):
            return None
        return _mixing(self.prompts, active, states, row)

    def describe(self) -> str:
        """What the plan will do, in words, one line an edit prompt."""
        return "\n".join(_describe(self.prompts.source, edit) for edit in self.prompts.edits)


def require_same(plan: PromptSet, given: PromptSet) -> None:
    """Raise P2PError unless both are the same prompt pair."""
    if plan != given:
        same_text = "the same text from another CLIP" if plan.texts == given.texts else ""
        raise P2PError(
            f"the prompts of the earlier node in the chain, {' → '.join(map(repr, plan.texts))}",
            same_text or " → ".join(map(repr, given.texts)),
            "Connect all Prompt-to-Prompt nodes of one MODEL to the same Prompt Pair.",
        )


def _alpha_state(edit: TokenEdit, progress: float) -> tuple[bool, ...]:
    """Which windows of an edit are open: that of cross-attention, then those of its words."""
    return edit.cross.active(progress), *(w.window.active(progress) for w in edit.words)


@lru_cache(maxsize=64)
def _mixing(
    prompts: PromptSet, edits: tuple[TokenEdit, ...], states: tuple[tuple[bool, ...], ...], row: int
) -> Mixing | None:
    source, target = prompts.source, prompts.prompts[row]
    with torch.inference_mode(False):  # what is cached outlives the mode of the run that asked first
        from_source = torch.zeros(source.columns, target.columns)
        own = torch.ones(target.columns)
        for edit, state in zip(edits, states, strict=True):
            alignment = _ALIGNERS[edit.method](source, target)
            alpha = torch.tensor(alignment.alpha) * _open_columns(edit, state, target)
            from_source = from_source * (1 - alpha) + _matrix(alignment) * alpha
            own = own * (1 - alpha)
    return Mixing(from_source, own) if bool((own != 1).any()) else None


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


def _describe(source: Prompt, edit: Prompt) -> str:
    changes = swap_changes(source, edit)
    changed = [f"{_words(source, c.source)} → {_words(edit, c.edit)}" for c in changes if not c.kept]
    kept = sum(c.edit[1] - c.edit[0] for c in changes if c.kept)
    return f"swap: {', '.join(changed) or 'nothing'} · kept: {kept} word{'s' * (kept != 1)}"


def _words(prompt: Prompt, span: tuple[int, int]) -> str:
    return " ".join(word.text for word in prompt.words[slice(*span)])
