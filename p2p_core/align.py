"""Alignment of the source's tokens with an edit's (paper section 3.2 and its code's seq_aligner). Torch-free."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from .prompts import Prompt, Word

Span = tuple[int, int]


@dataclass(frozen=True)
class Alignment:
    """Where the attention on each source token goes.

    mapper: sparse [T_s, T_e], entries (source column, edit column, share), sorted; the shares of a source column
    sum to 1. alpha: [T_e], 1 where the edit's token takes the source's attention, 0 where it keeps its own.
    """

    mapper: tuple[tuple[int, int, float], ...]
    alpha: tuple[float, ...]
    source_columns: int

    def dense(self) -> list[list[float]]:
        """The mapper as rows, [T_s][T_e]."""
        rows = [[0.0] * len(self.alpha) for _ in range(self.source_columns)]
        for s, e, share in self.mapper:
            rows[s][e] += share
        return rows


@dataclass(frozen=True)
class Change:
    """A span of source words that becomes a span of edit words; equal spans are `kept`."""

    source: Span
    edit: Span
    kept: bool


def align_swap(source: Prompt, edit: Prompt) -> Alignment:
    """Word swap: every changed span of words gives its attention to the span that replaces it.

    Equal word counts are paired word by word, as in the paper's code. With unequal counts a changed phrase maps
    onto a changed phrase; a phrase without counterpart is widened by the kept word beside it, so that no
    attention is lost. All alpha are 1.
    """
    entries: list[tuple[int, int, float]] = []
    for change in swap_changes(source, edit):
        left, right = source.words[slice(*change.source)], edit.words[slice(*change.edit)]
        if len(left) == len(right):
            for a, b in zip(left, right, strict=True):
                entries += _share(a.columns, b.columns)
        else:
            entries += _spread(_columns(left), _columns(right))
    entries += _specials(source, edit)
    return Alignment(tuple(sorted(entries)), (1.0,) * edit.columns, source.columns)


def swap_changes(source: Prompt, edit: Prompt) -> tuple[Change, ...]:
    """The spans of word swap, in order, covering all words of both prompts."""
    a, b = [w.text for w in source.words], [w.text for w in edit.words]
    if len(a) == len(b):
        return tuple(_pairwise(a, b))
    spans = SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    return tuple(_widen([Change((i, j), (k, m), tag == "equal") for tag, i, j, k, m in spans]))


def _pairwise(a: Sequence[str], b: Sequence[str]) -> Iterator[Change]:
    for i, (x, y) in enumerate(zip(a, b, strict=True)):
        yield Change((i, i + 1), (i, i + 1), x == y)


def _widen(changes: list[Change]) -> list[Change]:
    """Let every one-sided change borrow a kept word: the first of the span after it, else the last before it."""
    result: list[Change] = []
    for i, change in enumerate(changes):
        if _length(change.source) == 0 and _length(change.edit) == 0:
            continue
        if _length(change.source) and _length(change.edit):
            result.append(change)
        elif i + 1 < len(changes):
            taken, changes[i + 1] = _split(changes[i + 1], 1)
            result.append(_join(change, taken))
        else:
            previous = result.pop()
            rest, taken = _split(previous, _length(previous.source) - 1) if previous.kept else (None, previous)
            result += [rest] if rest is not None and _length(rest.source) else []
            result.append(_join(taken, change))
    return result


def _length(span: Span) -> int:
    return span[1] - span[0]


def _split(kept: Change, at: int) -> tuple[Change, Change]:
    (s0, s1), (e0, e1) = kept.source, kept.edit
    return Change((s0, s0 + at), (e0, e0 + at), True), Change((s0 + at, s1), (e0 + at, e1), True)


def _join(a: Change, b: Change) -> Change:
    return Change((a.source[0], b.source[1]), (a.edit[0], b.edit[1]), False)


# Columns


def _columns(words: Sequence[Word]) -> tuple[int, ...]:
    return tuple(column for word in words for column in word.columns)


def _share(source: Sequence[int], edit: Sequence[int]) -> list[tuple[int, int, float]]:
    """Equal numbers of tokens one to one, otherwise evenly (the paper's rule for words of several tokens)."""
    if len(source) == len(edit):
        return [(s, e, 1.0) for s, e in zip(source, edit, strict=True)]
    return _spread(source, edit)


def _spread(source: Sequence[int], edit: Sequence[int]) -> list[tuple[int, int, float]]:
    return [(s, e, 1.0 / len(edit)) for s in source for e in edit]


def _specials(source: Prompt, edit: Prompt) -> list[tuple[int, int, float]]:
    """Start to start, end to end, padding to padding in order, chunk by chunk.

    Where the source has more padding than the edit, what is left over is spread over the edit's end and padding;
    chunks that the edit does not have go to its last one.
    """
    entries: list[tuple[int, int, float]] = []
    last = edit.columns // edit.chunk - 1
    for chunk in range(source.columns // source.chunk):
        start = edit.chunk * min(chunk, last)
        left, right = _tail(source, chunk), _tail(edit, min(chunk, last)) or [start]
        entries.append((source.chunk * chunk, start, 1.0))
        entries += [(s, e, 1.0) for s, e in zip(left, right, strict=False)]
        entries += _spread(left[len(right) :], right)
    return entries


def _tail(prompt: Prompt, chunk: int) -> list[int]:
    """The columns of a chunk that are neither its start nor words: end and padding."""
    begin, content = prompt.chunk * chunk, prompt.content
    return [c for c in range(begin + 1, begin + prompt.chunk) if c not in content]
