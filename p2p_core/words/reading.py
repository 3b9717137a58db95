"""Which words the tokens of a text encoder stand for, found by their bytes. Torch-free.

Tokenizers of language models mark no word ends, join words with punctuation, split letters into bytes and
change the text (composed letters, lower case). So the words come from the text, and the bytes of the tokens
are matched with those of the words, white space left out.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .prompts import Role
from .texts import composed, marks

_WIDE = (
    "[\u1100-\u115f\u2e80-\u2fff\u3001-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe4f\uff01-\uff60\uffe0-\uffe6"
    "\U0001f300-\U0001faff\U00020000-\U0003fffd]"
)

_HIDDEN = "[\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u2064\ufe00-\ufe0f\ufeff]"


@lru_cache(maxsize=1)
def _word() -> re.Pattern[str]:
    letter = rf"(?:(?!{_WIDE})[^\W\d_])"
    return re.compile(
        rf"(?P<embedding>(?<!\S)embedding:[\w./\\-]+)"
        rf"|'(?:re|ve|ll|[stmd])(?!{letter})"
        rf"|{letter}(?:{letter}|[{marks()}])*"
        rf"|\d+"
        rf"|{_WIDE}(?:[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff]|\u200d{_WIDE})*"
        rf"|(?!{_HIDDEN})(?:(?!{_WIDE})[^\w\s]|_)+",
        re.IGNORECASE,
    )


@dataclass(frozen=True)
class Text:
    """The words of a text in order: letters or digits in a row, punctuation in a row, names of embeddings.

    Where a script has no spaces, each letter is a word. starts, stops: their places in `plain`.
    """

    plain: str
    words: tuple[str, ...]
    starts: tuple[int, ...]
    stops: tuple[int, ...]
    embeddings: frozenset[int]


def words_of(plain: str) -> Text:
    found = list(_word().finditer(plain))
    return Text(
        plain,
        tuple(match[0] for match in found),
        tuple(match.start() for match in found),
        tuple(match.end() for match in found),
        frozenset(i for i, match in enumerate(found) if match["embedding"]),
    )


@dataclass(frozen=True)
class Token:
    """One token of an encoder. data: its bytes, None where its vocabulary does not have the text.

    role: "word" for what the text became, also where it is white space. embedding: a vector of a textual
    inversion, without data; the vectors of one have the same number.
    """

    data: bytes | None = b""
    role: Role = "word"
    weight: float = 1.0
    embedding: int | None = None


@dataclass(frozen=True)
class Reading:
    """Which words each token stands for, [start, stop) or None. missing: words that no token stands for."""

    tokens: tuple[Token, ...]
    spans: tuple[tuple[int, int] | None, ...]
    missing: tuple[str, ...]


Span = tuple[int, int]  # [start, stop)
Form = Callable[[str], str]
_FORMS: tuple[Form, ...] = (
    lambda text: text,
    composed,
    lambda text: composed(text, "NFKC"),
    lambda text: composed(text).lower(),
    lambda text: composed(text, "NFKC").lower(),
)
_SPACES = re.compile(rb"[ \t\n\r\v\f]+")


def read(tokens: Sequence[Token], text: Text) -> Reading | None:
    """The tokens matched with the words, in whichever form the tokenizer gave them; None if in none.

    The form with the fewest missing words is taken.
    """
    found = [reading for form in _FORMS if (reading := _Matching(text, form).of(tokens)) is not None]
    return min(found, key=lambda reading: len(reading.missing), default=None)


class _Matching:
    """The words in one form, as bytes without white space. starts, stops: of the words."""

    def __init__(self, text: Text, form: Form) -> None:
        self.words = text.words
        self.data = bytearray()
        self.silent = bytearray()  # 1 for bytes that a tokenizer may leave out
        self.starts: list[int] = []
        self.stops: list[int] = []
        before = 0
        for i, (start, stop) in enumerate(zip(text.starts, text.stops, strict=True)):
            self._add(form(text.plain[before:start]), silent=True)
            self.starts.append(len(self.data))
            self._add(form(text.plain[start:stop]), silent=i in text.embeddings)
            self.stops.append(len(self.data))
            before = stop
        self._add(form(text.plain[before:]), silent=True)
        self.embeddings = [(self.starts[i], self.stops[i]) for i in sorted(text.embeddings)]

    def _add(self, text: str, silent: bool) -> None:
        for character in text:
            data = _bare(character.encode("utf-8", "surrogateescape"))
            self.data += data
            self.silent += bytes([silent or not _is_seen(character)]) * len(data)

    def of(self, tokens: Sequence[Token]) -> Reading | None:
        places: list[Span] = []
        unknown: list[int] = []
        at, before = 0, Token()
        for token in tokens:
            same = token.embedding is not None and token.embedding == before.embedding
            place = places[-1] if same else self._place(token, at, bool(unknown))
            before = token
            if place is None:
                return None
            if token.role == "word" and token.data is None:
                unknown.append(len(places))
            elif place[0] < place[1]:
                for i in unknown:
                    places[i] = (at, place[0])
                unknown, at = [], place[1]
            places.append(place)
        for i in unknown:
            places[i] = (at, len(self.data))
        return Reading(tuple(tokens), tuple(map(self._words, places)), self._missing(places))

    def _place(self, token: Token, at: int, after_unknown: bool) -> Span | None:
        """The bytes that a token stands for, none for what is not of the words."""
        if token.embedding is not None:
            number = bisect_left(self.embeddings, (at, 0))
            return self.embeddings[number] if number < len(self.embeddings) else None
        if token.role != "word" or token.data is None:
            return at, at
        data = _bare(token.data)
        start = self.data.find(data, at)
        if start < 0 or not (after_unknown or all(self.silent[at:start])):
            return None
        return start, start + len(data)

    def _words(self, place: Span) -> Span | None:
        first, stop = bisect_right(self.stops, place[0]), bisect_left(self.starts, place[1])
        return (first, stop) if place[0] < place[1] and first < stop else None

    def _missing(self, places: Iterable[Span]) -> tuple[str, ...]:
        covered = bytearray(self.silent)
        for start, stop in places:
            covered[start:stop] = b"\1" * (stop - start)
        spans = zip(self.words, self.starts, self.stops, strict=True)
        return tuple(word for word, start, stop in spans if not all(covered[start:stop]))


def _bare(data: bytes) -> bytes:
    return _SPACES.sub(b"", data)


def _is_seen(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNPSM" and character not in "\ufe0e\ufe0f"
