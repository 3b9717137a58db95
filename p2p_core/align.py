"""Alignment of the source's tokens with an edit's (paper section 3.2, its code's seq_aligner). Torch-free."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .prompts import Prompt, Word

Span = tuple[int, int]


@dataclass(frozen=True)
class Alignment:
    """Where the attention on each source token goes.

    mapper: sparse [T_s, T_e], entries (source column, edit column, share), sorted, each pair of columns once;
    the shares of a source column sum to 1.
    alpha: [T_e], 1 where the edit's token takes the source's attention, 0 where it keeps its own.
    """

    mapper: tuple[tuple[int, int, float], ...]
    alpha: tuple[float, ...]
    source_columns: int


@dataclass(frozen=True)
class Change:
    """A span of source words that becomes a span of edit words; `kept` is one word that both have."""

    source: Span
    edit: Span
    kept: bool

    @property
    def one_sided(self) -> bool:
        return self.source[0] == self.source[1] or self.edit[0] == self.edit[1]


def align_swap(source: Prompt, edit: Prompt) -> Alignment:
    """Word swap: every changed span of words gives its attention to the span that replaces it.

    Equal word counts are paired word by word, as in the paper's code. With unequal counts a changed phrase
    maps onto a changed phrase; a phrase without counterpart is widened by the kept word beside it, so that
    no attention is lost. All alpha are 1. Both prompts have words.
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
        return tuple(_kept_or_changed(a, b, i, i) for i in range(len(a)))
    return tuple(_widen(_differences(a, b)))


def _kept_or_changed(a: Sequence[str], b: Sequence[str], i: int, j: int) -> Change:
    return Change((i, i + 1), (j, j + 1), a[i] == b[j])


def _differences(a: Sequence[str], b: Sequence[str]) -> list[Change]:
    """Kept words and what changes between them."""
    changes: list[Change] = []
    s = e = 0
    for i, j in [*common_words(a, b), (len(a), len(b))]:
        if (s, e) != (i, j):
            changes.append(Change((s, i), (e, j), False))
        if i < len(a) and j < len(b):
            changes.append(_kept_or_changed(a, b, i, j))
        s, e = i + 1, j + 1
    return changes


def common_words(a: Sequence[str], b: Sequence[str]) -> list[tuple[int, int]]:
    """A longest common subsequence as (index in a, index in b), each match as early as possible.

    The rows of the usual table are kept as bits, 0 in bit j of row i where a[:i] and b[:j + 1] have one word
    more in common than a[:i] and b[:j] (Hyyrö 2004, "Bit-parallel LCS-length computation revisited").
    """
    places: dict[str, int] = {}
    for j, word in enumerate(b):
        places[word] = places.get(word, 0) | 1 << j
    full = (1 << len(b)) - 1
    rows = [full]
    for word in a:
        hit = rows[-1] & places.get(word, 0)
        rows.append(((rows[-1] + hit) | (rows[-1] - hit)) & full)

    pairs: list[tuple[int, int]] = []
    i, j = len(a), len(b)
    while i and j:
        if rows[i] >> (j - 1) & 1:
            j -= 1
        elif not rows[i - 1] >> (j - 1) & 1:
            i -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs[::-1]


def _widen(changes: Sequence[Change]) -> list[Change]:
    """Join every one-sided change with the kept word after it, or the last one with what is before it."""
    result: list[Change] = []
    waiting: Change | None = None
    for change in changes:
        joined = _join(waiting, change) if waiting else change
        waiting = joined if joined.one_sided else None
        if waiting is None:
            result.append(joined)
    return [*result[:-1], _join(result[-1], waiting)] if waiting else result


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

    Where the source has more padding than the edit, what is left over is spread over the edit's end and
    padding; chunks that the edit does not have go to its last one.
    """
    entries: list[tuple[int, int, float]] = []
    tails = _tails(edit)
    for chunk, left in enumerate(_tails(source)):
        here = min(chunk, len(tails) - 1)
        start = edit.chunk * here
        right = tails[here] or [start]
        entries.append((source.chunk * chunk, start, 1.0))
        entries += [(s, e, 1.0) for s, e in zip(left, right, strict=False)]
        entries += _spread(left[len(right) :], right)
    return entries


def _tails(prompt: Prompt) -> list[list[int]]:
    """For each chunk the columns that are neither its start nor words: end and padding."""
    content, size = prompt.content, prompt.chunk
    return [
        [column for column in range(start + 1, start + size) if column not in content]
        for start in range(0, prompt.columns, size)
    ]
