"""Text fields: lists of entries, and blocks. Torch-free."""

from __future__ import annotations

import re


def blocks(text: str) -> tuple[str, ...]:
    """Parts separated by lines of three dashes, such as edit prompts."""
    return tuple(part.strip() for part in re.split(r"(?m)^[ \t]*---[ \t\r]*$", text))


def entries(text: str) -> tuple[str, ...]:
    """Non-empty items separated by line breaks, commas or semicolons."""
    return tuple(entry.strip() for entry in re.split(r"[\n,;]", text) if entry.strip())
