"""Text fields of the nodes: lists of entries, and one block an edit. Torch-free."""

from __future__ import annotations

import re


def blocks(text: str) -> tuple[str, ...]:
    """Parts separated by a line of three dashes, as edit prompts are."""
    return tuple(part.strip() for part in re.split(r"(?m)^[ \t]*---[ \t\r]*$", text))


def entries(text: str) -> tuple[str, ...]:
    """What stands on a line of its own or between commas or semicolons, without the empty ones."""
    return tuple(entry.strip() for entry in re.split(r"[\n,;]", text) if entry.strip())
