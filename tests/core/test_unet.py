"""Layers of U-Nets by the names of diffusers."""

from __future__ import annotations

from typing import Any

import pytest

from p2p_core.architecture.layers import Layer
from p2p_core.architecture.unet import diffusers_layer
from p2p_core.errors import P2PError

SD15: dict[str, Any] = {"block_out_channels": (320, 640, 1280, 1280), "layers_per_block": 2}
SDXL: dict[str, Any] = {"block_out_channels": (320, 640, 1280), "layers_per_block": 2}
DEMO: dict[str, Any] = {"block_out_channels": (48, 96, 192), "layers_per_block": 1}
UNEVEN: dict[str, Any] = {"block_out_channels": (8, 8, 8), "layers_per_block": (1, 2, 3)}


@pytest.mark.parametrize(
    ("config", "name", "layer"),
    [
        (SD15, "down_blocks.0.attentions.0.transformer_blocks.0.attn1", Layer("input", 1, 0, 1)),
        (SD15, "down_blocks.0.attentions.1.transformer_blocks.0.attn2", Layer("input", 2, 0, 1)),
        (SD15, "down_blocks.2.attentions.1.transformer_blocks.0.attn2", Layer("input", 8, 0, 4)),
        (SD15, "mid_block.attentions.0.transformer_blocks.0.attn2", Layer("middle", 0, 0, 8)),
        (SD15, "up_blocks.1.attentions.0.transformer_blocks.0.attn1", Layer("output", 3, 0, 4)),
        (SD15, "up_blocks.3.attentions.2.transformer_blocks.0.attn2", Layer("output", 11, 0, 1)),
        (SDXL, "down_blocks.1.attentions.0.transformer_blocks.1.attn2", Layer("input", 4, 1, 2)),
        (SDXL, "down_blocks.2.attentions.1.transformer_blocks.9.attn1", Layer("input", 8, 9, 4)),
        (SDXL, "mid_block.attentions.0.transformer_blocks.9.attn1", Layer("middle", 0, 9, 4)),
        (SDXL, "up_blocks.0.attentions.2.transformer_blocks.3.attn2", Layer("output", 2, 3, 4)),
        (SDXL, "up_blocks.1.attentions.2.transformer_blocks.1.attn2", Layer("output", 5, 1, 2)),
        (DEMO, "down_blocks.2.attentions.0.transformer_blocks.0.attn2", Layer("input", 5, 0, 4)),
        (DEMO, "up_blocks.1.attentions.1.transformer_blocks.0.attn2", Layer("output", 3, 0, 2)),
        (UNEVEN, "down_blocks.2.attentions.2.transformer_blocks.0.attn2", Layer("input", 8, 0, 4)),
        (UNEVEN, "up_blocks.0.attentions.3.transformer_blocks.0.attn2", Layer("output", 3, 0, 4)),
        (UNEVEN, "up_blocks.2.attentions.0.transformer_blocks.0.attn2", Layer("output", 7, 0, 1)),
    ],
)
def test_layers_have_the_original_block_numbers(config: dict[str, Any], name: str, layer: Layer) -> None:
    """As ComfyUI names the blocks of the same models."""
    assert diffusers_layer(f"{name}.processor", config) == layer


@pytest.mark.parametrize(
    "name", ["down_blocks.1.attentions.0.processor", "transformer_blocks.0.attn1.processor", "add_k"]
)
def test_an_attention_of_another_kind_is_rejected(name: str) -> None:
    with pytest.raises(P2PError, match=f"got {name}"):
        diffusers_layer(name, SD15)
