"""The demo model's autoencoder: the latent is a thumbnail of the picture, only the decoder is learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

FACTOR = 8
CHANNELS = 3


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = nn.Conv2d(width, width, 3, padding=1)
        self.b = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.b(torch.relu(self.a(x))))


class ThumbnailAutoencoder(nn.Module):
    """Pictures [B, 3, H, W] in -1..1 to latents [B, 3, H/8, W/8] and back.

    encode: average over 8×8 pixels, minus `mean` [3], divided by `std` [1]. H and W are multiples of 8.
    decode: a learned upsampler that knows the scenes' edges and textures.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, width: int = 128, inner: int = 64) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(CHANNELS))
        self.register_buffer("std", torch.ones(1))
        self.upsample = nn.Sequential(
            nn.Conv2d(CHANNELS, width, 3, padding=1),
            nn.ReLU(),
            _Residual(width),
            _Residual(width),
            _Residual(width),
            nn.Conv2d(width, inner * 4, 3, padding=1),
            nn.PixelShuffle(2),
            nn.ReLU(),
            _Residual(inner),
            _Residual(inner),
            nn.Conv2d(inner, 48, 3, padding=1),
            nn.PixelShuffle(4),
        )

    def encode(self, pictures: Tensor) -> Tensor:
        thumbnails = F.avg_pool2d(pictures, FACTOR)
        return (thumbnails - self.mean.view(1, -1, 1, 1).to(thumbnails)) / self.std.to(thumbnails)

    def decode(self, latents: Tensor) -> Tensor:
        return self.upsample(latents)
