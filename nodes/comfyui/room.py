"""The memory of a paired batch, asked for before it is sampled."""

from __future__ import annotations

import logging
from typing import Any

from comfy.model_management import get_total_memory
from torch import Tensor

from ...p2p_core.errors import P2PError
from ...p2p_core.limits import LATENTS, in_words, require_memory


def require_room(patcher: Any, latent: Tensor, samples: int, prompts: int) -> None:
    """Raises P2PError for an empty latent, and if the latents of all rows take too much memory.

    What the model needs for them is only the host's estimate, so that more than the device has is a warning.
    """
    if not latent.numel():
        raise P2PError(
            "a latent with samples", f"shape {list(latent.shape)}", "Connect a latent that is not empty."
        )
    rows, size = samples * prompts, " × ".join(map(str, latent.shape[:1:-1]))
    what = f"{samples} samples × {prompts} prompts = {rows} latents of {size}"
    hint = "Use fewer samples, fewer edits, or smaller images."
    require_memory(what, rows * latent[0].numel(), LATENTS, hint)
    needed = int(patcher.model.memory_required([rows, *latent.shape[1:]]))
    there = get_total_memory(patcher.load_device)
    if needed > there:
        logging.warning(
            "Prompt-to-Prompt: %s may need %s, and %s has %s. If the sampling fails: %s",
            what, in_words(needed), patcher.load_device, in_words(there), hint,
        )  # fmt: skip
