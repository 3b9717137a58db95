"""Tokenised prompts: words, their columns on the key axis, and finding them by text. Torch-free."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from ..errors import P2PError
from .fields import blocks
from .finding import Finder
from .texts import parse_query

Role = Literal["word", "space", "left padding", "start", "prefix", "suffix", "end", "padding"]


@dataclass(frozen=True)
class Word:
    """A word, a punctuation mark or an embedding, with the columns and texts of its tokens.

    spaces: columns of white space next to it that has tokens of its own.
    """

    text: str
    columns: tuple[int, ...]
    weight: float = 1.0
    tokens: tuple[str, ...] = ()
    spaces: tuple[int, ...] = ()


@dataclass(frozen=True)
class Segment:
    """Columns that a text encoder read together: a chunk of CLIP, or the whole prompt.

    The segments of one encoder follow one another. roles: of each column. What stands around the words is
    padding, the encoder's own start and end, and the prefix and suffix of a chat template.
    """

    encoder: str
    start: int
    roles: tuple[Role, ...]

    @property
    def stop(self) -> int:
        return self.start + len(self.roles)

    def having(self, *roles: Role) -> list[int]:
        """The columns of these roles, in order."""
        return [self.start + i for i, role in enumerate(self.roles) if role in roles]


@dataclass(frozen=True)
class Prompt:
    """A tokenised prompt: `text` as typed, its words in order, and the segments of its T = `columns`."""

    text: str
    words: tuple[Word, ...]
    segments: tuple[Segment, ...]

    def __hash__(self) -> int:
        """Cheap, because a plan looks up its prompts in every layer."""
        return hash((self.text, self.columns))

    @cached_property
    def columns(self) -> int:
        return self.segments[-1].stop

    @cached_property
    def encoders(self) -> dict[str, range]:
        """The columns of each text encoder, in order."""
        found: dict[str, range] = {}
        for segment in self.segments:
            first = found.get(segment.encoder, range(segment.start, 0)).start
            found[segment.encoder] = range(first, segment.stop)
        return found

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
        found = self._finder.spans(phrase)
        chosen = found if nth is None else found[nth - 1 : nth]
        if not chosen:
            raise self._missing(query, len(found))
        return tuple(c for span in chosen for word in self.words[slice(*span)] for c in word.columns)

    def has(self, query: str) -> bool:
        """Whether `find` would succeed."""
        phrase, nth = parse_query(query)
        return len(self._finder.spans(phrase)) >= (nth or 1)

    @cached_property
    def _finder(self) -> Finder:
        return Finder([word.text for word in self.words])

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
