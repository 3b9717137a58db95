"""Tokenised prompts from a CLIP of the host."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ...p2p_core.words.fields import require_length
from ...p2p_core.words.pieces import Piece, build_prompt
from ...p2p_core.words.prompts import Prompt, PromptSet
from .encoders import Chunks, Token, as_read, encoder_of, require_same_words, tokenizer_of, unknown_clip
from .language_tokens import language_prompt

_END_OF_WORD = "</w>"
_ENCODERS = ("l", "g", "h")  # SD1's and SDXL's first encoder, SDXL's second, SD2's


def prompt_set(clip: Any, source: str, edits: Sequence[str]) -> PromptSet:
    """The tokenised prompts of a run, as `clip` sees them."""
    return PromptSet(tokenised(clip, source), tuple(tokenised(clip, text) for text in edits))


def tokenised(clip: Any, text: str) -> Prompt:
    """One prompt with the columns that the host's encoders give it, weights and embeddings included.

    Raises P2PError where encoders read a word in other columns than each other, for a CLIP of none, and for a
    text that is too long.
    """
    if not hasattr(clip, "tokenize"):
        raise unknown_clip(clip)
    tokens: dict[str, Chunks] = clip.tokenize(require_length(text), return_word_ids=True)
    return (_clip_prompt if set(tokens) <= set(_ENCODERS) else language_prompt)(clip, text, tokens)


def _clip_prompt(clip: Any, text: str, tokens: dict[str, Chunks]) -> Prompt:
    there = [name for name in _ENCODERS if name in tokens]
    own = [name for name in there if encoder_of(clip, name) is not None] or there  # a refiner has one of two
    read = [as_read(tokens[name], encoder_of(clip, name)) for name in own]
    require_same_words(text, read)
    chunks, vocabulary = read[0], tokenizer_of(clip, own[0]).inv_vocab
    names = _embedding_names(clip, own[0], text)
    pieces = _pieces([token for chunk in chunks for token in chunk], vocabulary, names)
    return build_prompt(text, list(pieces), chunk=len(chunks[0]))


def _pieces(tokens: Sequence[Token], vocabulary: dict[int, str], names: Iterator[str]) -> Iterator[Piece]:
    """Pieces from the tokens of all chunks."""
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
    """Names of the textual inversions that the encoder reads in a prompt, in order, as `embedding:name`."""
    for match in re.finditer(r"embedding:[\w./\\-]+", text):
        chunks = as_read(clip.tokenize(match[0], return_word_ids=True)[name], encoder_of(clip, name))
        if any(group and not isinstance(token, int) for chunk in chunks for token, _, group in chunk):
            yield match[0].rstrip(".")
