"""Tokenised prompts: words, their columns on the key axis, and finding them by text. Torch-free."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from ..errors import P2PError
from .fields import blocks

Kind = Literal["text", "special", "embedding"]


@dataclass(frozen=True)
class Piece:
    """One token as the text encoder sees it; its position in the sequence is its column.

    text: the vocabulary string without its end mark (byte-level BPE letters), or the name of an embedding.
    kind: `special` for start, end and padding; `embedding` for a vector of a textual inversion.
    ends_word: whether the word ends with this piece.
    """

    text: str
    kind: Kind = "text"
    ends_word: bool = True
    weight: float = 1.0


@dataclass(frozen=True)
class Word:
    """A word, a punctuation mark or an embedding, with the columns and texts of its tokens."""

    text: str
    columns: tuple[int, ...]
    weight: float = 1.0
    tokens: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prompt:
    """A tokenised prompt: `text` as typed, its words in order, and T = `columns`, a multiple of `chunk`."""

    text: str
    words: tuple[Word, ...]
    columns: int
    chunk: int = 77

    def __hash__(self) -> int:
        """Cheap, because a plan looks up its prompts in every layer."""
        return hash((self.text, self.columns))

    @property
    def content(self) -> frozenset[int]:
        """The columns that belong to words."""
        return frozenset(c for word in self.words for c in word.columns)

    @property
    def names(self) -> tuple[str, ...]:
        """The name of each word: `cat`, or `cat[1]`, `cat[2]` if it occurs more than once."""
        return _names(self, self.repeated)

    @property
    def repeated(self) -> frozenset[str]:
        """The texts of words that occur more than once."""
        return frozenset(text for text, n in Counter(word.text for word in self.words).items() if n > 1)

    def find(self, query: str) -> tuple[int, ...]:
        """Columns of every occurrence of a word or phrase, or of the n-th one for `cat[2]`.

        Case and `(word:1.2)` brackets are ignored, and so is surrounding punctuation that the prompt does not
        have. Parts of words do not match. Raises P2PError listing the prompt's words if it is missing.
        """
        phrase, nth = parse_query(query)
        found = self._occurrences(phrase)
        chosen = found if nth is None else found[nth - 1 : nth]
        if not chosen:
            raise self._missing(query, len(found))
        return tuple(c for words in chosen for word in words for c in word.columns)

    def has(self, query: str) -> bool:
        """Whether `find` would succeed."""
        phrase, nth = parse_query(query)
        return len(self._occurrences(phrase)) >= (nth or 1)

    def _occurrences(self, phrase: str) -> list[Sequence[Word]]:
        return self._matches(phrase) or self._matches(_without_punctuation(phrase))

    def _matches(self, phrase: str) -> list[Sequence[Word]]:
        found: list[Sequence[Word]] = []
        start = 0
        while start < len(self.words):
            stop = self._match(start, phrase)
            if stop:
                found.append(self.words[start:stop])
            start = stop or start + 1
        return found

    def _match(self, start: int, phrase: str) -> int | None:
        rest = phrase
        for i in range(start, len(self.words)):
            text = self.words[i].text
            if not text or not rest.startswith(text):
                return None
            rest = rest[len(text) :]
            if not rest:
                return i + 1
            if _splits_a_word(text, rest):
                return None
            rest = rest.lstrip()
        return None

    def _missing(self, query: str, count: int) -> P2PError:
        words = ", ".join(word.text for word in self.words) or "none"
        times = f" (it occurs {count} time{'s' * (count != 1)})" if count else ""
        return P2PError(
            f"a word or phrase of the prompt {self.text!r}",
            f"{query!r}{times}",
            f"Use one of its words: {words}. Write the second of two equal words as word[2].",
        )


def _names(prompt: Prompt, repeated: Collection[str]) -> tuple[str, ...]:
    seen = Counter[str]()
    names: list[str] = []
    for word in prompt.words:
        seen[word.text] += 1
        names.append(f"{word.text}[{seen[word.text]}]" if word.text in repeated else word.text)
    return tuple(names)


@dataclass(frozen=True)
class PromptSet:
    """The source prompt and E ≥ 0 edit prompts; P = 1 + E rows per sample."""

    source: Prompt
    edits: tuple[Prompt, ...]

    def __post_init__(self) -> None:
        for name, prompt in zip(["a source", *["an edit"] * len(self.edits)], self.prompts, strict=True):
            if not prompt.words:
                raise P2PError(
                    f"{name} prompt with at least one word", repr(prompt.text), f"Write {name} prompt."
                )

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        return (self.source, *self.edits)

    @property
    def count(self) -> int:
        """P, the source and its edits."""
        return len(self.prompts)

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(p.text for p in self.prompts)

    @property
    def names(self) -> tuple[str, ...]:
        """Every word of the prompts once, in order, numbered if any prompt repeats it."""
        repeated = frozenset[str]().union(*(prompt.repeated for prompt in self.prompts))
        return tuple(dict.fromkeys(name for prompt in self.prompts for name in _names(prompt, repeated)))

    def with_edits(self) -> PromptSet:
        """The same prompts. Raises P2PError if there is no edit prompt."""
        if not self.edits:
            raise P2PError(
                "at least one edit prompt",
                "none",
                "Provide the changed prompt.",
                topic="no edit prompt",
            )
        return self

    def copies(self, count: int) -> PromptSet:
        """The prompts or, without an edit prompt, the source with `count` copies of it as edits."""
        return self if self.edits else PromptSet(self.source, (self.source,) * count)

    def require(self, words: Iterable[str], prompts: Sequence[Prompt] | None = None) -> None:
        """Raises P2PError for a word that is in none of these prompts (default: all prompts)."""
        among = self.prompts if prompts is None else prompts
        for word in words:
            if not any(prompt.has(word) for prompt in among):
                among[0].find(word)  # raises, with the prompt's words


def split_edits(text: str) -> tuple[str, ...]:
    """Edit prompts from a text field, separated by lines of three dashes; none in a blank field."""
    return blocks(text) if text.strip() else ()


def build_prompt(text: str, pieces: Sequence[Piece], chunk: int = 77) -> Prompt:
    """A Prompt from the T tokens of a text encoder, where T is a multiple of `chunk`."""
    if not pieces or len(pieces) % chunk:
        raise P2PError(
            f"a whole number of chunks of {chunk} tokens", f"{len(pieces)} tokens", "Use a CLIP text encoder."
        )
    words: list[Word] = []
    open_word: list[tuple[int, Piece]] = []
    for column, piece in enumerate(pieces):
        if piece.kind == "special":
            continue
        open_word.append((column, piece))
        if piece.ends_word:
            words.append(_word(open_word))
            open_word = []
    if open_word:
        words.append(_word(open_word))
    return Prompt(text, tuple(words), len(pieces), chunk)


def _word(pieces: Sequence[tuple[int, Piece]]) -> Word:
    first = pieces[0][1]
    text = first.text if first.kind == "embedding" else decode_bytes("".join(p.text for _, p in pieces))
    columns, tokens = tuple(column for column, _ in pieces), tuple(piece.text for _, piece in pieces)
    return Word(normalise(text), columns, first.weight, tokens)


# Text


def normalise(text: str) -> str:
    """The form in which words are compared: composed characters, lower case, single spaces."""
    return " ".join(unicodedata.normalize("NFC", text).lower().split())


def _without_punctuation(phrase: str) -> str:
    """The phrase without punctuation and spaces around it."""
    return phrase.strip(" " + "".join(c for c in phrase if unicodedata.category(c).startswith("P")))


def _splits_a_word(text: str, rest: str) -> bool:
    """Whether a tokenizer would not end the word `text` before `rest`, that is, inside a run of letters.

    Contractions ('s, 't) are always separate words in CLIP.
    """
    return text[-1].isalpha() and rest[0].isalpha() and not text.startswith("'")


_NTH = re.compile(r"^(?P<phrase>.+)\[(?P<nth>[1-9]\d*)\]$", re.DOTALL)
_WEIGHTED = re.compile(r"^\((?P<phrase>.+?)(?::\s*[-+]?\d*\.?\d+)?\)$", re.DOTALL)


def parse_query(query: str) -> tuple[str, int | None]:
    """A word as a user writes it (`cat`, `cat[2]`, `red car`, `(cat:1.2)`) → normalised phrase, number."""
    text, nth = _unweighted(query), None
    if match := _NTH.match(text):
        text, nth = _unweighted(match["phrase"]), int(match["nth"])
    return normalise(text), nth


def _unweighted(text: str) -> str:
    while match := _WEIGHTED.match(text.strip()):
        text = match["phrase"]
    return text.strip()


@lru_cache(maxsize=1)
def _byte_of_letter() -> dict[str, int]:
    """Byte-level BPE writes each byte as one printable letter: printable bytes stand for themselves, and the
    others are moved to 256 and up, in order."""
    kept = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [b for b in range(256) if b not in set(kept)]
    return {chr(b): b for b in kept} | {chr(256 + i): b for i, b in enumerate(moved)}


def decode_bytes(letters: str) -> str:
    """Byte-level BPE letters as text; a string with other characters is returned as it is."""
    table = _byte_of_letter()
    if any(letter not in table for letter in letters):
        return letters
    return bytes(table[letter] for letter in letters).decode("utf-8", errors="replace")
