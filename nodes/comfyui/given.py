"""What other nodes give: IMAGE, MASK, LATENT and CONDITIONING, checked before they are used."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ...p2p_core.errors import P2PError

RGB = (3, 4)  # channels, with or without alpha


def require_images(images: Any, channels: tuple[int, ...] = RGB) -> Tensor:
    """An IMAGE, [B, H, W, C] with finite values. Raises P2PError for anything else."""
    tensor = require_image_rows(images)
    if tensor.shape[3] not in channels:
        expected = f"images with {' or '.join(map(str, channels))} channels"
        raise P2PError(expected, f"shape {list(tensor.shape)}", "Convert the images to RGB.")
    if not bool(torch.isfinite(tensor).all()):
        hint = "Check the nodes before, or run the VAE in float32 (--fp32-vae)."
        raise P2PError("images with values from 0 to 1", "NaN or infinity", hint)
    return tensor


def require_image_rows(images: Any) -> Tensor:
    """An IMAGE of any content, [B, H, W, C]. Raises P2PError for anything else."""
    return _require(images, "images [batch, height, width, channels]", (4,), "Connect an IMAGE.")


def require_masks(mask: Any) -> Tensor:
    """A MASK, [B, H, W]; some nodes make [H, W] or [B, 1, H, W]. Raises P2PError for anything else."""
    tensor = _require(mask, "masks [batch, height, width]", (2, 3, 4), "Connect a MASK.", (torch.bool,))
    return tensor.reshape(-1, *tensor.shape[-2:]).float()


def require_samples(latent: Any) -> Tensor:
    """The samples of a LATENT, [B, C, ..., h, w]. Raises P2PError for anything else."""
    samples = latent.get("samples") if isinstance(latent, dict) else None
    if getattr(samples, "is_nested", False):
        raise P2PError("the latent of one image", "a nested latent", "Connect a latent without audio.")
    return _require(samples, "a latent [batch, channels, height, width]", (4, 5), "Connect a LATENT.")


def require_text(encoded: Any) -> Tensor:
    """The text of a CONDITIONING, [P, T, C]. Raises P2PError for anything else."""
    return _require(encoded, "text encodings [prompts, tokens, channels]", (3,), "Connect a text encoder's.")


def require_conditioning(conditioning: Any) -> None:
    """Raises P2PError unless a CONDITIONING has an entry, and a text in each."""
    if not conditioning:
        raise P2PError(
            "a CONDITIONING with a prompt", "an empty one", "Connect Prompt Pair or CLIP Text Encode."
        )
    for encoded, _ in conditioning:
        require_text(encoded)


def _require(
    value: Any, expected: str, dimensions: tuple[int, ...], hint: str, others: tuple[torch.dtype, ...] = ()
) -> Tensor:
    if not isinstance(value, Tensor):
        raise P2PError(expected, type(value).__name__, hint)
    if value.ndim not in dimensions or not value.numel():
        raise P2PError(expected, f"shape {list(value.shape)}", hint)
    if not (value.dtype.is_floating_point or value.dtype in others):
        raise P2PError(f"{expected} of floating-point numbers", str(value.dtype), hint)
    return value
