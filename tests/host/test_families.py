"""The transformer blocks of real U-Nets, built without weights: how many, and how small they are."""

from __future__ import annotations

import importlib
from collections import Counter
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

pytestmark = [pytest.mark.host, pytest.mark.real_host]

COMMON = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "use_spatial_transformer": True,
    "legacy": False,
}
FAMILIES: dict[str, tuple[dict[str, Any], dict[int, int]]] = {
    "SD1.5": (
        {
            "num_res_blocks": [2, 2, 2, 2],
            "channel_mult": [1, 2, 4, 4],
            "num_heads": 8,
            "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
            "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
            "transformer_depth_middle": 1,
            "context_dim": 768,
        },
        {1: 5, 2: 5, 4: 5, 8: 1},
    ),
    "SDXL": (
        {
            "num_res_blocks": [2, 2, 2],
            "channel_mult": [1, 2, 4],
            "num_head_channels": 64,
            "transformer_depth": [0, 0, 2, 2, 10, 10],
            "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
            "transformer_depth_middle": 10,
            "context_dim": 2048,
            "use_linear_in_transformer": True,
            "num_classes": "sequential",
            "adm_in_channels": 2816,
        },
        {2: 10, 4: 60},
    ),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_are_found_with_their_scale(pack: ModuleType, family: str) -> None:
    import comfy.ops
    import torch
    from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel

    config, scales = FAMILIES[family]
    unet = UNetModel(
        **COMMON, **config, device=torch.device("meta"), operations=comfy.ops.disable_weight_init
    )
    model = SimpleNamespace(model=SimpleNamespace(diffusion_model=unet))
    found = importlib.import_module(f"{pack.__name__}.nodes._layers").cross_attention_layers(model)
    assert Counter(layer.scale for layer in found) == scales
    assert len({(layer.stage, layer.number, layer.index) for layer in found}) == sum(scales.values())
