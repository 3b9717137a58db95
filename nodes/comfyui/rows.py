"""What the host repeats over a batch, repeated over the rows of each sample."""

from __future__ import annotations

import torch
from comfy.utils import repeat_to_batch_size
from torch import Tensor

from ...p2p_core.rows import per_row


def repeated_per_row(value: Tensor, samples: int, prompts: int) -> Tensor:
    """A tensor with a batch of its own, repeated over the samples as by the host, then over their rows."""
    return per_row(repeat_to_batch_size(value, samples), prompts)


def mask_per_row(mask: Tensor, samples: int, prompts: int, in_pairs: bool) -> Tensor:
    """A noise mask [H, W] or [any, ...] for each row. One for each row of a paired latent stays as it is.

    What is shorter than the latent the host has repeated by then; masks of samples are told by that.
    """
    mask = mask if mask.ndim > 2 else mask[None]
    rows = samples * prompts
    repeated = repeat_to_batch_size(mask[:samples], rows)
    if in_pairs and mask.shape[0] == rows and not torch.equal(mask, repeated):
        return mask
    return repeated_per_row(mask, samples, prompts)
