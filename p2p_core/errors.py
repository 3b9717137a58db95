"""The one error family of the pack."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

LONGEST = 400  # characters of what was expected and of what came


class P2PError(ValueError):
    """Invalid input. Long texts are shortened to what a person reads.

    expected: what would be valid. got: the actual value. hint: how to fix it, in terms that hold for every
    host. topic: a key under which a host may register its own advice. node: the display name of the node that
    raised it, if known.
    """

    def __init__(
        self, expected: str, got: str, hint: str, node: str | None = None, *, topic: str = ""
    ) -> None:
        self.expected, self.got, self.hint = map(
            shortened, (expected, got, hint), (LONGEST, LONGEST, 2 * LONGEST)
        )
        self.node, self.topic = node, topic
        where = f"{node}: " if node else ""
        super().__init__(f"{where}expected {self.expected}, got {self.got}. {self.hint}")

    def __reduce__(self) -> tuple[object, tuple[str, str, str, str | None], dict[str, str]]:
        """For copy and pickle: the default would call the class with only the message."""
        return type(self), (self.expected, self.got, self.hint, self.node), {"topic": self.topic}

    def at(self, node: str, advice: Mapping[str, str] | None = None) -> P2PError:
        """The same error with `node`, and with the host's advice on its topic in place of the hint.

        "{hint}" in the advice is replaced by the hint. An error that already has a node is returned
        unchanged.
        """
        if self.node:
            return self
        hint = (advice or {}).get(self.topic, self.hint).replace("{hint}", self.hint)
        return P2PError(self.expected, self.got, hint, node, topic=self.topic)


def shortened(text: str, most: int = LONGEST) -> str:
    """The text or, if it is longer than `most`, its start and end and how long it was."""
    if len(text) <= most:
        return text
    length = f" … ({len(text):,} characters) … "
    start = 3 * (most - len(length)) // 4
    return text[:start] + length + text[start + len(length) - most :]


@contextmanager
def naming(node: str, advice: Mapping[str, str] | None = None) -> Generator[None]:
    """Add the name of the node and the host's advice to every P2PError raised inside."""
    try:
        yield
    except P2PError as error:
        raise error.at(node, advice).with_traceback(error.__traceback__) from error.__cause__
