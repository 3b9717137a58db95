"""Alignment of the source's tokens with an edit's (paper section 3.2, its code's seq_aligner). Torch-free."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from operator import eq

from .prompts import Prompt
from .sharing import Entry, Tokens, columns_of, shared_kept, shared_specials, shared_words, tokens_of

Span = tuple[int, int]


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

    Prompts of the same form are paired word by word, as in the paper's code. Otherwise a changed phrase maps
    onto a changed phrase; a phrase without a counterpart is widened by the adjacent kept word, so that no
    attention is lost. All alpha are 1. Both prompts have words.
    """
    entries = shared_specials(source, edit)
    for change in swap_changes(source, edit):
        entries += shared_words(source, edit, change.source, change.edit)
    return _alignment(source, edit, entries)


def align_refine(source: Prompt, edit: Prompt) -> Alignment:
    """Refinement: global alignment of the tokens, match 1, mismatch −1, gap 0, as in the paper's code.

    With these scores the best alignment is a longest common subsequence. Tokens in both prompts take the
    source's attention, and the edit's other tokens keep their own. Attention on tokens that the edit lacks is
    dropped.
    """
    entries, kept = shared_specials(source, edit), set[int]()
    for encoder in edit.encoders:
        left, right = tokens_of(source, encoder), tokens_of(edit, encoder)
        for pair in _kept_tokens(left, right):
            shares = shared_kept(left, right, pair)
            entries += shares
            kept.update(e for _, e, _ in shares)
    return _alignment(source, edit, entries, set(columns_of(edit.words)) - kept)


def align_edit(source: Prompt, edit: Prompt) -> Alignment:
    """Both: replacing words take over the attention of the replaced ones, added words keep their own.

    Attention on removed words is dropped, as in refinement.
    """
    entries, added = shared_specials(source, edit), set[int]()
    for change in edit_changes(source, edit):
        if change.added:
            added.update(columns_of(edit.words[slice(*change.edit)]))
        elif not change.removed:
            entries += shared_words(source, edit, change.source, change.edit)
    return _alignment(source, edit, entries, added)


def edit_changes(source: Prompt, edit: Prompt) -> tuple[Change, ...]:
    """Kept, swapped, added and removed spans, in order, covering all words of both prompts."""
    return tuple(_differences([w.text for w in source.words], [w.text for w in edit.words]))


def swap_changes(source: Prompt, edit: Prompt) -> tuple[Change, ...]:
    """The spans of word swap, in order, covering all words of both prompts."""
    a, b = [w.text for w in source.words], [w.text for w in edit.words]
    if _same_form(a, b):
        return tuple(_kept_or_changed(a, b, i, i) for i in range(len(a)))
    return tuple(_widen(_differences(a, b)))


def _same_form(a: Sequence[str], b: Sequence[str]) -> bool:
    """Whether words can be paired by position: no other pairing keeps more of them."""
    return len(a) == len(b) and sum(map(eq, a, b)) >= len(common_words(a, b))


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


def _kept_tokens(left: Tokens, right: Tokens) -> list[tuple[int, int]]:
    """Indices of the tokens that both have."""
    changes = _differences(left.texts, right.texts)
    return [(change.source[0], change.edit[0]) for change in changes if change.kept]


def _alignment(
    source: Prompt, edit: Prompt, entries: Sequence[Entry], added: Collection[int] = ()
) -> Alignment:
    alpha = tuple(float(column not in added) for column in range(edit.columns))
    return Alignment(tuple(sorted(entries)), alpha, source.columns)
