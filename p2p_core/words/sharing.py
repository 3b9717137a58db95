"""How the attention on columns of one prompt is shared among those of another: words and what is around them.

Each text encoder keeps to its own columns, and each role to its own: padding goes to padding, the template to
the template. Torch-free.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

from ..errors import P2PError
from .prompts import Prompt, Role, Segment, Word

SHARES = 1 << 20  # of one phrase; more would take gigabytes
Entry = tuple[int, int, float]  # source column, edit column, share


@dataclass(frozen=True)
class Tokens:
    """The tokens of the words in one encoder: texts, word ends marked, and columns.

    spaces: by the column of a word's first token, the columns of white space next to the word.
    """

    texts: list[str] = field(default_factory=list[str])
    columns: list[int] = field(default_factory=list[int])
    spaces: dict[int, list[int]] = field(default_factory=dict[int, list[int]])


def tokens_of(prompt: Prompt, encoder: str) -> Tokens:
    among = prompt.encoders.get(encoder, range(0))
    found = Tokens()
    for word in prompt.words:
        own = [(t, c) for t, c in zip(word.tokens, word.columns, strict=True) if c in among]
        if own:
            found.spaces[own[0][1]] = [c for c in word.spaces if c in among]
            found.texts.extend(text + "\0" * (column == own[-1][1]) for text, column in own)
            found.columns.extend(column for _, column in own)
    return found


def columns_of(words: Iterable[Word]) -> list[int]:
    """The columns of words with the white space next to them."""
    return [column for word in words for column in (*word.columns, *word.spaces)]


def shared_kept(left: Tokens, right: Tokens, pair: tuple[int, int]) -> list[Entry]:
    """A token that both prompts have, with the white space next to its word if it is the word's first."""
    s, e = left.columns[pair[0]], right.columns[pair[1]]
    before, after = left.spaces.get(s, []), right.spaces.get(e, [])
    return [(s, e, 1.0), *(_share(before, after) if after else [])]


def shared_words(source: Prompt, edit: Prompt, left: tuple[int, int], right: tuple[int, int]) -> list[Entry]:
    """Equally many words one to one, otherwise phrase to phrase. left, right: spans of words."""
    words, others = source.words[slice(*left)], edit.words[slice(*right)]
    one_to_one = len(words) == len(others)
    pairs = [((a,), (b,)) for a, b in zip(words, others, strict=True)] if one_to_one else [(words, others)]
    return [entry for a, b in pairs for entry in _by_encoder(source, edit, a, b)]


def _by_encoder(source: Prompt, edit: Prompt, left: Sequence[Word], right: Sequence[Word]) -> list[Entry]:
    share = _share if len(left) == len(right) else _spread
    entries: list[Entry] = []
    whole = _columns(right)
    for encoder, among in source.encoders.items():
        there = edit.encoders.get(encoder, range(0))
        columns = [c for c in _columns(right) if c in there] or whole
        spaces = [c for word in right for c in word.spaces if c in there]
        entries += share([c for c in _columns(left) if c in among], columns)
        around = [c for word in left for c in word.spaces if c in among]
        entries += _share(around, spaces) if spaces else _spread(around, columns)
    return entries


def _columns(words: Sequence[Word]) -> list[int]:
    return [column for word in words for column in word.columns]


def _share(source: Sequence[int], edit: Sequence[int]) -> list[Entry]:
    """Equal numbers of tokens one to one, otherwise evenly (the paper's rule for words of several tokens)."""
    if len(source) == len(edit):
        return [(s, e, 1.0) for s, e in zip(source, edit, strict=True)]
    return _spread(source, edit)


def _spread(source: Sequence[int], edit: Sequence[int]) -> list[Entry]:
    if len(source) * len(edit) > SHARES:
        raise P2PError(
            f"changed phrases whose tokens have at most {SHARES:,} pairs",
            f"{len(source):,} tokens that become {len(edit):,}",
            "Keep some words between the changes, or as many words as there were.",
        )
    return [(s, e, 1.0 / len(edit)) for s in source for e in edit]


# What is around the words

_ROLES: tuple[tuple[Role, ...], ...] = (("start",), ("prefix",), ("suffix",), ("end", "padding"))


def shared_specials(source: Prompt, edit: Prompt) -> list[Entry]:
    """Start to start, template to template, end to end, padding to padding in order, segment by segment.

    Where the source has more padding than the edit, what is left over is spread over the edit's end and
    padding; segments that the edit does not have go to the encoder's last one.
    """
    entries: list[Entry] = []
    for encoder in source.encoders:
        theirs = [s for s in edit.segments if s.encoder == encoder] or edit.segments[-1:]
        own = [s for s in source.segments if s.encoder == encoder]
        for number, segment in enumerate(own):
            entries += _by_role(segment, theirs[min(number, len(theirs) - 1)])
    return entries


def _by_role(left: Segment, right: Segment) -> list[Entry]:
    entries = _in_order(left.having("left padding")[::-1], right.having("left padding")[::-1], right)
    for roles in _ROLES:
        entries += _in_order(left.having(*roles), right.having(*roles), right)
    return entries


def _in_order(left: Sequence[int], right: Sequence[int], segment: Segment) -> list[Entry]:
    """One to one; what the source has more of goes to all of these roles, or to all around the words."""
    over = right or segment.having("left padding", *chain.from_iterable(_ROLES))
    over = over or list(range(segment.start, segment.stop))
    return [*((s, e, 1.0) for s, e in zip(left, right, strict=False)), *_spread(left[len(right) :], over)]
