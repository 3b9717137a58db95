"""The decoder: sharp pictures from 32 × 32 thumbnails, also from those that a model drew."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from ..model.decoder import FACTOR, ThumbnailAutoencoder
from ..things.canvas import PIXELS
from ..things.world import World
from .device import autocast, placed
from .latents import MEAN, STD, encoded
from .training import Recipe

RECIPES = {"cpu": Recipe(4, 1e-3, 0.998), "cuda": Recipe(32, 1.5e-3, 0.998)}
CROP = 128
NOISE = 0.12  # the most that is added to a latent, as a model's own are not clean
EDGES = 1.0


def build() -> ThumbnailAutoencoder:
    autoencoder = ThumbnailAutoencoder()
    autoencoder.mean.copy_(torch.tensor(MEAN))
    autoencoder.std.fill_(STD)
    return autoencoder


class DecoderLoss:
    """L1 and squared error of pixels and L1 of their differences, on crops of 128 × 128 pixels."""

    def __init__(
        self, model: ThumbnailAutoencoder, pictures: Mapping[str, Tensor], device: torch.device, seed: int
    ) -> None:
        self.device = device
        self.decoder = placed(model, device).upsample
        self.world = World(pictures, 1, device, variants=12 if device.type == "cpu" else 48)
        self.generator = torch.Generator(device).manual_seed(seed)

    def __call__(self, count: int) -> Tensor:
        layouts = self.world.layouts(count, self.generator)
        x = self._cropped(self.world.scenes(layouts, self.generator).pictures)
        z = encoded(x)
        noise = torch.randn(z.shape, generator=self.generator, device=self.device)
        amount = torch.rand(count, 1, 1, 1, generator=self.generator, device=self.device)
        noisy = z + NOISE * amount.square() * noise
        with autocast(self.device):
            y = self.decoder(noisy.contiguous(memory_format=torch.channels_last)).float()
        across = F.l1_loss(y.diff(dim=-1), x.diff(dim=-1))
        down = F.l1_loss(y.diff(dim=-2), x.diff(dim=-2))
        return F.l1_loss(y, x) + F.mse_loss(y, x) + EDGES * (across + down)

    def _cropped(self, pictures: Tensor) -> Tensor:
        """The same random crop of every picture, on the latents' grid."""
        steps = (PIXELS - CROP) // FACTOR + 1
        drawn = torch.rand(2, generator=self.generator, device=self.device)
        top, left = (int(v) * FACTOR for v in drawn * steps)
        return pictures[:, :, top : top + CROP, left : left + CROP]
