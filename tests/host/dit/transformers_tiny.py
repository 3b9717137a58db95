"""Tiny models of the families, built and sampled by ComfyUI's own code."""

from __future__ import annotations

import functools
import importlib
import math
from inspect import signature
from types import SimpleNamespace
from typing import Any

import comfy.model_patcher
import comfy.sample
import comfy.supported_models as supported
import comfyui_version
import torch
from torch import Tensor, nn
from transformer_table import FAMILIES, Family, Shape

CPU = torch.device("cpu")
VERSION = tuple(int(part) for part in comfyui_version.__version__.split("."))
Conditioning = list[list[Any]]


def here(name: str) -> bool:
    """Whether this version of the host has the family."""
    family = FAMILIES[name]
    return hasattr(supported, family.kind) and family.since <= VERSION


@functools.cache
def tiny_transformer(name: str) -> Any:
    """The table's model of a family."""
    return built(FAMILIES[name])


def built(family: Family) -> Any:
    """A ModelPatcher as the host's loaders make it, with random weights in float32."""
    config = getattr(supported, family.kind)(described(family))
    config.unet_config.update(described(family))  # again: the host fills in widths of the real model
    config.set_inference_dtype(torch.float32, None)
    model = config.get_model({}, "", device="cpu")
    randomise(model.diffusion_model)
    patcher = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    return patcher(model, load_device=CPU, offload_device=CPU)


def described(family: Family) -> dict[str, Any]:
    """The description with what this version of the host knows."""
    if not family.parameters:
        return dict(family.model)
    module, _, name = family.parameters.rpartition(".")
    known = signature(getattr(importlib.import_module(f"comfy.ldm.{module}"), name)).parameters
    kept = {key: value for key, value in family.model.items() if key in known or key == "image_model"}
    return {key: torch.float32 if value == "float32" else value for key, value in kept.items()}


def randomise(module: nn.Module, seed: int = 0) -> None:
    """Weights of about the size of trained ones, so that every part of the model matters."""
    random = torch.Generator().manual_seed(seed)
    for name, value in module.named_parameters():
        drawn = torch.randn(value.shape, generator=random)
        norm = "norm" in name.lower() and name.endswith(("weight", "scale"))
        size = 0.7 / math.sqrt(max(1, value[0].numel())) if value.ndim > 1 else 0.1
        value.data = (1 + drawn / 10) if norm and value.ndim == 1 else drawn * size
        value.requires_grad_(False)
    for name, value in module.named_buffers():
        if value.is_floating_point() and (name.endswith("pos_embed") or not torch.isfinite(value).all()):
            value.copy_(torch.randn(value.shape, generator=random) / 10)
    module.eval()


def conditioning(name: str, tokens: int, seed: int) -> Conditioning:
    """What the family's text encoder gives for a prompt of so many tokens."""
    family, random = FAMILIES[name], torch.Generator().manual_seed(seed)
    options = {key: _drawn(shape, tokens, random) for key, shape in family.options.items()}
    return [[torch.randn(1, tokens, family.width, generator=random), options]]


def _drawn(shape: Shape, tokens: int, random: torch.Generator) -> Any:
    if shape.kind == "picture":
        return _picture(shape)
    sizes = [tokens if size == "T" else int(size) for size in shape.sizes]
    if shape.kind == "ids":
        return torch.randint(3, 100, sizes, generator=random).int()
    if shape.kind == "ones":
        return torch.ones(sizes)
    if "mask" in shape.kind:
        seen = tokens if shape.kind == "whole mask" else tokens - 2
        return (torch.arange(tokens) < seen).long().expand(sizes)
    if shape.kind == "shared":
        random = torch.Generator().manual_seed(3)
    return torch.randn(1, *sizes, generator=random)


@functools.cache
def _picture(shape: Shape) -> Any:
    """One for all prompts."""
    states = torch.randn(1, *map(int, shape.sizes), generator=torch.Generator().manual_seed(2))
    return SimpleNamespace(penultimate_hidden_states=states)


def noise(name: str, samples: int = 1, seed: int = 4) -> Tensor:
    return torch.randn(samples, *FAMILIES[name].latent, generator=torch.Generator().manual_seed(seed))


def sampled(
    model: Any, positive: Conditioning, negative: Conditioning, noise: Tensor, *, cfg: float = 3.0,
    steps: int = 3, sampler: str = "euler", latent: Tensor | None = None, mask: Tensor | None = None,
    **part: Any,
) -> Tensor:  # fmt: skip
    """KSampler's own call. part: of the schedule, as in KSampler (Advanced)."""
    latent = torch.zeros_like(noise) if latent is None else latent
    sides, options = (positive, negative), {"seed": 1, "noise_mask": mask, "disable_pbar": True, **part}
    with torch.inference_mode():
        return comfy.sample.sample(model, noise, steps, cfg, sampler, "simple", *sides, latent, **options)
