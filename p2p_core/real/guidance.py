"""What edits of a real picture are guided by and away from."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..errors import P2PError

MOST_COLUMNS = 384 * 77  # to which encodings are repeated; 19 chunks and 20 of them are 380


def proximal(with_text: Tensor, without: Tensor, quantile: float) -> tuple[Tensor, Tensor]:
    """Proximal guidance (Han et al. 2023): the text's direction less what is small in it.

    Both: predictions [R, ...]. Gives the prediction with text to guide by, and where something is left of the
    direction. Each row's threshold is a quantile of its absolute values, by which all are shrunk.
    """
    delta = with_text - without
    limits = torch.quantile(delta.abs().float().flatten(1), quantile, dim=1).to(delta)
    limit = limits.reshape(-1, *[1] * (delta.ndim - 1))  # [R, 1, ...]
    shrunk = delta - delta.clamp(-limit, limit)
    return without + shrunk, shrunk != 0


def common_columns(*lengths: int) -> int:
    """To how many columns encodings of these lengths are repeated. Raises P2PError for too many."""
    common = math.lcm(*lengths)
    if common > max(MOST_COLUMNS, *lengths):
        raise P2PError(
            f"prompts whose lengths have a common multiple of at most {MOST_COLUMNS} tokens",
            f"{' and '.join(map(str, lengths))} tokens",
            "Shorten the longer prompt or lengthen the shorter one, to as many chunks of 77 tokens.",
        )
    return common


def mixed_negative(prompt: Tensor, negative: Tensor, share: float) -> Tensor:
    """Negative-prompt inversion (Miyake et al. 2023): the source prompt [1, T, W] as the negative.

    Below a share of 1 mixed with the negative [1, T', W], whose columns are repeated where it is shorter.
    """
    if share == 1:
        return prompt
    columns = common_columns(prompt.shape[1], negative.shape[1])
    ours, theirs = (t.repeat(1, columns // t.shape[1], 1) for t in (prompt, negative))
    return share * ours + (1 - share) * theirs.to(ours)
