"""Tokenised prompts from a CLIP of the host."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from ...p2p_core.errors import P2PError
from ...p2p_core.words.prompts import Piece, Prompt, PromptSet, build_prompt

_END_OF_WORD = "</w>"
_ENCODERS = ("l", "g", "h")  # SD1's and SDXL's first encoder, SDXL's second, SD2's

Token = tuple[Any, float, int]  # token or embedding vector, weight, word id (0 for start, end and padding)


def prompt_set(clip: Any, source: str, edits: Sequence[str]) -> PromptSet:
    """The tokenised prompts of a run, as `clip` sees them."""
    return PromptSet(tokenised(clip, source), tuple(tokenised(clip, text) for text in edits))


def tokenised(clip: Any, text: str) -> Prompt:
    """One prompt with the columns that the host's encoders give it, including weights and embeddings.

    Raises P2PError if a word is in different columns of two encoders.
    """
    encoders = _clip_encoders(clip)
    read = {name: _encoded(clip, name, text) for name in encoders}
    chunks, *others = read.values()
    for other in others:
        if _word_ids(other) != _word_ids(chunks):
            raise P2PError(
                "a textual inversion with the same number of vectors for both text encoders",
                f"{text!r}, with an embedding that the encoders read differently",
                "Use an embedding made for SDXL, or remove it from the prompt.",
            )
    name, tokenizer = next(iter(encoders.items()))
    names = _embedding_names(clip, name, text)
    tokens = [token for chunk in chunks for token in chunk]
    return build_prompt(text, list(_pieces(tokens, tokenizer.inv_vocab, names)), chunk=len(chunks[0]))


def _clip_encoders(clip: Any) -> dict[str, Any]:
    """The tokenizers of a model's CLIP encoders by name, in the host's order."""
    tokenizers = getattr(clip, "tokenizer", clip)
    named = [(name, getattr(tokenizers, f"clip_{name}", None)) for name in _ENCODERS]
    found = {name: each for name, each in named if each is not None and _is_clip(each)}
    own = {name: each for name, each in found.items() if _encoder(clip, name) is not None}
    if not found:
        raise P2PError(
            "a CLIP text encoder (SD1.x, SD2.x, SDXL)",
            type(tokenizers).__name__,
            "Connect the CLIP of a Stable Diffusion checkpoint.",
        )
    return own or found  # a refiner has both tokenizers but only one encoder


def _is_clip(tokenizer: Any) -> bool:
    return any(token.endswith(_END_OF_WORD) for token in tokenizer.inv_vocab.values())


def _encoder(clip: Any, name: str) -> Any:
    return getattr(getattr(clip, "cond_stage_model", None), f"clip_{name}", None)


def _encoded(clip: Any, name: str, text: str) -> list[list[Token]]:
    """The chunks of a text as the encoder reads them: it skips vectors of another width, and the tokens
    after them move forward."""
    encoder = _encoder(clip, name)
    width = encoder and encoder.transformer.get_input_embeddings().weight.shape[-1]
    chunks: list[list[Token]] = clip.tokenize(text, return_word_ids=True)[name]
    kept = [
        [t for t in chunk if width is None or isinstance(t[0], int) or t[0].shape[-1] == width]
        for chunk in chunks
    ]
    return [
        [*some, *[(0, 1.0, 0)] * (len(chunk) - len(some))] for some, chunk in zip(kept, chunks, strict=True)
    ]


def _word_ids(chunks: Sequence[Sequence[Token]]) -> list[int]:
    return [word for chunk in chunks for _, _, word in chunk]


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
        chunks = _encoded(clip, name, match[0])
        if any(group and not isinstance(token, int) for chunk in chunks for token, _, group in chunk):
            yield match[0].rstrip(".")
