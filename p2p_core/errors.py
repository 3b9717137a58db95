"""The one error family of the pack."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager


class P2PError(ValueError):
    """Something the user gave cannot be used.

    expected: what would have been right. got: the value that came. mend: what to do about it.
    node: the display name of the node that refused, where one is known.
    """

    def __init__(self, expected: str, got: str, mend: str, node: str | None = None) -> None:
        self.expected, self.got, self.mend, self.node = expected, got, mend, node
        where = f"{node}: " if node else ""
        super().__init__(f"{where}expected {expected}, got {got}. {mend}")

    def __reduce__(self) -> tuple[type[P2PError], tuple[str, str, str, str | None]]:
        """How it is copied and pickled: the default would call the class with the message alone."""
        return type(self), (self.expected, self.got, self.mend, self.node)

    def at(self, node: str) -> P2PError:
        """The same error, naming `node`; an error that names its node already is kept."""
        return self if self.node else P2PError(self.expected, self.got, self.mend, node)


@contextmanager
def naming(node: str) -> Generator[None]:
    """Give every P2PError raised inside the name of the node."""
    try:
        yield
    except P2PError as error:
        raise error.at(node).with_traceback(error.__traceback__) from error.__cause__
