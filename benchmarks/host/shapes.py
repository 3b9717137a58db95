"""Shapes of real models for speed measurements, in ComfyUI's own terms. A new model is a row of SHAPES."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    """kind: ComfyUI's class in supported_models. unet: its description of the diffusion model.

    latent: [C, h, w]. text: [T, W] of an encoded prompt. pooled: width of the pooled encoding, 0 for none.
    """

    title: str
    kind: str
    unet: Mapping[str, Any]
    latent: tuple[int, ...]
    text: tuple[int, int]
    pooled: int = 0


_UNET = {
    "image_size": 32,
    "in_channels": 4,
    "out_channels": 4,
    "model_channels": 320,
    "use_spatial_transformer": True,
    "use_temporal_attention": False,
    "use_checkpoint": False,
    "legacy": False,
}
SD15 = {
    **_UNET,
    "num_res_blocks": [2, 2, 2, 2],
    "channel_mult": [1, 2, 4, 4],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0],
    "transformer_depth_middle": 1,
    "transformer_depth_output": [1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0],
    "context_dim": 768,
    "use_linear_in_transformer": False,
    "adm_in_channels": None,
}
SDXL = {
    **_UNET,
    "num_res_blocks": [2, 2, 2],
    "channel_mult": [1, 2, 4],
    "transformer_depth": [0, 0, 2, 2, 10, 10],
    "transformer_depth_middle": 10,
    "transformer_depth_output": [0, 0, 0, 2, 2, 2, 10, 10, 10],
    "context_dim": 2048,
    "use_linear_in_transformer": True,
    "adm_in_channels": 2816,
    "num_classes": "sequential",
}
TINY = {**SD15, "model_channels": 32, "context_dim": 32}

SHAPES = {
    "tiny": Shape("a tiny model, 128 × 128", "SD15", TINY, (4, 16, 16), (77, 32)),
    "sd15-256": Shape("SD 1.5, 256 × 256", "SD15", SD15, (4, 32, 32), (77, 768)),
    "sd15-512": Shape("SD 1.5, 512 × 512", "SD15", SD15, (4, 64, 64), (77, 768)),
    "sdxl-1024": Shape("SDXL, 1024 × 1024", "SDXL", SDXL, (4, 128, 128), (77, 2048), pooled=1280),
}
