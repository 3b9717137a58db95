"""Encodings of unequal length: repeating all columns of a prompt changes no attention over them."""

from __future__ import annotations

import math

from ..errors import P2PError

MOST_COLUMNS = 384 * 77  # 19 chunks and 20 of them have 380 in common


def common_length(*lengths: int) -> int:
    """The number of columns to which prompts of these lengths are repeated, their least common multiple.

    Raises P2PError where it is far beyond the longest of them.
    """
    common = math.lcm(*lengths)
    if common > max(MOST_COLUMNS, *lengths):
        raise P2PError(
            f"prompts whose lengths have a common multiple of at most {MOST_COLUMNS} tokens",
            f"{' and '.join(map(str, lengths))} tokens",
            "Shorten the longer prompt or lengthen the shorter one, to as many chunks of 77 tokens.",
        )
    return common
