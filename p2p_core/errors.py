"""The one error family of the pack."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager


class P2PError(ValueError):
    """Something the user gave cannot be used.

    expected: what would have been right. got: the value that came. hint: what to do about it, in words that
    hold for every host. topic: a name under which a host may keep advice of its own. node: the display name
    of the node that refused, where one is known.
    """

    def __init__(
        self, expected: str, got: str, hint: str, node: str | None = None, *, topic: str = ""
    ) -> None:
        self.expected, self.got, self.hint, self.node, self.topic = expected, got, hint, node, topic
        where = f"{node}: " if node else ""
        super().__init__(f"{where}expected {expected}, got {got}. {hint}")

    def __reduce__(self) -> tuple[object, tuple[str, str, str, str | None], dict[str, str]]:
        """How it is copied and pickled: the default would call the class with the message alone."""
        return type(self), (self.expected, self.got, self.hint, self.node), {"topic": self.topic}

    def at(self, node: str, advice: Mapping[str, str] | None = None) -> P2PError:
        """The same error naming `node`, with the host's advice on its topic for the hint.

        "{hint}" in the advice stands for the hint.

        An error that names its node already is kept.
        """
        if self.node:
            return self
        hint = (advice or {}).get(self.topic, self.hint).replace("{hint}", self.hint)
        return P2PError(self.expected, self.got, hint, node, topic=self.topic)


@contextmanager
def naming(node: str, advice: Mapping[str, str] | None = None) -> Generator[None]:
    """Give every P2PError raised inside the name of the node and the host's advice."""
    try:
        yield
    except P2PError as error:
        raise error.at(node, advice).with_traceback(error.__traceback__) from error.__cause__
