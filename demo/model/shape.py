"""The demo model's shape and its weights: a small latent diffusion model of the Stable Diffusion family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .decoder import CHANNELS

FOLDER = Path(__file__).parent
TOKENIZER = FOLDER / "tokenizer"
WEIGHTS = FOLDER / "p2p_demo.safetensors"

TOKENS = 77
TEXT_WIDTH = 128
NORM_GROUPS = (
    16  # at least three channels per group: a single channel would lose its mean, and with it the background
)
TRAIN_STEPS = 1000
BETAS = (0.00085, 0.012)  # Stable Diffusion's scaled-linear schedule


def text_config(vocab_size: int) -> dict[str, Any]:
    """CLIPTextModel's configuration. The last two tokens of the vocabulary are start and end."""
    return {
        "vocab_size": vocab_size,
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 4 * TEXT_WIDTH,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": TOKENS,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-5,
        "projection_dim": TEXT_WIDTH,
        "bos_token_id": vocab_size - 2,
        "eos_token_id": vocab_size - 1,
        "pad_token_id": vocab_size - 1,
    }


WIDTHS = (48, 96, 192)  # channels of the U-Net's levels, from full resolution down
ATTENDING = (False, True, True)  # which levels attend
HEAD_WIDTH = 32
BLOCKS = 1  # residual blocks per level


def unet_config() -> dict[str, Any]:
    """UNet2DConditionModel's configuration of the U-Net."""
    down = ["CrossAttnDownBlock2D" if attends else "DownBlock2D" for attends in ATTENDING]
    up = ["CrossAttnUpBlock2D" if attends else "UpBlock2D" for attends in reversed(ATTENDING)]
    return {
        "sample_size": 32,
        "in_channels": CHANNELS,
        "out_channels": CHANNELS,
        "block_out_channels": WIDTHS,
        "layers_per_block": BLOCKS,
        "attention_head_dim": tuple(width // HEAD_WIDTH or 1 for width in WIDTHS),  # the number of heads
        "norm_num_groups": NORM_GROUPS,
        "cross_attention_dim": TEXT_WIDTH,
        "down_block_types": tuple(down),
        "up_block_types": tuple(up),
    }


def comfy_unet_config() -> dict[str, Any]:
    """The same U-Net as the configuration of ComfyUI's UNetModel."""
    depths = [int(attends) for attends in ATTENDING]
    return {
        "image_size": 32,
        "in_channels": CHANNELS,
        "out_channels": CHANNELS,
        "model_channels": WIDTHS[0],
        "channel_mult": [width // WIDTHS[0] for width in WIDTHS],
        "num_res_blocks": [BLOCKS] * len(WIDTHS),
        "num_heads": -1,
        "num_head_channels": HEAD_WIDTH,
        "transformer_depth": depths,
        "transformer_depth_middle": depths[-1],
        "transformer_depth_output": [depth for depth in depths for _ in range(BLOCKS + 1)],
        "context_dim": TEXT_WIDTH,
        "use_spatial_transformer": True,
        "use_linear_in_transformer": False,
        "adm_in_channels": None,
        "legacy": False,
    }


def alphas_cumprod() -> Tensor:
    """The signal's share of the variance at each timestep, [1000]."""
    betas = torch.linspace(BETAS[0] ** 0.5, BETAS[1] ** 0.5, TRAIN_STEPS) ** 2
    return torch.cumprod(1 - betas, 0)
