"""Names of the layers of U-Nets of the Stable Diffusion family. Torch-free."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..errors import P2PError
from .layers import Layer

_BLOCK = re.compile(r"(down|up)_blocks\.(\d+)\.attentions\.(\d+)\.transformer_blocks\.(\d+)\.")
_MIDDLE = re.compile(r"mid_block\.attentions\.0\.transformer_blocks\.(\d+)\.")


def diffusers_layer(name: str, config: Mapping[str, Any]) -> Layer:
    """The layer of an attention processor of diffusers, by the original U-Net's block numbers.

    name: its key in `unet.attn_processors`. config: that of the UNet2DConditionModel. Raises P2PError for an
    attention outside a transformer block.
    """
    levels = len(config["block_out_channels"])
    if middle := _MIDDLE.match(name):
        return Layer("middle", 0, int(middle[1]), 2 ** (levels - 1))
    found = _BLOCK.match(name)
    if found is None:
        raise P2PError(
            "an attention in a transformer block, as U-Nets of the Stable Diffusion family have it",
            name,
            "Use a UNet2DConditionModel with CrossAttnDownBlock2D and CrossAttnUpBlock2D.",
        )
    block, attention, index = map(int, found.groups()[1:])
    counts = config["layers_per_block"]
    counts = [counts] * levels if isinstance(counts, int) else list(counts)
    if found[1] == "down":
        return Layer("input", 1 + _blocks(counts[:block]) + attention, index, 2**block)
    return Layer("output", _blocks(counts[::-1][:block]) + attention, index, 2 ** (levels - 1 - block))


def _blocks(counts: list[int]) -> int:
    """The original's blocks at these levels: each level has one more than residual blocks."""
    return sum(count + 1 for count in counts)
