"""Weights of words for re-weighting (paper section 3.2, "attention re-weighting"). Torch-free."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import P2PError
from .fields import blocks, entries
from .prompts import PromptSet
from .texts import number

LARGEST = 10_000.0  # weight: more of any word is only noise, and larger ones overflow in half precision


@dataclass(frozen=True)
class WordWeight:
    """Multiplies the attention on a word or phrase by `weight`: 1 changes nothing, 0 removes the word."""

    word: str
    weight: float


@dataclass(frozen=True)
class Weights:
    """Weights of words: one block per edit prompt, or a single block for all."""

    blocks: tuple[tuple[WordWeight, ...], ...]

    def of_row(self, row: int) -> tuple[WordWeight, ...]:
        """The weights of edit prompt `row`, 1..E."""
        return self.blocks[(row - 1) % len(self.blocks)]

    def require_words(self, prompts: PromptSet) -> None:
        """Raises P2PError for a word that is in no edit prompt of its block, and for too many blocks."""
        if len(self.blocks) not in (1, len(prompts.edits)):
            raise P2PError(
                f"one block of weights, or one for each of {len(prompts.edits)} edit prompts",
                f"{len(self.blocks)} blocks",
                "Separate blocks with a line of three dashes, in the order of the edit prompts.",
            )
        for i, block in enumerate(self.blocks):
            edits = prompts.edits if len(self.blocks) == 1 else prompts.edits[i : i + 1]
            prompts.require((entry.word for entry in block), edits)


def parse_weights(text: str) -> Weights:
    """`fluffy: 4, pink: -1`; blocks for several edits are separated by a line of three dashes.

    Raises P2PError for a weight that is no number or too large, and if no block has a weight.
    """
    parsed = tuple(tuple(_word_weight(entry) for entry in entries(block)) for block in blocks(text))
    if not any(parsed):
        raise P2PError("weights of words such as 'fluffy: 4, pink: -1'", repr(text), "Write at least one.")
    return Weights(parsed)


def _word_weight(entry: str) -> WordWeight:
    word, _, value = entry.rpartition(":")
    try:
        weight = number(value.strip())
    except ValueError:
        weight = math.nan
    if not word.strip() or not abs(weight) <= LARGEST:  # true for NaN
        raise P2PError(
            f"a word, a colon and a number from -{LARGEST:g} to {LARGEST:g}, such as 'fluffy: 4'",
            repr(entry),
            "1 = unchanged, > 1 = stronger, 0 = removed, < 0 = push away from it.",
        )
    return WordWeight(word.strip(), weight)
