"""Batched inputs, repeated over samples as the host does and over the rows of each sample."""

from __future__ import annotations

import torch
from comfy.utils import repeat_to_batch_size
from torch import Tensor

from ...p2p_core.rows import per_row


def repeated_per_row(value: Tensor, samples: int, prompts: int) -> Tensor:
    """A batched tensor, repeated over the samples as the host does, then over their rows."""
    return per_row(repeat_to_batch_size(value, samples), prompts)


def mask_per_row(mask: Tensor, samples: int, prompts: int, in_pairs: bool) -> Tensor:
    """A noise mask [H, W] or [any, ...] for each row. A mask per row of a paired latent is unchanged.

    The host has already repeated short masks; a repeating mask is therefore per sample.
    """
    mask = mask if mask.ndim > 2 else mask[None]
    rows = samples * prompts
    repeated = repeat_to_batch_size(mask[:samples], rows)
    if in_pairs and mask.shape[0] == rows and not torch.equal(mask, repeated):
        return mask
    return repeated_per_row(mask, samples, prompts)
