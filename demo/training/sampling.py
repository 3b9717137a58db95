"""Draws captions with a model under training: DDIM for the U-Net, Euler's steps for the transformer."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ..model.decoder import CHANNELS
from ..model.shape import TRAIN_STEPS, alphas_cumprod
from .transformer import predicted

Sampler = Callable[[Tensor, Tensor, Tensor, int, float], Tensor]
SIDE = 32
SHIFT = 3.0  # how much longer the transformer stays at high noise; ComfyUI's Flux has exp(1.15) = 3.2


def noise(count: int, generator: torch.Generator) -> Tensor:
    shape = count, CHANNELS, SIDE, SIDE
    return torch.randn(shape, generator=generator, device=generator.device)


@torch.no_grad()
def with_unet(model: Any, ids: Tensor, empty: Tensor, start: Tensor, steps: int, guidance: float) -> Tensor:
    """Deterministic DDIM (Song et al. 2021) from noise [B, 3, 32, 32].

    ids [B, 77]. empty: the ids of "", [77].
    """
    signal = alphas_cumprod().to(start.device)
    times = torch.linspace(TRAIN_STEPS - 1, 0, steps).round().long().to(start.device)
    sigmas = torch.cat([((1 - signal) / signal).sqrt()[times], torch.zeros(1, device=start.device)])
    context = model.text(_paired(ids, empty)).last_hidden_state
    x = start * (1 + sigmas[0] ** 2).sqrt()
    for t, sigma, following in zip(times, sigmas, sigmas[1:], strict=False):
        scaled = x / (1 + sigma**2).sqrt()
        without, with_text = model.unet(torch.cat([scaled, scaled]), t, context).sample.chunk(2)
        x = x + (following - sigma) * (without + guidance * (with_text - without))
    return x


@torch.no_grad()
def with_transformer(
    model: Any, text: Any, ids: Tensor, empty: Tensor, start: Tensor, steps: int, guidance: float
) -> Tensor:
    """Euler's method from pure noise to the latent; arguments as for `with_unet`."""
    even = torch.linspace(1, 0, steps + 1, device=start.device)
    share = SHIFT * even / (1 + (SHIFT - 1) * even)
    encoded, x = text(_paired(ids, empty)), start
    for now, following in pairwise(share):
        both = predicted(model, encoded, torch.cat([x, x]), now.expand(2 * len(x)))
        without, with_text = both.chunk(2)
        x = x + (following - now) * (without + guidance * (with_text - without))
    return x


def _paired(ids: Tensor, empty: Tensor) -> Tensor:
    return torch.cat([empty.expand_as(ids), ids])
