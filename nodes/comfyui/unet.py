"""U-Nets in the host: their transformer blocks by name, and attention patches for one sampling."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from comfy.ldm.modules.attention import BasicTransformerBlock, optimized_attention
from torch import Tensor, nn

from ...p2p_core.architecture.layers import Layer
from ...p2p_core.attention.editing import Attend
from .advice import naming
from .options import Options
from .state import NODE, Sampling

Patch = Callable[[Tensor, Tensor, Tensor, dict[str, Any]], Tensor]


# Layers


def cross_attention_layers(model: Any) -> tuple[Layer, ...]:
    """The transformer blocks of a U-Net that attend to text, under the host's names; else none."""
    unet = getattr(model.model, "diffusion_model", nn.Identity())
    blocks = [(name, m) for name, m in unet.named_modules() if isinstance(m, BasicTransformerBlock)]
    names = [name for name, block in blocks if block.attn2 is not None]
    scales = _scales(unet)
    return tuple(layer for name in names if (layer := _layer(name, scales)) is not None)


def pixels_per_cell(model: Any) -> int:
    """The side of a latent cell in pixels."""
    return getattr(model.get_model_object("latent_format"), "spacial_downscale_ratio", 8)


_BLOCK = re.compile(r"^(input|middle|output)_blocks?\.(\d+)\.(?:\d+\.)?transformer_blocks\.(\d+)$")


def _layer(name: str, scales: Mapping[tuple[str, int], int]) -> Layer | None:
    match = _BLOCK.match(name)
    if match is None:
        return None
    number = 0 if match[1] == "middle" else int(match[2])  # the host numbers every middle block 0
    return Layer(match[1], number, int(match[3]), scales[match[1], number])


def _scales(unet: nn.Module) -> dict[tuple[str, int], int]:
    """How many times smaller than the latent each block is. Downsampling comes before, upsampling after."""
    scales: dict[tuple[str, int], int] = {}
    scale = 1
    for number, block in enumerate(getattr(unet, "input_blocks", ())):
        scale *= 2 if _has(block, "Downsample") else 1
        scales["input", number] = scale
    scales["middle", 0] = scale
    for number, block in enumerate(getattr(unet, "output_blocks", ())):
        scales["output", number] = scale
        scale //= 2 if _has(block, "Upsample") else 1
    return scales


def _has(block: nn.Module, kind: str) -> bool:
    return any(type(module).__name__ == kind for module in block.modules())


# Patches


def with_patches(options: Options, sampling: Sampling) -> Options:
    """A copy of the options with our attention patches on top of those that are already there.

    A patch uses the key that the host would look up: a single block's if another pack has put something
    there, else the key of all blocks of a number, so that a node can still replace it for its own pass (PAG).
    """
    transformer = options["transformer_options"]
    replace = {name: dict(patches) for name, patches in transformer.get("patches_replace", {}).items()}
    for name, make in (("attn1", _self_patch), ("attn2", _cross_patch)):
        patches = replace.setdefault(name, {})
        for key in dict.fromkeys(key if key in patches else key[:2] for key in sampling.layers):
            patches[key] = make(sampling, patches.get(key))
    return {**options, "transformer_options": {**transformer, "patches_replace": replace}}


def _cross_patch(sampling: Sampling, previous: Patch | None) -> Patch:
    def patch(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any]) -> Tensor:
        attend, again = _attention(previous, extra_options), _attention(None, extra_options)
        with naming(NODE):
            call = sampling.call(extra_options, q, words=True)
            return sampling.run.cross(call, q, k, v, attend, again)

    return patch


def _self_patch(sampling: Sampling, previous: Patch | None) -> Patch:
    def patch(q: Tensor, k: Tensor, v: Tensor, extra_options: dict[str, Any]) -> Tensor:
        attend = _attention(previous, extra_options)
        with naming(NODE):
            if not sampling.acts_on_self(extra_options, q.shape[1]):
                return attend(q, k, v)
            call = sampling.call(extra_options, q, words=False)
            return sampling.run.self_attention(call, q, k, v, attend)

    return patch


def _attention(previous: Patch | None, extra_options: dict[str, Any]) -> Attend:
    """The attention of another pack's patch, else the host's own with the user's choice of backend."""
    heads, options = extra_options["n_heads"], {"attn_precision": extra_options["attn_precision"]}

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if previous is not None:
            return previous(q, k, v, extra_options)
        return optimized_attention(q, k, v, heads, transformer_options=extra_options, **options)

    return attend
