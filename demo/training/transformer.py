"""The transformer of the Flux family: flow matching in the same latents, with the U-Net's text encoder."""

from __future__ import annotations

import math
from typing import Any

import torch
from diffusers import FluxTransformer2DModel
from torch import Tensor
from transformers import CLIPTextModel

from ..model.decoder import CHANNELS
from ..model.shape import TEXT_WIDTH, TOKENS
from .device import autocast, placed
from .latents import Latents, stratified
from .training import Recipe

RECIPES = {"cpu": Recipe(16, 6e-4, 0.998), "cuda": Recipe(256, 1e-3, 0.999)}
PATCH = 2
TIMES = (0.8, 1.1)  # mean and standard deviation of the logit of the noise's share in training


def transformer_config() -> dict[str, Any]:
    """FluxTransformer2DModel's configuration, in a shape that ComfyUI's Flux class holds too."""
    return {
        "patch_size": 1,
        "in_channels": CHANNELS * PATCH**2,
        "num_layers": 3,
        "num_single_layers": 5,
        "attention_head_dim": 32,
        "num_attention_heads": 7,
        "joint_attention_dim": TEXT_WIDTH,
        "pooled_projection_dim": TEXT_WIDTH,
        "guidance_embeds": False,
        "axes_dims_rope": (4, 14, 14),
    }


def build() -> FluxTransformer2DModel:
    """Each block's output begins at zero, as in DiT (Peebles and Xie 2023)."""
    model = FluxTransformer2DModel(**transformer_config())
    for name, parameter in model.named_parameters():
        if (".norm" in name and ".linear." in name) or name.startswith(("norm_out", "proj_out")):
            torch.nn.init.zeros_(parameter)
    return model


class FlowLoss:
    """Squared error of the predicted velocity, noise minus latent (Esser et al. 2024). The text stays."""

    def __init__(
        self, model: FluxTransformer2DModel, text: CLIPTextModel, latents: Latents, device: torch.device
    ) -> None:
        self.latents, self.device = latents, device
        self.model = placed(model, device)
        if device.type == "cuda":
            model.compile_repeated_blocks(fullgraph=True)  # one block per kind: seconds, not a minute
        self.text = placed(text, device).eval().requires_grad_(False)

    def __call__(self, count: int) -> Tensor:
        z, ids = self.latents.batch(count)
        share = shares(stratified(count, self.latents.generator))
        noise = torch.randn(z.shape, generator=self.latents.generator, device=self.device)
        weight = share.view(-1, 1, 1, 1)
        with autocast(self.device):
            velocity = predicted(self.model, self.text(ids), z.lerp(noise, weight), share)
        return (velocity.float() - (noise - z)).square().mean()


def shares(uniform: Tensor) -> Tensor:
    """Numbers in 0..1 to shares of noise whose logits are normally distributed."""
    mean, deviation = TIMES
    normal = math.sqrt(2) * torch.erfinv((2 * uniform - 1).clamp(-0.9999, 0.9999))
    return torch.sigmoid(mean + deviation * normal)


def predicted(model: Any, encoded: Any, noisy: Tensor, share: Tensor) -> Tensor:
    """The velocity [B, 3, H, W] at noisy latents [B, 3, H, W]. encoded: what the text encoder returned."""
    height, width = (side // PATCH for side in noisy.shape[-2:])
    velocity = model(
        hidden_states=patches(noisy),
        encoder_hidden_states=encoded.last_hidden_state,
        pooled_projections=encoded.pooler_output,
        timestep=share,
        img_ids=positions(height, width, noisy.device),
        txt_ids=torch.zeros(TOKENS, 3, device=noisy.device),
        return_dict=False,
    )[0]
    return unpatched(velocity, height, width)


def patches(latents: Tensor) -> Tensor:
    """[B, C, 2h, 2w] → [B, h·w, 4C], channels outermost, as ComfyUI's Flux takes them."""
    batch, channels, height, width = latents.shape
    grid = latents.view(batch, channels, height // PATCH, PATCH, width // PATCH, PATCH)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(batch, -1, channels * PATCH**2)


def unpatched(tokens: Tensor, height: int, width: int) -> Tensor:
    """The inverse of `patches`; height and width in patches."""
    grid = tokens.view(len(tokens), height, width, -1, PATCH, PATCH)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(len(tokens), -1, height * PATCH, width * PATCH)


def positions(height: int, width: int, device: torch.device) -> Tensor:
    """Row and column of every patch, [h·w, 3]; the first coordinate is 0."""
    grid = torch.zeros(height, width, 3, device=device)
    grid[..., 1] = torch.arange(height, device=device)[:, None]
    grid[..., 2] = torch.arange(width, device=device)[None]
    return grid.view(-1, 3)
