"""Rows of a paired batch: row r holds prompt r mod P of sample r div P."""

from __future__ import annotations

import logging

import torch
from comfy.utils import repeat_to_batch_size
from torch import Tensor


def per_row(value: Tensor, samples: int, prompts: int) -> Tensor:
    """A batched tensor, repeated over the samples as the host does, then over their rows."""
    return repeat_to_batch_size(value, samples).repeat_interleave(prompts, dim=0)


def mask_per_row(mask: Tensor, samples: int, prompts: int, in_pairs: bool) -> Tensor:
    """A noise mask [H, W] or [any, ...] for each row. A mask per row of a paired latent is unchanged.

    The host has already repeated short masks; a repeating mask is therefore per sample.
    """
    mask = mask if mask.ndim > 2 else mask[None]
    rows = samples * prompts
    repeated = repeat_to_batch_size(mask[:samples], rows)
    if in_pairs and mask.shape[0] == rows and not torch.equal(mask, repeated):
        return mask
    return per_row(mask, samples, prompts)


def are_pairs(noise: Tensor, latent: Tensor, prompts: int) -> bool:
    """Whether a latent is already in paired rows, as after a paired sampling.

    Recognised by its noise: the rows of a sample have equal noise, or none if a sampling is continued. Rows
    of other latents have different noise. An empty latent holds no pairs.
    """
    if prompts == 1 or noise.shape[0] % prompts or not latent.any():
        return False
    if _equal_in_samples(noise, prompts):
        return True
    if not _equal_in_samples(latent, prompts):
        logging.warning(
            "Prompt-to-Prompt: each of the %d latents is treated as a sample of its own. If they come from a "
            "paired sampling, put Latent Batch Seed Behavior (fixed) before the sampler.",
            noise.shape[0],
        )
    return False


def _equal_in_samples(rows: Tensor, prompts: int) -> bool:
    return torch.equal(rows, rows[::prompts].repeat_interleave(prompts, dim=0))
