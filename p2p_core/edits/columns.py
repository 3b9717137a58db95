"""From words to matrices: the column mixing of an edit prompt (paper section 3.2)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..attention.editing import Mixing
from ..words.align import Alignment, align_edit, align_refine, align_swap
from ..words.prompts import Prompt, PromptSet
from ..words.weights import WordWeight
from .steps import EditMethod, TokenEdit

_ALIGNERS: dict[EditMethod, Callable[[Prompt, Prompt], Alignment]] = {
    "swap": align_swap,
    "refine": align_refine,
    "edit": align_edit,
}


@dataclass(frozen=True)
class MixingKey:
    """Everything a mixing depends on: the edits, the states of their windows, and the weights.

    row: the edit prompt, 1..E. open_windows: the result of `TokenEdit.open_windows` for each edit.
    """

    row: int
    edits: tuple[TokenEdit, ...]
    open_windows: tuple[tuple[bool, ...], ...]
    weights: tuple[WordWeight, ...]


def mixing_of(prompts: PromptSet, key: MixingKey) -> Mixing | None:
    """The mixing of these edits, or None if it leaves the edit's attention unchanged.

    Edits are applied in order: with mapper M and alpha a,
    W_s ← W_s·diag(1−a) + M·diag(a), w_e ← w_e·(1−a);
    then both are multiplied by the equalizer of the weights.
    """
    source, target = prompts.source, prompts.prompts[key.row]
    with torch.inference_mode(False):  # usable in any mode
        from_source = torch.zeros(source.columns, target.columns)
        own = torch.ones(target.columns)
        for edit, state in zip(key.edits, key.open_windows, strict=True):
            alignment = _ALIGNERS[edit.method](source, target)
            alpha = torch.tensor(alignment.alpha) * _open_columns(edit, state, target)
            from_source = from_source * (1 - alpha) + _matrix(alignment) * alpha
            own = own * (1 - alpha)
        equalizer = _equalizer(key.weights, target)
        from_source, own = from_source * equalizer, own * equalizer
        unchanged = bool((own == 1).all()) and not bool(from_source.any())
    return None if unchanged else Mixing(from_source, own)


def _matrix(alignment: Alignment) -> Tensor:
    """The mapper, [T_s, T_e]."""
    sources, edits, shares = zip(*alignment.mapper, strict=True)
    matrix = torch.zeros(alignment.source_columns, len(alignment.alpha))
    matrix[torch.tensor(sources), torch.tensor(edits)] = torch.tensor(shares)
    return matrix


def _open_columns(edit: TokenEdit, state: tuple[bool, ...], target: Prompt) -> Tensor:
    """[T_e], 1 where the window of the column's word is open (or that of the rest)."""
    columns = torch.full((target.columns,), float(state[0]))
    for entry, is_open in zip(edit.words, state[1:], strict=True):
        if target.has(entry.word):
            columns[list(target.find(entry.word))] = float(is_open)
    return columns


def _equalizer(weights: tuple[WordWeight, ...], target: Prompt) -> Tensor:
    """[T_e], the product of the weights of each column's words."""
    equalizer = torch.ones(target.columns)
    for entry in weights:
        if target.has(entry.word):
            equalizer[list(target.find(entry.word))] *= entry.weight
    return equalizer
