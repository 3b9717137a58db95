"""Finds phrases in the words of a prompt, in time that grows with the prompt and not with its repetitions.

Torch-free.
"""

from __future__ import annotations

from collections.abc import Sequence

from .texts import readings, splits_a_word, without_punctuation

Span = tuple[int, int]  # words, [start, stop)
_MANY = 100_000  # possible starts × characters of a phrase


class Finder:
    """The words of a prompt, and the phrases that were found in them."""

    def __init__(self, words: Sequence[str]) -> None:
        self._readings = [tuple(filter(None, readings(word))) for word in words]
        self._places: dict[str, list[int]] = {}
        for i, texts in enumerate(self._readings):
            for text in texts:
                self._places.setdefault(text, []).append(i)
        self._lengths = sorted({len(text) for text in self._places})
        self._found: dict[str, list[Span]] = {}

    def spans(self, phrase: str) -> list[Span]:
        """Every occurrence of a normalised phrase, with or without the punctuation around it."""
        if phrase not in self._found:
            self._found[phrase] = self._matches(phrase) or self._matches(without_punctuation(phrase))
        return self._found[phrase]

    def _matches(self, phrase: str) -> list[Span]:
        found: list[Span] = []
        free = 0
        for start in self._starts(phrase):
            stop = self._match(start, phrase) if start >= free else None
            if stop:
                found.append((start, stop))
                free = stop
        return found

    def _starts(self, phrase: str) -> Sequence[int]:
        """The words at which the phrase may start, in order."""
        some = {i for n in self._lengths if n <= len(phrase) for i in self._places.get(phrase[:n], ())}
        return sorted(some) if len(some) * len(phrase) < _MANY else self._certain_starts(phrase)

    def _certain_starts(self, phrase: str) -> Sequence[int]:
        """The same for words that repeat many times, in one pass from the last word to the first.

        Bit p of `matching` is set if the words from here on match phrase[p:].
        """
        spaces, whole = _bits(phrase, " "), 1 << len(phrase)
        bits = {text: _bits(phrase, text) for text in self._places}
        starts: list[int] = []
        matching = 0
        for i in reversed(range(len(self._readings))):
            after, matching = matching | (matching >> 1 & spaces) | whole, 0
            for text in self._readings[i]:
                matching |= after >> len(text) & bits[text]
            if matching & 1:
                starts.append(i)
        return starts[::-1]

    def _match(self, start: int, phrase: str) -> int | None:
        """The word after the phrase if it starts at this word."""
        at = 0
        for i in range(start, len(self._readings)):
            text = next((t for t in self._readings[i] if phrase.startswith(t, at)), None)
            if text is None:
                return None
            at += len(text)
            if at == len(phrase):
                return i + 1
            if splits_a_word(text, phrase[at]):
                return None
            at += phrase[at].isspace()
        return None


def _bits(phrase: str, text: str) -> int:
    """The places of a text in a phrase: bit p is set if phrase[p:] starts with it."""
    bits, at = 0, phrase.find(text)
    while at >= 0:
        bits |= 1 << at
        at = phrase.find(text, at + 1)
    return bits
