"""Shapes of real models for speed measurements, in ComfyUI's own terms. A new model is a row of SHAPES."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Shape:
    """kind: ComfyUI's class in supported_models. unet: its description of the diffusion model.

    latent: [C, h, w], or [C, 1, h, w] of a model for videos. text: [T, W] of an encoded prompt. pooled: width
    of the pooled encoding, 0 for none. cfg: the guidance, 1 without an unconditional pass. left_out: cases
    that are not measured.
    """

    title: str
    kind: str
    unet: Mapping[str, Any]
    latent: tuple[int, ...]
    text: tuple[int, int]
    pooled: int = 0
    cfg: float = 7.5
    left_out: tuple[str, ...] = ()


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

# Transformers: widths and heads of the real models, with fewer blocks
FLUX = {
    **{"image_model": "flux", "in_channels": 16, "out_channels": 16},
    **{"vec_in_dim": 768, "context_in_dim": 4096, "txt_ids_dims": []},
    **{"hidden_size": 3072, "mlp_ratio": 4.0, "num_heads": 24, "depth": 1, "depth_single_blocks": 1},
    **{"axes_dim": [16, 56, 56], "theta": 10000, "patch_size": 2, "qkv_bias": True, "guidance_embed": True},
}
QWEN = {
    **{"image_model": "qwen_image", "patch_size": 2, "in_channels": 64, "out_channels": 16, "num_layers": 1},
    **{"num_attention_heads": 24, "attention_head_dim": 128, "axes_dims_rope": (16, 56, 56)},
    **{"joint_attention_dim": 3584, "pooled_projection_dim": 768},
}
Z_IMAGE = {
    **{"image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 3840, "n_layers": 2},
    **{"n_refiner_layers": 1, "n_heads": 30, "n_kv_heads": 30, "multiple_of": 256},
    **{"ffn_dim_multiplier": 8 / 3, "qk_norm": True, "cap_feat_dim": 2560, "axes_dims": [32, 48, 48]},
    **{"axes_lens": [1536, 512, 512], "rope_theta": 256.0, "z_image_modulation": True},
    **{"time_scale": 1000.0, "pad_tokens_multiple": 32},
}
REAL_IMAGE = "swap in a pinned real image"  # U-Nets only
FEW = (REAL_IMAGE, "re-weight", "swap and local blend", "all of these")


def _flux(side: int, text: int, double: int, single: int, left_out: tuple[str, ...]) -> Shape:
    unet, size = {**FLUX, "depth": double, "depth_single_blocks": single}, f"{8 * side} × {8 * side}"
    name = f"Flux.1, {size}, {double} of 19 double and {single} of 38 single blocks"
    return Shape(name, "Flux", unet, (16, side, side), (text, 4096), 768, 1.0, left_out)


def _qwen(side: int, text: int, blocks: int, left_out: tuple[str, ...]) -> Shape:
    name = f"Qwen-Image, {8 * side} × {8 * side}, {blocks} of 60 blocks"
    unet = {**QWEN, "num_layers": blocks}
    return Shape(name, "QwenImage", unet, (16, 1, side, side), (text, 3584), 0, 4.0, left_out)


def _z_image(side: int, text: int, blocks: int, left_out: tuple[str, ...]) -> Shape:
    name = f"Z-Image, {8 * side} × {8 * side}, {blocks} of 30 blocks, 1 of 2 refiners each"
    return Shape(
        name, "ZImage", {**Z_IMAGE, "n_layers": blocks}, (16, side, side), (text, 2560), 0, 1.0, left_out
    )


SHAPES = {
    "tiny": Shape("a tiny model, 128 × 128", "SD15", TINY, (4, 16, 16), (77, 32)),
    "sd15-256": Shape("SD 1.5, 256 × 256", "SD15", SD15, (4, 32, 32), (77, 768)),
    "sd15-512": Shape("SD 1.5, 512 × 512", "SD15", SD15, (4, 64, 64), (77, 768)),
    "sdxl-1024": Shape("SDXL, 1024 × 1024", "SDXL", SDXL, (4, 128, 128), (77, 2048), pooled=1280),
    "flux-256": _flux(32, 128, 1, 1, FEW),
    "qwen-256": _qwen(32, 128, 1, FEW),
    "z-image-256": _z_image(32, 128, 2, FEW),
    "flux-1024": _flux(128, 512, 4, 8, (REAL_IMAGE,)),
    "qwen-1024": _qwen(128, 128, 8, (REAL_IMAGE,)),
    "z-image-1024": _z_image(128, 128, 10, (REAL_IMAGE,)),
}
