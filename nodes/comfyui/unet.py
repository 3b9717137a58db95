"""The transformer blocks of a U-Net MODEL, under the names that the host uses during a sampling."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from comfy.ldm.modules.attention import BasicTransformerBlock
from torch import nn

from ...p2p_core.architecture.layers import Layer, LayerFilter
from ...p2p_core.errors import P2PError


def cross_attention_layers(model: Any) -> tuple[Layer, ...]:
    """The transformer blocks of a MODEL that attend to text, under the host's names. P2PError if none."""
    unet = getattr(model.model, "diffusion_model", nn.Identity())
    blocks = [(name, m) for name, m in unet.named_modules() if isinstance(m, BasicTransformerBlock)]
    names = [name for name, block in blocks if block.attn2 is not None]
    scales = _scales(unet)
    layers = tuple(layer for name in names if (layer := _layer(name, scales)) is not None)
    if not layers:
        raise P2PError(
            "a MODEL with cross-attention to text (SD1.x, SD2.x, SDXL)",
            type(model.model).__name__,
            "Load a Stable Diffusion checkpoint.",
        )
    return layers


_BLOCK = re.compile(r"^(input|middle|output)_blocks?\.(\d+)\.(?:\d+\.)?transformer_blocks\.(\d+)$")


def _layer(name: str, scales: Mapping[tuple[str, int], int]) -> Layer | None:
    match = _BLOCK.match(name)
    if match is None:
        return None
    number = 0 if match[1] == "middle" else int(match[2])  # the host numbers every middle block 0
    return Layer(match[1], number, int(match[3]), scales[match[1], number])


def _scales(unet: nn.Module) -> dict[tuple[str, int], int]:
    """How many times smaller than the latent each block is. Downsampling comes before, upsampling after."""
    scales: dict[tuple[str, int], int] = {}
    scale = 1
    for number, block in enumerate(getattr(unet, "input_blocks", ())):
        scale *= 2 if _has(block, "Downsample") else 1
        scales["input", number] = scale
    scales["middle", 0] = scale
    for number, block in enumerate(getattr(unet, "output_blocks", ())):
        scales["output", number] = scale
        scale //= 2 if _has(block, "Upsample") else 1
    return scales


def _has(block: nn.Module, kind: str) -> bool:
    return any(type(module).__name__ == kind for module in block.modules())


def require_layers(chosen: LayerFilter, layers: tuple[Layer, ...]) -> None:
    """Raises P2PError if a filter matches none of the layers."""
    if not any(layer in chosen for layer in layers):
        scales = ", ".join(f"1/{scale}" for scale in sorted({layer.scale for layer in layers}))
        raise P2PError(
            "layers of this MODEL",
            repr(chosen.text),
            f"Use 'all', other block numbers, or its resolutions {scales}.",
        )
