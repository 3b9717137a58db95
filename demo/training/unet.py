"""The U-Net and its text encoder: noise prediction in the latents of the world."""

from __future__ import annotations

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel

from ..model.shape import TRAIN_STEPS, alphas_cumprod, text_config, unet_config
from ..things.tokens import vocabulary
from .device import autocast, placed
from .latents import Latents, stratified
from .training import Recipe

RECIPES = {"cpu": Recipe(16, 8e-4, 0.998), "cuda": Recipe(512, 1.5e-3, 0.999)}
MIN_SNR = 5.0


class TextToImage(nn.Module):
    """The two parts that are trained together."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = UNet2DConditionModel(**unet_config())
        self.text = CLIPTextModel(CLIPTextConfig(**text_config(len(vocabulary()))))


class UNetLoss:
    """Squared error of the predicted noise.

    Timesteps are drawn as often as min-SNR weights them (Hang et al. 2023, gamma 5).
    """

    def __init__(self, model: TextToImage, latents: Latents, device: torch.device) -> None:
        self.latents, self.device = latents, device
        self.schedule = alphas_cumprod().to(device)
        signal_to_noise = self.schedule / (1 - self.schedule)
        weights = signal_to_noise.clamp(max=MIN_SNR) / signal_to_noise
        self.shares = weights.cumsum(0) / weights.sum()
        self.unet, self.text = placed(model.unet, device), placed(model.text, device)
        if device.type == "cuda":
            model.unet.compile(fullgraph=True)
        else:
            model.unet.set_attn_processor(AttnProcessor())  # trains faster there than the fused one

    def __call__(self, count: int) -> Tensor:
        z, ids = self.latents.batch(count)
        drawn = stratified(count, self.latents.generator)
        t = torch.searchsorted(self.shares, drawn).clamp(max=TRAIN_STEPS - 1)
        signal = self.schedule[t].view(-1, 1, 1, 1)
        noise = torch.randn(z.shape, generator=self.latents.generator, device=self.device)
        noisy = signal.sqrt() * z + (1 - signal).sqrt() * noise
        with autocast(self.device):
            context = self.text(ids).last_hidden_state
            predicted = self.unet(noisy.contiguous(memory_format=torch.channels_last), t, context).sample
        return (predicted.float() - noise).square().mean()
