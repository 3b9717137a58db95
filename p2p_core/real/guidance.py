"""Guidance for edits of a real picture."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import P2PError

MOST_COLUMNS = 384 * 77  # limit for repeated encodings; the common multiple of 19 and 20 chunks is 380


def proximal(with_text: Tensor, without: Tensor, quantile: float) -> tuple[Tensor, Tensor]:
    """Proximal guidance (Han et al. 2023): removes small values from the guidance direction.

    Both: predictions [R, ...]. Returns the new prediction with text, and where some of the direction is left.
    Each row's threshold is a quantile of its absolute values, and all values shrink by the threshold.
    """
    delta = with_text - without
    limits = torch.quantile(delta.abs().float().flatten(1), quantile, dim=1).to(delta)
    limit = limits.reshape(-1, *[1] * (delta.ndim - 1))  # [R, 1, ...]
    shrunk = delta - delta.clamp(-limit, limit)
    return without + shrunk, shrunk != 0


def common_columns(*lengths: int) -> int:
    """The number of columns that encodings of these lengths are repeated to. Raises P2PError for too many."""
    common = math.lcm(*lengths)
    if common > max(MOST_COLUMNS, *lengths):
        raise P2PError(
            f"prompts whose lengths have a common multiple of at most {MOST_COLUMNS} tokens",
            f"{' and '.join(map(str, lengths))} tokens",
            "Shorten the longer prompt or lengthen the shorter one to the same number of 77-token chunks.",
        )
    return common


def mixed_negative(prompt: Tensor, negative: Tensor, share: float) -> Tensor:
    """Negative-prompt inversion (Miyake et al. 2023): the source prompt [1, T, W] as the negative.

    With a share below 1, it is mixed with the negative [1, T', W]; the columns of the shorter one are
    repeated.
    """
    if share == 1:
        return prompt
    columns = common_columns(prompt.shape[1], negative.shape[1])
    ours, theirs = (t.repeat(1, columns // t.shape[1], 1) for t in (prompt, negative))
    return share * ours + (1 - share) * theirs.to(ours)
