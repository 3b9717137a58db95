"""Recognises latents that are already in paired rows: those a paired sampling returned (docs/adr/0024).

The host carries no marker from one sampling to the next, so latents are recognised by some of their points.
For latents that other nodes have changed since (an upscale), the noise decides, with a warning.
"""

from __future__ import annotations

import logging
from collections import deque

from torch import Tensor

from ...p2p_core.maps.store import same_points, signature
from ...p2p_core.rows import Rows, equal_in_samples, per_row

_RETURNED: deque[tuple[int, Tensor]] = deque(maxlen=32)  # P and points, of the last paired samplings


def remember(rows: Tensor, prompts: int) -> None:
    """Remember rows of P prompts that a paired sampling returns."""
    _RETURNED.append((prompts, signature(rows)))


def paired_noise(noise: Tensor, latent: Tensor, prompts: int) -> Tensor | None:
    """The noise of a latent in paired rows, equal within each sample; None for a latent of B samples.

    A latent from a paired sampling is in paired rows, and gets the noise that its samples would have without
    edits. Another non-empty latent counts as paired if its noise is equal within each sample (a fixed batch
    seed) or zero (a continued sampling).
    """
    if prompts == 1 or len(noise) % prompts or not bool(latent.any()):
        return None
    equal = equal_in_samples(noise, prompts)
    if _known(latent, prompts):
        return noise if equal else per_row(noise[: Rows.of(len(noise), prompts).samples], prompts)
    if equal:
        logging.warning(
            "Prompt-to-Prompt: %d latents with equal noise are treated as sources and their edits. If "
            "they are different images, remove Latent Batch Seed Behavior (fixed).", len(noise),
        )  # fmt: skip
        return noise
    if not equal_in_samples(latent, prompts):
        logging.warning(
            "Prompt-to-Prompt: each of the %d latents is treated as a sample of its own. If they come from a "
            "paired sampling, put Latent Batch Seed Behavior (fixed) before the sampler.", len(noise),
        )  # fmt: skip
    return None


def _known(latent: Tensor, prompts: int) -> bool:
    points = signature(latent)
    return any(count == prompts and same_points(points, known) for count, known in _RETURNED)
