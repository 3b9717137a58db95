"""Rows of a paired batch: row r holds prompt r mod P of sample r div P."""

from __future__ import annotations

import logging

import torch
from comfy.utils import repeat_to_batch_size
from torch import Tensor


def per_row(value: Tensor, samples: int, prompts: int) -> Tensor:
    """A tensor with a batch of its own, repeated over the samples as by the host, then over their rows."""
    return repeat_to_batch_size(value, samples).repeat_interleave(prompts, dim=0)


def mask_per_row(mask: Tensor, samples: int, prompts: int, in_pairs: bool) -> Tensor:
    """A noise mask [H, W] or [any, ...] for each row. One for each row of a paired latent stays as it is.

    What is shorter than the latent the host has repeated by then; masks of samples are told by that.
    """
    mask = mask if mask.ndim > 2 else mask[None]
    rows = samples * prompts
    repeated = repeat_to_batch_size(mask[:samples], rows)
    if in_pairs and mask.shape[0] == rows and not torch.equal(mask, repeated):
        return mask
    return per_row(mask, samples, prompts)


def are_pairs(noise: Tensor, latent: Tensor, prompts: int) -> bool:
    """Whether a latent is in paired rows already, as one that comes out of a paired sampling.

    Told by the noise: the rows of a sample have the same, or none where a sampling is continued. Rows of
    other latents have noise of their own. An empty latent holds no pairs.
    """
    if prompts == 1 or noise.shape[0] % prompts or not latent.any():
        return False
    if _equal_in_samples(noise, prompts):
        return True
    if not _equal_in_samples(latent, prompts):
        logging.warning(
            "Prompt-to-Prompt: each of the %d latents is taken for a sample of its own. If they came out of "
            "a paired sampling, put Latent Batch Seed Behavior (fixed) before the sampler.",
            noise.shape[0],
        )
    return False


def _equal_in_samples(rows: Tensor, prompts: int) -> bool:
    return torch.equal(rows, rows[::prompts].repeat_interleave(prompts, dim=0))
