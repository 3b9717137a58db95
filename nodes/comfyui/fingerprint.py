"""Identifies a MODEL, and describes its noise levels."""

from __future__ import annotations

import zlib
from typing import Any

import torch
from comfy.model_sampling import CONST

from ...p2p_core.real.levels import Levels


def levels_of(model_sampling: Any) -> Levels:
    """The noise levels of a MODEL's sampling."""
    lowest = float(getattr(model_sampling, "sigma_min", Levels.floor))
    return Levels(isinstance(model_sampling, CONST), max(lowest, Levels.floor))


def fingerprint(model: Any) -> str:
    """Identifies a MODEL: class, prediction, sigmas, size, and a checksum of some of its weights.

    LoRAs are not included: after adding or removing one, the picture has to be inverted again.
    """
    sampling = model.get_model_object("model_sampling")
    kinds = [c.__name__ for c in type(sampling).__mro__ if c.__module__ == "comfy.model_sampling"]
    ends = [f"{float(getattr(sampling, name, 0)):.4g}" for name in ("sigma_min", "sigma_max")]
    unet = model.model.diffusion_model
    size = sum(weights.numel() for weights in unet.parameters())
    parts = [
        type(model.model).__name__,
        *kinds[-2:],
        "-".join(ends),
        f"{size} weights",
        _checksum(model, unet),
    ]
    return " ".join(parts)


def latent_space(model: Any) -> str:
    """Identifies the latents that a MODEL samples."""
    return f"{type(model.get_model_object('latent_format')).__name__} latents"


def _checksum(model: Any, unet: torch.nn.Module) -> str:
    """The checksum of the first bias, without patches."""
    for name, weights in unet.named_parameters():
        if weights.ndim == 1 and not weights.is_meta:
            unpatched = getattr(model, "backup", {}).get(f"diffusion_model.{name}")
            first = weights if unpatched is None else unpatched.weight
            return f"{zlib.crc32(first.detach().to('cpu', torch.float16).numpy().tobytes()):08x}"
    return "-"
