"""A Prompt from what one or several text encoders read of a text. Torch-free."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from .prompts import Prompt, Role, Segment, Word
from .reading import Reading, Text
from .texts import normalise, token_text

Group = tuple[int, int]  # words of the text that tokens join, [start, stop)


@dataclass(frozen=True)
class Part:
    """Columns of a conditioning that hold tokens of one encoder, in order. places: their tokens."""

    encoder: str
    reading: Reading
    places: tuple[int, ...]


def joined(typed: str, text: Text, parts: Sequence[Part]) -> Prompt:
    """The prompt whose columns are the parts one after another.

    Words that share a token in any encoder are one word.
    """
    groups = list(_groups(len(text.words), parts))
    columns: list[_Columns] = [_Columns([], [], [], []) for _ in groups]
    segments: list[Segment] = []
    start = 0
    for part in parts:
        roles = _fill(columns, groups, part, start)
        segments.append(Segment(part.encoder, start, tuple(roles)))
        start += len(part.places)
    words = [_word(text, group, own) for group, own in zip(groups, columns, strict=True) if own.columns]
    return Prompt(typed, tuple(words), tuple(segments))


def _groups(count: int, parts: Sequence[Part]) -> Iterator[Group]:
    spans = [span for part in parts for span in part.reading.spans if span]
    inside = {border for start, stop in spans for border in range(start + 1, stop)}
    yield from pairwise(i for i in range(count + 1) if i not in inside)


@dataclass(frozen=True)
class _Columns:
    columns: list[int]
    tokens: list[str]
    spaces: list[int]
    weights: list[float]


def _fill(words: Sequence[_Columns], groups: Sequence[Group], part: Part, start: int) -> Iterator[Role]:
    """Gives the words their columns of a part; yields the roles of the columns."""
    group_of = {word: i for i, group in enumerate(groups) for word in range(*group)}
    waiting: list[int] = []  # white space goes to the word after it, at the end to the last word
    last: int | None = None
    for column, place in enumerate(part.places, start):
        token, span = part.reading.tokens[place], part.reading.spans[place]
        if token.role != "word":
            yield token.role
            continue
        yield "word" if span else "space"
        if span is None:
            waiting.append(column)
            continue
        last = group_of[span[0]]
        words[last].spaces.extend(waiting)
        waiting = []
        words[last].columns.append(column)
        words[last].tokens.append(token_text((token.data or b"").strip()).lower())
        words[last].weights.append(token.weight)
    if last is not None:
        words[last].spaces.extend(waiting)


def _word(text: Text, group: Group, own: _Columns) -> Word:
    plain = text.plain[text.starts[group[0]] : text.stops[group[1] - 1]]
    return Word(normalise(plain), tuple(own.columns), own.weights[0], tuple(own.tokens), tuple(own.spaces))
