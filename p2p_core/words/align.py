"""Alignment of the source's tokens with an edit's (paper section 3.2, its code's seq_aligner). Torch-free."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from .prompts import Prompt, Word

Span = tuple[int, int]
Entry = tuple[int, int, float]


@dataclass(frozen=True)
class Alignment:
    """Where the attention on each source token goes.

    mapper: sparse [T_s, T_e], sorted entries (source column, edit column, share), each pair of columns once.
    The shares of a source column sum to 1, or to 0 if its word is removed.
    alpha: [T_e], 1 if the edit's token takes the source's attention, 0 if it keeps its own.
    """

    mapper: tuple[tuple[int, int, float], ...]
    alpha: tuple[float, ...]
    source_columns: int


@dataclass(frozen=True)
class Change:
    """A span of source words that becomes a span of edit words. kept: a single word in both."""

    source: Span
    edit: Span
    kept: bool

    @property
    def added(self) -> bool:
        return self.source[0] == self.source[1]

    @property
    def removed(self) -> bool:
        return self.edit[0] == self.edit[1]

    @property
    def one_sided(self) -> bool:
        return self.added or self.removed


def align_swap(source: Prompt, edit: Prompt) -> Alignment:
    """Word swap: every changed span of words passes its attention to the span that replaces it.

    Equal word counts are paired word by word, as in the paper's code. With unequal counts, a changed phrase
    maps onto a changed phrase; a phrase without a counterpart is widened by the adjacent kept word, so that
    no attention is lost. All alpha are 1. Both prompts have words.
    """
    entries = _specials(source, edit)
    for change in swap_changes(source, edit):
        entries += _swapped(source.words[slice(*change.source)], edit.words[slice(*change.edit)])
    return _alignment(source, edit, entries)


def align_refine(source: Prompt, edit: Prompt) -> Alignment:
    """Refinement: global alignment of the tokens, match 1, mismatch −1, gap 0, as in the paper's code.

    With these scores the best alignment is a longest common subsequence. Tokens in both prompts take the
    source's attention, and the edit's other tokens keep their own. Attention on tokens that the edit lacks is
    dropped.
    """
    left, right = _tokens(source), _tokens(edit)
    entries, added = _specials(source, edit), set[int]()
    for change in _differences([text for text, _ in left], [text for text, _ in right]):
        columns = [[c for _, c in side] for side in (left[slice(*change.source)], right[slice(*change.edit)])]
        if change.kept:
            entries.append((columns[0][0], columns[1][0], 1.0))
        else:
            added.update(columns[1])
    return _alignment(source, edit, entries, added)


def align_edit(source: Prompt, edit: Prompt) -> Alignment:
    """Both: replacing words take over the attention of the replaced ones, added words keep their own.

    Attention on removed words is dropped, as in refinement.
    """
    entries, added = _specials(source, edit), set[int]()
    for change in edit_changes(source, edit):
        left, right = source.words[slice(*change.source)], edit.words[slice(*change.edit)]
        if change.added:
            added.update(_columns(right))
        elif not change.removed:
            entries += _swapped(left, right)
    return _alignment(source, edit, entries, added)


def edit_changes(source: Prompt, edit: Prompt) -> tuple[Change, ...]:
    """Kept, swapped, added and removed spans, in order, covering all words of both prompts."""
    return tuple(_differences([w.text for w in source.words], [w.text for w in edit.words]))


def swap_changes(source: Prompt, edit: Prompt) -> tuple[Change, ...]:
    """The spans of word swap, in order, covering all words of both prompts."""
    a, b = [w.text for w in source.words], [w.text for w in edit.words]
    if len(a) == len(b):
        return tuple(_kept_or_changed(a, b, i, i) for i in range(len(a)))
    return tuple(_widen(_differences(a, b)))


def _kept_or_changed(a: Sequence[str], b: Sequence[str], i: int, j: int) -> Change:
    return Change((i, i + 1), (j, j + 1), a[i] == b[j])


def _differences(a: Sequence[str], b: Sequence[str]) -> list[Change]:
    """Kept words and the changes between them."""
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

    The rows of the usual table are stored as bits: bit j of row i is 0 if a[:i] and b[:j + 1] have one more
    word in common than a[:i] and b[:j] (Hyyrö 2004, "Bit-parallel LCS-length computation revisited").
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
    """Join every one-sided change with the kept word after it, or the last one with the change before it."""
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


def _alignment(
    source: Prompt, edit: Prompt, entries: Sequence[Entry], added: Collection[int] = ()
) -> Alignment:
    alpha = tuple(float(column not in added) for column in range(edit.columns))
    return Alignment(tuple(sorted(entries)), alpha, source.columns)


def _tokens(prompt: Prompt) -> list[tuple[str, int]]:
    """Text and column of every token of the words, with word ends marked."""
    return [
        (text + "\0" * (column == word.columns[-1]), column)
        for word in prompt.words
        for text, column in zip(word.tokens, word.columns, strict=True)
    ]


def _swapped(left: Sequence[Word], right: Sequence[Word]) -> list[Entry]:
    """Equal numbers of words one to one, otherwise phrase to phrase."""
    if len(left) != len(right):
        return _spread(_columns(left), _columns(right))
    return [entry for a, b in zip(left, right, strict=True) for entry in _share(a.columns, b.columns)]


def _columns(words: Sequence[Word]) -> tuple[int, ...]:
    return tuple(column for word in words for column in word.columns)


def _share(source: Sequence[int], edit: Sequence[int]) -> list[Entry]:
    """Equal numbers of tokens one to one, otherwise evenly (the paper's rule for words of several tokens)."""
    if len(source) == len(edit):
        return [(s, e, 1.0) for s, e in zip(source, edit, strict=True)]
    return _spread(source, edit)


def _spread(source: Sequence[int], edit: Sequence[int]) -> list[Entry]:
    return [(s, e, 1.0 / len(edit)) for s in source for e in edit]


def _specials(source: Prompt, edit: Prompt) -> list[Entry]:
    """Start to start, end to end, padding to padding in order, chunk by chunk.

    If the source has more padding than the edit, the remainder is spread over the edit's end and padding.
    Chunks that the edit does not have go to its last one.
    """
    entries: list[Entry] = []
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
    """For each chunk, the columns that are neither its start nor words: end and padding."""
    content, size = prompt.content, prompt.chunk
    return [
        [column for column in range(start + 1, start + size) if column not in content]
        for start in range(0, prompt.columns, size)
    ]
