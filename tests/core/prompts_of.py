"""Prompts for tests: from the demo model's own tokenizer, and from words with given token counts."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from transformers import CLIPTokenizer

from p2p_core.words.align import Alignment
from p2p_core.words.joining import Part, joined
from p2p_core.words.pieces import Piece, build_prompt
from p2p_core.words.prompts import Prompt
from p2p_core.words.reading import Text, Token, read, words_of

TOKENIZER = Path(__file__).resolve().parents[2] / "demo" / "model" / "tokenizer"
CHUNK = 77


def tries(count: int) -> settings:
    """Settings for that many examples of a property, without a deadline."""
    return settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def layout(tokens: Sequence[Piece]) -> Iterator[Piece]:
    """CLIP's chunks of 77: a start, up to 75 tokens, an end, padding."""
    room = CHUNK - 2
    for first in range(0, max(len(tokens), 1), room):
        part = tokens[first : first + room]
        yield from [Piece("", "special"), *part, *[Piece("", "special")] * (CHUNK - 1 - len(part))]


def prompt_of(text: str) -> Prompt:
    """A prompt from the demo model's tokenizer."""
    tokens = _tokenizer().tokenize(text)
    return build_prompt(
        text, list(layout([Piece(t.removesuffix("</w>"), ends_word=t.endswith("</w>")) for t in tokens]))
    )


@lru_cache(maxsize=1)
def _tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(TOKENIZER)


def made_of(text: str) -> Prompt:
    """A prompt with the words of `text`, one token each; `rhino*3` has three."""
    tokens: list[Piece] = []
    for item in text.split():
        word, _, count = item.partition("*")
        last = int(count or 1) - 1
        tokens += [Piece(word[i : i + 1], ends_word=False) for i in range(last)] + [Piece(word[last:])]
    return build_prompt(text, list(layout(tokens)))


def words(most: int, different: int = 200) -> st.SearchStrategy[list[str]]:
    """Words for `made_of`, with one to four tokens each; with few different ones, they repeat."""
    return st.lists(_word("w", different), min_size=1, max_size=most)


def _word(letter: str, different: int) -> st.SearchStrategy[str]:
    return st.integers(0, different - 1).map(lambda n: f"{letter}{n}*{n % 4 + 1}")


def made_prompts(most: int = 12, different: int = 200) -> st.SearchStrategy[Prompt]:
    return words(most, different).map(" ".join).map(made_of)


@st.composite
def long_prompts(draw: st.DrawFn, most: int = 200) -> Prompt:
    """Up to 200 words from a drawn seed, which is quicker than drawing each word."""
    count, different = draw(st.integers(1, most)), draw(st.sampled_from([2, 20, 1000]))
    rng = random.Random(draw(st.integers(0, 2**32)))
    numbers = [rng.randrange(different) for _ in range(count)]
    return made_of(" ".join(f"w{n}*{n % 4 + 1}" for n in numbers))


@st.composite
def word_by_word(draw: st.DrawFn, one_token: bool = False) -> tuple[Prompt, Prompt]:
    """Two prompts with equal numbers of words, some of them changed to words that the source lacks."""
    source = draw(words(18))
    edit = [draw(_word("x", 200)) if draw(st.booleans()) else word for word in source]
    texts = [" ".join(side) for side in (source, edit)]
    if one_token:
        texts = [re.sub(r"\*\d", "", text) for text in texts]
    return made_of(texts[0]), made_of(texts[1])


def matrix(alignment: Alignment) -> list[list[float]]:
    """The mapper as rows, [T_s][T_e]."""
    rows = [[0.0] * len(alignment.alpha) for _ in range(alignment.source_columns)]
    for s, e, share in alignment.mapper:
        rows[s][e] += share
    return rows


@dataclass(frozen=True)
class Around:
    """How many columns of each role stand around the words, and how many letters a token has."""

    left: int = 0
    prefix: int = 0
    suffix: int = 0
    end: int = 0
    columns: int = 0  # at least that many, filled up with padding
    letters: int = 3


def read_as(text: str, *encoders: Around) -> Prompt:
    """A prompt as encoders of this make read it, one after another."""
    words = words_of(text)
    return joined(text, words, [_part(f"encoder {n}", words, a) for n, a in enumerate(encoders)])


def _part(name: str, words: Text, around: Around) -> Part:
    pieces = [re.findall(rf".{{1,{around.letters}}}", word) for word in words.words]
    inner = [Token(piece.encode()) for word in pieces for piece in word]
    before = [*around.left * [Token(role="left padding")], *around.prefix * [Token(role="prefix")]]
    after = [*around.suffix * [Token(role="suffix")], *around.end * [Token(role="end")]]
    tokens = [*before, *inner, *after]
    tokens += max(0, around.columns - len(tokens)) * [Token(role="padding")]
    reading = read(tokens, words)
    assert reading is not None and not reading.missing
    return Part(name, reading, tuple(range(len(tokens))))
