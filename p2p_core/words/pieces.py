"""Prompts from the tokens of CLIP, which mark where words end. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import P2PError
from .prompts import Prompt, Role, Segment, Word
from .texts import bytes_of_letters, normalise, token_text

Kind = Literal["text", "special", "embedding"]


@dataclass(frozen=True)
class Piece:
    """One token as the text encoder sees it; its place in the sequence is its column.

    text: the vocabulary string without end mark (byte-level BPE letters), or the name of an embedding.
    kind: `special` for start, end and padding; `embedding` for a vector of a textual inversion.
    ends_word: whether the word ends with this piece.
    """

    text: str
    kind: Kind = "text"
    ends_word: bool = True
    weight: float = 1.0


def build_prompt(text: str, pieces: Sequence[Piece], chunk: int = 77) -> Prompt:
    """A Prompt from the T tokens of a text encoder, where T is a multiple of `chunk`.

    Each chunk has a start, words, an end and padding. A word may lie across chunks.
    """
    if not pieces or len(pieces) % chunk:
        raise P2PError(
            f"a whole number of chunks of {chunk} tokens", f"{len(pieces)} tokens", "Use a CLIP text encoder."
        )
    starts = range(0, len(pieces), chunk)
    segments = [Segment("clip", start, tuple(_roles(pieces[start : start + chunk]))) for start in starts]
    return Prompt(text, tuple(_words(pieces)), tuple(segments))


def _roles(chunk: Sequence[Piece]) -> Iterator[Role]:
    ended = False
    for i, piece in enumerate(chunk):
        if piece.kind != "special":
            yield "word"
        elif i == 0:
            yield "start"
        else:
            yield "padding" if ended else "end"
            ended = True


def _words(pieces: Sequence[Piece]) -> Iterator[Word]:
    open_word: list[tuple[int, Piece]] = []
    for column, piece in enumerate(pieces):
        if piece.kind == "special":
            continue
        open_word.append((column, piece))
        if piece.ends_word:
            yield _word(open_word)
            open_word = []
    if open_word:
        yield _word(open_word)


def _word(pieces: Sequence[tuple[int, Piece]]) -> Word:
    first = pieces[0][1]
    whole = b"".join(bytes_of_letters(piece.text) for _, piece in pieces)
    text = first.text if first.kind == "embedding" else whole.decode("utf-8", "replace")
    tokens = tuple(token_text(bytes_of_letters(piece.text)) for _, piece in pieces)
    return Word(normalise(text), tuple(column for column, _ in pieces), first.weight, tokens)
