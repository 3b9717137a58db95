"""Text fields: how long they may be, lists of entries, and blocks. Torch-free."""

from __future__ import annotations

import re

from ..errors import P2PError

CHARACTERS = 10_000  # of a field; every parser reads that many in well under a second


def require_length(text: str) -> str:
    """The text. Raises P2PError if it is longer than a field may be."""
    if len(text) > CHARACTERS:
        raise P2PError(f"at most {CHARACTERS:,} characters in a field", f"{len(text):,}", "Shorten the text.")
    return text


def blocks(text: str) -> tuple[str, ...]:
    """Parts separated by lines of three dashes, such as edit prompts."""
    lines: list[list[str]] = [[]]
    for line in require_length(text).split("\n"):
        if line.strip(" \t\r") == "---":
            lines.append([])
        else:
            lines[-1].append(line)
    return tuple("\n".join(block).strip() for block in lines)


def entries(text: str) -> tuple[str, ...]:
    """Non-empty items separated by line breaks, commas or semicolons."""
    return tuple(entry.strip() for entry in re.split(r"[\n,;]", require_length(text)) if entry.strip())
