"""Texts of prompts of different lengths in one tensor: where each stands, and what is padding for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...p2p_core.architecture.dit import Span, Tokens


@dataclass(frozen=True, eq=False)
class Padded:
    """Text of P prompts in one tensor. starts, lengths: where each stands among T columns."""

    text: Tensor
    starts: tuple[int, ...]
    lengths: tuple[int, ...]

    @property
    def equal(self) -> bool:
        """Whether all fill the columns."""
        return set(self.lengths) == {self.text.shape[1]}

    @property
    def of_edits(self) -> Padded:
        return Padded(self.text[1:], self.starts[1:], self.lengths[1:])

    @property
    def spans(self) -> tuple[Span, ...]:
        return tuple(Span(start, length) for start, length in zip(self.starts, self.lengths, strict=True))

    def outside(self, tokens: Tokens) -> Tensor:
        """[P, T], True in columns that a prompt does not see: all but its own and its learned padding."""
        columns = torch.arange(tokens.padded(self.text.shape[1]))
        stops = [s + tokens.padded(n) for s, n in zip(self.starts, self.lengths, strict=True)]
        start, stop = (torch.tensor(value)[:, None] for value in (self.starts, stops))
        return (columns < start) | (columns >= stop)


def padded(texts: Sequence[Tensor], tokens: Tokens) -> Padded:
    """[1, T_i, C] each → [P, T, C], zeros around each as the family pads."""
    lengths = tuple(text.shape[1] for text in texts)
    starts = tuple(tokens.place(length, max(lengths)) for length in lengths)
    columns = max(start + length for start, length in zip(starts, lengths, strict=True))
    if columns == min(lengths):
        return Padded(torch.cat(list(texts)), starts, lengths)
    rows = texts[0].new_zeros(len(texts), columns, texts[0].shape[2])
    for row, text, start in zip(rows, texts, starts, strict=True):
        row[start : start + text.shape[1]] = text[0]
    return Padded(rows, starts, lengths)


@dataclass(frozen=True, eq=False)
class Texts:
    """What a model gets of P prompts: their text, and around it what other encoders made of them."""

    before: tuple[Padded, ...]
    text: Padded
    after: tuple[Padded, ...]

    @property
    def equal(self) -> bool:
        return all(part.equal for part in (*self.before, self.text, *self.after))

    @property
    def of_edits(self) -> Texts:
        before, after = (tuple(part.of_edits for part in parts) for parts in (self.before, self.after))
        return Texts(before, self.text.of_edits, after)

    def outside(self, tokens: Tokens) -> Tensor:
        """[P, T], as of each part, on all text columns."""
        parts = (*self.before, self.text, *self.after)
        return torch.cat([part.outside(tokens) for part in parts], dim=1)
