"""The demo model's shape and its weights: a small latent diffusion model of the Stable Diffusion family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

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


def unet_config() -> dict[str, Any]:
    """UNet2DConditionModel's configuration, in a shape that ComfyUI's UNetModel can hold too."""
    return {
        "sample_size": 32,
        "in_channels": 3,
        "out_channels": 3,
        "block_out_channels": (48, 96, 192),
        "layers_per_block": 1,
        "attention_head_dim": (1, 3, 6),  # in diffusers, this is the number of heads
        "norm_num_groups": NORM_GROUPS,
        "cross_attention_dim": TEXT_WIDTH,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    }


def alphas_cumprod() -> Tensor:
    """The signal's share of the variance at each timestep, [1000]."""
    betas = torch.linspace(BETAS[0] ** 0.5, BETAS[1] ** 0.5, TRAIN_STEPS) ** 2
    return torch.cumprod(1 - betas, 0)
