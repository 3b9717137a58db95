"""Tokenised prompts from a CLIP of the host."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ..p2p_core.errors import P2PError
from ..p2p_core.prompts import Piece, Prompt, PromptSet, build_prompt

_END_OF_WORD = "</w>"
_ENCODERS = ("l", "g", "h")  # SD1's and SDXL's first encoder, SDXL's second, SD2's


def prompt_set(clip: Any, source: str, edits: Sequence[str]) -> PromptSet:
    """The tokenised prompts of a run, as `clip` sees them."""
    return PromptSet(tokenised(clip, source), tuple(tokenised(clip, text) for text in edits))


def tokenised(clip: Any, text: str) -> Prompt:
    """One prompt with the columns that the host's tokenizer gives it, weights and embeddings included."""
    name, tokenizer = _clip_tokenizer(clip)
    chunks = clip.tokenize(text, return_word_ids=True)[name]
    tokens = [token for chunk in chunks for token in chunk]
    vocabulary = tokenizer.inv_vocab
    names = _embedding_names(clip, name, text)
    return build_prompt(text, list(_pieces(tokens, vocabulary, names)), chunk=len(chunks[0]))


def _clip_tokenizer(clip: Any) -> tuple[str, Any]:
    tokenizers = getattr(clip, "tokenizer", clip)
    for name in _ENCODERS:
        tokenizer = getattr(tokenizers, f"clip_{name}", None)
        if tokenizer is not None and any(t.endswith(_END_OF_WORD) for t in tokenizer.inv_vocab.values()):
            return name, tokenizer
    raise P2PError(
        "a CLIP text encoder (SD1.x, SD2.x, SDXL)",
        type(tokenizers).__name__,
        "Connect the CLIP of a Stable Diffusion checkpoint.",
    )


def _pieces(
    tokens: Sequence[tuple[Any, float, int]], vocabulary: dict[int, str], names: Iterator[str]
) -> Iterator[Piece]:
    """Pieces from (token or embedding vector, weight, word id); the id is 0 for start, end and padding."""
    name = ""
    previous: int | None = None
    for i, (token, weight, group) in enumerate(tokens):
        if group == 0:
            yield Piece("", "special")
        elif isinstance(token, int):
            text = vocabulary.get(token, "")
            yield Piece(text.removesuffix(_END_OF_WORD), "text", text.endswith(_END_OF_WORD), weight)
        else:
            name = name if previous == group else next(names, "embedding")
            last = i + 1 == len(tokens) or tokens[i + 1][2] != group
            yield Piece(name, "embedding", last, weight)
        previous = group if group else previous


def _embedding_names(clip: Any, name: str, text: str) -> Iterator[str]:
    """Names of the textual inversions of a prompt that the host finds, in order, as `embedding:name`."""
    for match in re.finditer(r"embedding:[\w./\\-]+", text):
        chunks = clip.tokenize(match[0], return_word_ids=True)[name]
        if any(group and not isinstance(token, int) for chunk in chunks for token, _, group in chunk):
            yield match[0].rstrip(".")
