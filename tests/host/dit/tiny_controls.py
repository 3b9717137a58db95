"""Tiny ControlNets, style models and patches for transformers: the host's own classes with random weights."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import comfy.controlnet
import comfy.latent_formats
import comfy.ops
import torch
from torch import Tensor
from transformer_table import FAMILIES
from transformers_tiny import CPU, described, randomise

MAKE = {"dtype": torch.float32, "device": CPU, "operations": comfy.ops.manual_cast}


class PixelVAE:
    """A stand-in of a VAE: 16 channels of averaged pixels. frames: latents have a time axis."""

    def __init__(self, frames: bool) -> None:
        self.frames = frames

    def spacial_compression_encode(self) -> int:
        return 8

    def encode(self, pixels: Tensor) -> Tensor:
        small = torch.nn.functional.avg_pool2d(pixels[..., :3].movedim(-1, 1), 8)
        latent = small.repeat(1, 6, 1, 1)[:, :16] * torch.linspace(-3, 3, 16)[:, None, None]
        return latent[:, :, None] if self.frames else latent


def picture(count: int = 1) -> Tensor:
    """[count, 64, 64, 3]"""
    return torch.rand(count, 64, 64, 3, generator=torch.Generator().manual_seed(6))


def _flux() -> Any:
    from comfy.ldm.flux.controlnet import ControlNetFlux

    model = ControlNetFlux(latent_input=True, **MAKE, **_config("Flux.1", context_in_dim=16, vec_in_dim=16))
    return _net(model, comfy.latent_formats.Flux(), ["y", "guidance"])


def _qwen() -> Any:
    from comfy.ldm.qwen_image.controlnet import QwenImageControlNetModel

    model = QwenImageControlNetModel(**MAKE, **_config("Qwen-Image", joint_attention_dim=16))
    return _net(model, comfy.latent_formats.Wan21(), [])


def _qwen_fun() -> Any:
    from comfy.ldm.qwen_image.controlnet import QwenImageFunControlNetModel

    shape = {"inner_dim": 32, "num_attention_heads": 2, "attention_head_dim": 16, "num_control_blocks": 2}
    model = QwenImageFunControlNetModel(**shape, main_model_double=2, injection_layers=(0, 1), **MAKE)
    return _net(model, comfy.latent_formats.Wan21(), [], comfy.controlnet.QwenFunControlNet)


def _sd3() -> Any:
    from comfy.cldm.mmdit import ControlNet

    text = {"target": "torch.nn.Linear", "params": {"in_features": 4096, "out_features": 192}}
    config = _config("SD3.5 medium", adm_in_channels=32, context_embedder_config=text)
    model = ControlNet(
        num_blocks=2, **MAKE, **{key: value for key, value in config.items() if "x_block" not in key}
    )
    return _net(model, comfy.latent_formats.SD3(), ["y"])


def _config(name: str, **own: Any) -> dict[str, Any]:
    return {key: value for key, value in {**described(FAMILIES[name]), **own}.items() if key != "image_model"}


def _net(model: Any, latent_format: Any, conds: list[str], kind: Any = comfy.controlnet.ControlNet) -> Any:
    randomise(model, seed=5)
    model.dtype = torch.float32
    options = {"compression_ratio": 1, "latent_format": latent_format, "load_device": CPU}
    return kind(model, extra_conds=conds, **options)


NETS: dict[str, tuple[str, Callable[[], Any]]] = {
    "Flux": ("Flux.1", _flux),
    "Qwen-Image": ("Qwen-Image", _qwen),
    "Qwen-Image Fun": ("Qwen-Image", _qwen_fun),
    "SD3": ("SD3", _sd3),
}


@functools.cache
def control_net(name: str) -> Any:
    return NETS[name][1]()


def controlled(name: str, count: int = 1) -> Callable[[Any, Any, int], Any]:
    """Apply ControlNet, on both sides, with one picture or one per sample."""

    def change(positive: Any, negative: Any, rows: int) -> Any:
        node = importlib.import_module("nodes").ControlNetApplyAdvanced()
        pictures = picture(count).repeat_interleave(rows if count > 1 else 1, dim=0)
        vae = PixelVAE(frames="Qwen" in name)
        return node.apply_controlnet(positive, negative, control_net(name), pictures, 1.0, 0.0, 1.0, vae=vae)

    return change


# Style models and patches of the MODEL


def style_model(width: int = 16) -> tuple[Any, Any]:
    """Redux, and what CLIP Vision gives for a picture."""
    import comfy.sd
    from comfy.ldm.flux.redux import ReduxImageEncoder

    model = ReduxImageEncoder(redux_dim=8, txt_in_features=width)
    randomise(model, seed=8)
    states = torch.randn(1, 5, 8, generator=torch.Generator().manual_seed(9))
    return comfy.sd.StyleModel(model), SimpleNamespace(last_hidden_state=states)


def _patch(model: Any) -> Any:
    import comfy.model_patcher

    randomise(model, seed=5)
    return comfy.model_patcher.ModelPatcher(model, load_device=CPU, offload_device=CPU)


def diffsynth(model: Any) -> Any:
    """Apply Qwen Image DiffSynth ControlNet."""
    from comfy_extras import nodes_model_patch as nodes

    blocks = nodes.QwenImageBlockWiseControlNet(num_layers=2, dim=32, **MAKE)
    for block in blocks.controlnet_blocks:  # the host makes their norms without a dtype
        block.to(torch.float32)
    node = nodes.QwenImageDiffsynthControlnet()
    return node.diffsynth_controlnet(model, _patch(blocks), PixelVAE(frames=True), picture())[0]


def z_image_fun(model: Any) -> Any:
    """Apply Z-Image Fun ControlNet."""
    from comfy.ldm.lumina.controlnet import ZImage_Control
    from comfy_extras import nodes_model_patch as nodes

    shape = {"dim": 256, "n_heads": 2, "n_kv_heads": 2, "multiple_of": 8, "ffn_dim_multiplier": 2.0}
    control = ZImage_Control(**shape, n_control_layers=2, additional_in_dim=17, refiner_control=True, **MAKE)
    node = nodes.ZImageFunControlnet()
    return node.diffsynth_controlnet(model, _patch(control), PixelVAE(frames=False), picture())[0]
