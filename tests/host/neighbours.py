"""Other packs and nodes on a MODEL: the host's own nodes, and stand-ins for packs.

We wrote the stand-ins. Each does what the pack's published code does at the point where the two packs meet.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from comfy.ldm.modules.attention import BasicTransformerBlock, optimized_attention
from sampler_ways import node
from torch import Tensor

Model = Any
Neighbour = Callable[[Model], Model]
Options = dict[str, Any]


def core(module: str, name: str, **inputs: Any) -> Neighbour:
    """A node of the host on a MODEL."""
    return lambda model: node(f"comfy_extras.{module}", name, model=model, **inputs)


# IPAdapter_plus: one object per block, to which a second adapter adds itself


class Attn2Replace:
    """Adds the results of its callbacks on q to the host's attention, each within its sigma range."""

    def __init__(self, callback: Callable[..., Tensor], **kwargs: Any) -> None:
        self.callbacks = [(callback, kwargs)]

    def add(self, callback: Callable[..., Tensor], **kwargs: Any) -> None:
        self.callbacks.append((callback, kwargs))

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, extra_options: Options) -> Tensor:
        out = optimized_attention(q, k, v, extra_options["n_heads"])
        sigma = extra_options["sigmas"].detach().cpu()[0].item()
        for callback, kwargs in self.callbacks:
            if kwargs["sigma_end"] <= sigma <= kwargs["sigma_start"]:
                out = out + callback(out, q, k, v, extra_options, **kwargs)
        return out


def image_attention(
    out: Tensor, q: Tensor, k: Tensor, v: Tensor, extra_options: Options, image: Tensor, **_: Any
) -> Tensor:
    """Attention of q to image tokens in the conditional parts, none in the others."""
    parts = extra_options["cond_or_uncond"]
    batch = q.shape[0] // len(parts)
    image = image[..., : q.shape[-1]]
    keys = torch.cat([image.expand(batch, -1, -1) * (part == 0) for part in parts])
    return optimized_attention(q, keys, keys, extra_options["n_heads"])


def ip_adapter(model: Model, seed: int = 1) -> Model:
    """By block and number, as for SD1.5; the middle block under a number that the host never looks up."""
    generator = torch.Generator().manual_seed(seed)
    image = 2 * torch.randn(1, 4, 512, generator=generator)
    schedule = model.get_model_object("model_sampling")
    sigmas = {"sigma_start": schedule.percent_to_sigma(0.0), "sigma_end": schedule.percent_to_sigma(1.0)}
    clone = model.clone()
    for key in [*dict.fromkeys(key[:2] for key in cross_blocks(model) if key[0] != "middle"), ("middle", 1)]:
        options = clone.model_options["transformer_options"].copy()
        replace = options["patches_replace"] = options.get("patches_replace", {}).copy()
        attn2 = replace["attn2"] = replace.get("attn2", {}).copy()
        if key not in attn2:
            attn2[key] = Attn2Replace(image_attention, image=image, **sigmas)
            clone.model_options["transformer_options"] = options
        else:
            attn2[key].add(image_attention, image=image, **sigmas)
    return clone


def cross_blocks(model: Model) -> list[tuple[str, int, int]]:
    """The positions of the transformer blocks, from their names in the model."""
    names = [
        n for n, m in model.model.diffusion_model.named_modules() if isinstance(m, BasicTransformerBlock)
    ]
    parts = [name.split(".") for name in names]
    return [
        (
            p[0].split("_")[0],
            0 if p[0] == "middle_block" else int(p[1]),
            int(p[p.index("transformer_blocks") + 1]),
        )
        for p in parts
    ]


# sd-perturbed-attention's NAG: a replacement that calls the existing one


def normalized_attention(negative: Tensor, scale: float = 3.0) -> Neighbour:
    def neighbour(model: Model) -> Model:
        clone = model.clone()
        blocks = dict(clone.model.diffusion_model.named_modules())
        transformers = [m for m in blocks.values() if isinstance(m, BasicTransformerBlock)]
        for place, block in zip(cross_blocks(model), transformers, strict=True):
            found = clone.model_options["transformer_options"].get("patches_replace", {}).get("attn2", {})
            with torch.inference_mode():
                keys, values = block.attn2.to_k(negative), block.attn2.to_v(negative)
            clone.set_model_attn2_replace(_guided(found.get(place), keys, values, scale), *place)
        return clone

    return neighbour


def _guided(previous: Any, keys: Tensor, values: Tensor, scale: float) -> Callable[..., Tensor]:
    def patch(q: Tensor, k: Tensor, v: Tensor, extra_options: Options) -> Tensor:
        heads = extra_options["n_heads"]
        out = previous(q, k, v, extra_options) if previous else optimized_attention(q, k, v, heads)
        parts = extra_options["cond_or_uncond"]
        if 0 not in parts:
            return out
        chunks = [
            _away(part, q_part, keys, values, scale, heads) if side == 0 else part
            for side, part, q_part in zip(parts, out.chunk(len(parts)), q.chunk(len(parts)), strict=True)
        ]
        return torch.cat(chunks)

    return patch


def _away(out: Tensor, q: Tensor, keys: Tensor, values: Tensor, scale: float, heads: int) -> Tensor:
    """Guidance away from attention to the negative prompt: norm limited to 2.5 times, mixed half and half."""
    rows = q.shape[0]
    other = optimized_attention(q, keys.expand(rows, -1, -1), values.expand(rows, -1, -1), heads)
    far = out + scale * (out - other)
    ratio = far.norm(p=1, dim=-1, keepdim=True) / out.norm(p=1, dim=-1, keepdim=True)
    return 0.5 * far * ratio.clamp(max=2.5) / ratio + 0.5 * out


# TeaCache and similar: a wrapper around the model call that skips some calls


def cached_calls(model: Model) -> Model:
    """Every second step reuses the model's result of the previous one."""
    known: dict[Any, Tensor] = {}
    turns: dict[Any, Any] = {}

    def wrapper(apply_model: Callable[..., Tensor], args: Options) -> Tensor:
        x, sides = args["input"], tuple(args["cond_or_uncond"])
        if next(turns.setdefault(sides, itertools.cycle([True, False]))) or sides not in known:
            known[sides] = apply_model(x, args["timestep"], **args["c"]) - x
        return x + known[sides]

    clone = model.clone()
    clone.set_model_unet_function_wrapper(wrapper)
    return clone


# Sage and flash attention of KJNodes: an override of the host's attention


def overriding(model: Model) -> Model:
    """Slightly flatter attention, so that it has an effect."""

    def override(function: Callable[..., Tensor], q: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return function(0.5 * q, *args, **kwargs)

    clone = model.clone()
    clone.model_options["transformer_options"]["optimized_attention_override"] = override
    return clone


# AnimateDiff: its sampling passes the frames to the patches


def motion(model: Model) -> Model:
    clone = model.clone()
    clone.model_options["transformer_options"]["ad_params"] = {"sub_idxs": None, "full_length": 2}
    return clone


def windows_of_frames(model: Model) -> Model:
    """One model call for every two rows of the batch."""

    def wrapper(apply_model: Callable[..., Tensor], args: Options) -> Tensor:
        def cut(value: Any, at: slice) -> Any:
            return value[at] if isinstance(value, Tensor) and len(value) == len(args["input"]) else value

        made = []
        for start in range(0, len(args["input"]), 2):
            at = slice(start, start + 2)
            c = {key: cut(value, at) for key, value in args["c"].items()}
            made.append(apply_model(args["input"][at], args["timestep"][at], **c))
        return torch.cat(made)

    clone = model.clone()
    clone.set_model_unet_function_wrapper(wrapper)
    return clone


# A U-Net with attention at the latent's own size, where ToMe merges


def fine_unet(context: int) -> Model:
    """Random weights in a small version of Stable Diffusion 1.5's shape."""
    import comfy.model_base
    import comfy.model_patcher
    import comfy.supported_models

    depths = {"transformer_depth": [1, 1], "transformer_depth_middle": 1, "transformer_depth_output": [1] * 4}
    shape = {"model_channels": 32, "channel_mult": [1, 2], "num_res_blocks": [1, 1], "num_heads": 4, **depths}
    fixed = {"image_size": 32, "in_channels": 4, "out_channels": 4, "use_spatial_transformer": True}
    other = {"use_linear_in_transformer": False, "adm_in_channels": None, "legacy": False}
    config = comfy.supported_models.SD15({**shape, **fixed, **other, "context_dim": context})
    config.unet_config["dtype"] = torch.float32
    model = comfy.model_base.BaseModel(config).eval()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for weights in model.parameters():
            torch.nn.init.normal_(weights, std=0.1)
    cpu = torch.device("cpu")
    return comfy.model_patcher.ModelPatcher(model, load_device=cpu, offload_device=cpu)
