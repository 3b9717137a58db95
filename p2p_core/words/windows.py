"""When an edit acts: windows of progress, 0 (pure noise) to 1 (finished), and windows of single words."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import P2PError
from .fields import entries
from .texts import number


@dataclass(frozen=True)
class Window:
    """Active while start ≤ progress < end; an end of 1 includes the last step. Empty if start = end."""

    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.start <= 1 and 0 <= self.end <= 1):
            raise P2PError("a window within 0..1", str(self), "Set start and end between 0 and 1.")
        if self.end < self.start:
            raise P2PError("a window whose end is not before its start", str(self), "Swap start and end.")

    def __str__(self) -> str:
        return f"{self.start:g}-{self.end:g}"

    @property
    def empty(self) -> bool:
        return self.start == self.end

    def active(self, progress: float) -> bool:
        return self.start <= progress and (progress < self.end or (self.end == 1 and not self.empty))


@dataclass(frozen=True)
class Windows:
    """Windows of cross- and self-attention."""

    cross: Window
    self_attention: Window


@dataclass(frozen=True)
class WordWindow:
    """A window for one word or phrase of the edit prompt, in place of the general window."""

    word: str
    window: Window


@dataclass(frozen=True)
class Schedule:
    """The model calls of a sampling, one per step.

    progress: of each, ascending. end: where the sampling stops, 1 for a finished image.
    """

    progress: tuple[float, ...]
    end: float = 1.0

    @property
    def steps(self) -> float:
        """How many steps a sampling from 0 to 1 would take at the rate of this one."""
        span = self.end - self.progress[0]
        return len(self.progress) / span if span > 0 else len(self.progress)

    def first(self, share: float) -> float:
        """Progress at the end of the first `share` of all steps from 0 to 1, at least one step."""
        steps = max(1, round(share * self.steps)) - round(self.progress[0] * self.steps)
        return (*self.progress, self.end)[min(max(steps, 0), len(self.progress))]

    def acting(self, window: Window) -> Window:
        """The window; if it lies between two calls, it starts at the call whose step covers it."""
        if window.empty or any(map(window.active, self.progress)) or window.end > self.end:
            return window
        before = [progress for progress in self.progress if progress <= window.start]
        return Window(before[-1], window.end) if before else window


_NUMBER = r"[-+]?[\d.]+(?:e-?\d+)?"
_SPAN = re.compile(rf"(?:(?P<start>{_NUMBER})\s*(?:-|–|\.\.|to)\s*)?(?P<end>{_NUMBER})")
_LONGEST = 100  # characters of a span


def parse_word_windows(text: str) -> tuple[WordWindow, ...]:
    """`lion: 0.4` (from 0 to 0.4) or `red car: 0.2-0.8`, separated by line breaks, commas or semicolons."""
    return tuple(_word_window(entry) for entry in entries(text))


def _word_window(entry: str) -> WordWindow:
    word, _, span = (part.strip() for part in entry.rpartition(":"))
    match = _SPAN.fullmatch(span) if word and len(span) <= _LONGEST else None
    try:
        if match is None:
            raise ValueError
        return WordWindow(word, Window(number(match["start"] or "0"), number(match["end"])))
    except P2PError as error:
        raise P2PError(error.expected, repr(entry), error.hint) from None
    except ValueError:
        raise P2PError(
            "word windows such as 'lion: 0.4' or 'red car: 0.2-0.8'",
            repr(entry),
            "Write the word, a colon, and the end or start-end of its window, one word per line.",
        ) from None
