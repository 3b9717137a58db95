"""Other packs and nodes on the MODEL of a transformer: the host's own nodes, and stand-ins for packs.

Each stand-in does what the pack's published code does at the point where the two packs meet.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import comfy.model_patcher
import comfy.samplers
import torch
from neighbours import Model, Neighbour, cached_calls, core, overriding
from torch import Tensor, nn

__all__ = ["NEIGHBOURS", "core", "forward_without_options", "lora"]


def skip_layers(name: str, **inputs: Any) -> Neighbour:
    """Skip Layer Guidance, in all steps. On models with one list of blocks, `double_layers` counts."""
    window = {"start_percent": 0.0, "end_percent": 1.0}
    layers = {"layers": "1"} if name.endswith("SD3") else {"double_layers": "1", "single_layers": "1"}
    module = "nodes_sd3" if name.endswith("SD3") else "nodes_slg"
    return core(module, name, **layers, **window, **inputs)


def lora(model: Model) -> Model:
    import comfy.sd

    return comfy.sd.load_lora_for_models(model, None, lora_weights(model), 1.0, 0.0)[0]


def lora_weights(model: Model) -> dict[str, Tensor]:
    """Of the first linear layer of the second block."""
    transformer = model.model.diffusion_model
    lists = (each for each in transformer.children() if isinstance(each, nn.ModuleList))
    block = next(blocks for blocks in lists if len(blocks) > 1)[1]
    layer = next(each for each in block.modules() if isinstance(each, nn.Linear))
    name = next(name for name, each in transformer.named_modules() if each is layer)
    generator, (rows, columns) = torch.Generator().manual_seed(2), layer.weight.shape
    return {
        f"diffusion_model.{name}.lora_up.weight": 0.3 * torch.randn(rows, 4, generator=generator),
        f"diffusion_model.{name}.lora_down.weight": 0.3 * torch.randn(4, columns, generator=generator),
    }


def perturbed_tokens(model: Model) -> Model:
    """Guidance away from a run with the image tokens of one block in another order (as TPG does)."""

    def reversed_tokens(args: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
        return extra["original_block"]({**args, "img": args["img"].flip(1)})

    def guided(args: dict[str, Any]) -> Tensor:
        options = comfy.model_patcher.set_model_options_patch_replace(
            args["model_options"].copy(), reversed_tokens, "dit", "double_block", 0
        )
        rest = args["model"], [args["cond"]], args["input"], args["sigma"], options
        (other,) = comfy.samplers.calc_cond_batch(*rest)
        return args["denoised"] + 2.0 * (args["cond_denoised"] - other)

    clone = model.clone()
    clone.set_model_sampler_post_cfg_function(guided)
    return clone


def cached_blocks(model: Model) -> Model:
    """First-block caches (TeaCache, WaveSpeed): every second step, the blocks after the first do nothing."""
    known: dict[tuple[Any, ...], Tensor] = {}
    steps: dict[tuple[Any, ...], list[float]] = {}

    def wrapper(executor: Any, x: Tensor, t: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        options = next(each for each in [*args, kwargs.get("transformer_options")] if isinstance(each, dict))
        sides, sigma = tuple(options["cond_or_uncond"]), float(options["sigmas"][0])
        seen = steps.setdefault(sides, [])
        if not seen or seen[-1] < sigma:
            seen.clear()
        seen.append(sigma)
        if len(seen) % 2:
            known[sides] = executor(x, t, *args, **kwargs)
        return known[sides]

    clone = model.clone()
    clone.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL, "a cache", wrapper)
    return clone


def forward_without_options(model: Model) -> Model:
    """TeaCache 91dff8e and ComfyUI-NAG ef8a641: their own loops over the blocks, without the options."""

    def wrapper(apply_model: Callable[..., Tensor], args: dict[str, Any]) -> Tensor:
        with _blocks_without_options(model.model.diffusion_model):
            return apply_model(args["input"], args["timestep"], **args["c"])

    clone = model.clone()
    clone.set_model_unet_function_wrapper(wrapper)
    return clone


@contextlib.contextmanager
def _blocks_without_options(transformer: nn.Module) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        for blocks in transformer.children():
            for block in blocks if isinstance(blocks, nn.ModuleList) else ():
                forward = block.forward

                def without(*args: Any, own: Any = forward, **kwargs: Any) -> Any:
                    return own(*args, **{**kwargs, "transformer_options": {}})

                stack.enter_context(patch.object(block, "forward", without))
        yield


GUIDANCE = {
    "CFG-Zero*": core("nodes_cfg", "CFGZeroStar"),
    "CFG Norm": core("nodes_cfg", "CFGNorm", strength=0.9),
    "APG": core("nodes_apg", "APG", eta=0.5, norm_threshold=2.0, momentum=-0.5),
    "TCFG": core("nodes_tcfg", "TCFG"),
    "Rescale CFG": core("nodes_model_advanced", "RescaleCFG", multiplier=0.7),
    "Renorm CFG": core("nodes_lumina2", "RenormCFG", cfg_trunc=0.5, renorm_cfg=0.0),
    "Skip Layer Guidance": skip_layers("SkipLayerGuidanceDiT", scale=3.0, rescaling_scale=0.0),
    "Skip Layer Guidance, simple": skip_layers("SkipLayerGuidanceDiTSimple"),
    "Skip Layer Guidance (SD3)": skip_layers("SkipLayerGuidanceSD3", scale=3.0),
    "perturbed tokens": perturbed_tokens,
    "NAG of the host": core("nodes_nag", "NAGuidance", nag_scale=5.0, nag_alpha=0.5, nag_tau=1.5),
}
SHIFTS = {
    "shift of SD3": core("nodes_model_advanced", "ModelSamplingSD3", shift=5.0),
    "shift of AuraFlow": core("nodes_model_advanced", "ModelSamplingAuraFlow", shift=1.2),
    "shift of Flux": core(
        "nodes_model_advanced", "ModelSamplingFlux", max_shift=1.15, base_shift=0.5, width=64, height=64
    ),
    "scaled RoPE": core(
        "nodes_rope",
        "ScaleROPE",
        scale_x=1.5,
        shift_x=2.0,
        scale_y=1.0,
        shift_y=0.0,
        scale_t=1.0,
        shift_t=0.0,
    ),
}
ATTENTION = {
    "attention backend": overriding,
    "cached calls": cached_calls,
    "cached blocks": cached_blocks,
    "LoRA": lora,
}
NEIGHBOURS = {**ATTENTION, **SHIFTS, **GUIDANCE}
