"""Every family of models with text cross-attention: its real shape, and a tiny host with a MODEL of it.

The shapes are those of the published U-Nets, and ComfyUI's own detection has to recognise them by their
weights. The tiny models are built by ComfyUI's own classes from the same lists of blocks, with narrow layers
and random weights.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.supported_models as supported
import torch
from adapter_comfy import ComfyUI
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_management import get_torch_device
from torch import Tensor, nn

REAL = {"clip_l": 768, "clip_h": 1024, "clip_g": 1280}
TINY = {"clip_l": 32, "clip_h": 32, "clip_g": 64}
NUMBER = 256  # width of the embedding of one number, such as the image width
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Blocks:
    """The lists of blocks in the host's terms. scales: number of transformer blocks by how many times smaller
    than the latent they are."""

    depth: tuple[int, ...]
    middle: int
    output: tuple[int, ...]
    multiples: tuple[int, ...]
    scales: Mapping[int, int]

    def described(self) -> dict[str, Any]:
        of_each = len(self.depth) // len(self.multiples)
        return {
            "num_res_blocks": [of_each] * len(self.multiples),
            "channel_mult": list(self.multiples),
            "transformer_depth": list(self.depth),
            "transformer_depth_middle": self.middle,
            "transformer_depth_output": list(self.output),
        }


SD = Blocks((1, 1, 1, 1, 1, 1, 0, 0), 1, (1,) * 9 + (0,) * 3, (1, 2, 4, 4), {1: 5, 2: 5, 4: 5, 8: 1})
XL = Blocks((0, 0, 2, 2, 10, 10), 10, (0, 0, 0, 2, 2, 2, 10, 10, 10), (1, 2, 4), {2: 10, 4: 60})
REFINER = Blocks(
    (0, 0, 4, 4, 4, 4, 0, 0), 4, (0,) * 3 + (4,) * 6 + (0,) * 3, (1, 2, 4, 4), {2: 20, 4: 20, 8: 4}
)
SSD = Blocks((0, 0, 2, 2, 4, 4), -1, (0, 0, 0, 1, 1, 2, 10, 4, 4), (1, 2, 4), {2: 8, 4: 26})
VEGA = Blocks((0, 0, 1, 1, 2, 2), -1, (0, 0, 0, 1, 1, 1, 2, 2, 2), (1, 2, 4), {2: 5, 4: 10})
KOALA = Blocks((0, 2, 5), -2, (0, 0, 2, 2, 5, 5), (1, 2, 4), {2: 6, 4: 15})


@dataclass(frozen=True)
class Family:
    """kind: the host's class. encoders: its text encoders. width, tiny: channels of its first layer.

    numbers: number of size inputs; pooled: width of the pooled input, that of the last encoder if there are
    size inputs. marks: tensors of a checkpoint that tell the host what the model predicts; norm1: the spread
    of some biases, which tells it for SD2.
    """

    kind: str
    blocks: Blocks
    encoders: tuple[str, ...]
    channels: int = 4
    width: int = 320
    tiny: int = 32  # the host normalises in 32 groups
    numbers: int = 0
    pooled: int = 0
    marks: tuple[str, ...] = ()
    norm1: float = 0.02

    def unet(self, sizes: Mapping[str, int]) -> dict[str, Any]:
        """The host's description of the U-Net, REAL or TINY."""
        texts = [sizes[name] for name in self.encoders]
        told = NUMBER * self.numbers + texts[-1] if self.numbers else self.pooled
        return {
            **{"in_channels": self.channels, "out_channels": 4, "context_dim": sum(texts)},
            **{"model_channels": self.width if sizes is REAL else self.tiny, **self.blocks.described()},
            **{"use_linear_in_transformer": self.encoders != ("clip_l",), "adm_in_channels": told or None},
            **({"num_classes": "sequential"} if told else {}),
            **{"use_temporal_resblock": False, "use_temporal_attention": False},
            **{"image_size": 32, "use_spatial_transformer": True, "use_checkpoint": False, "legacy": False},
        }


SD1, SD2, SDXL = ("clip_l",), ("clip_h",), ("clip_l", "clip_g")
FAMILIES = {
    "SD1.5": Family("SD15", SD, SD1),
    "SD1.5 inpainting": Family("SD15", SD, SD1, channels=9),
    "SD1.5 InstructPix2Pix": Family("SD15_instructpix2pix", SD, SD1, channels=8),
    "SD2.x, noise": Family("SD20", SD, SD2, tiny=64),
    "SD2.x, v": Family("SD20", SD, SD2, tiny=64, norm1=0.2),
    "SD2.x inpainting": Family("SD20", SD, SD2, tiny=64, channels=9),
    "SD2.1 unCLIP": Family("SD21UnclipH", SD, SD2, tiny=64, pooled=2048),
    "SDXL": Family("SDXL", XL, SDXL, numbers=6),
    "SDXL, v with zero terminal SNR": Family("SDXL", XL, SDXL, numbers=6, marks=("v_pred", "ztsnr")),
    "SDXL, EDM": Family("SDXL", XL, SDXL, numbers=6, marks=("edm_mean", "edm_std")),
    "SDXL inpainting": Family("SDXL", XL, SDXL, channels=9, numbers=6),
    "SDXL refiner": Family("SDXLRefiner", REFINER, ("clip_g",), width=384, numbers=5),
    "SSD-1B": Family("SSD1B", SSD, SDXL, numbers=6),
    "Segmind Vega": Family("Segmind_Vega", VEGA, SDXL, numbers=6),
    "KOALA": Family("KOALA_700M", KOALA, SDXL, numbers=6),
}


def unet_without_weights(name: str) -> UNetModel:
    """The host's U-Net at its real width."""
    family = FAMILIES[name]
    heads = {"num_heads": 8} if family.encoders == SD1 else {"num_head_channels": 64}
    meta, layers = torch.device("meta"), comfy.ops.disable_weight_init
    return UNetModel(**family.unet(REAL), **heads, device=meta, operations=layers)


# Tiny models


class TinyHost(ComfyUI):
    """ComfyUI with a tiny model of a family. text: other encoders than its own. change: a stock node on the
    MODEL."""

    def __init__(
        self, name: str, dtype: torch.dtype = torch.float32, cast: torch.dtype | None = None,
        change: Callable[[Any], Any] = lambda model: model,
    ) -> None:  # fmt: skip
        self._model = change(tiny_model(name, dtype, cast))
        self._clip = tiny_clip(FAMILIES[name].kind)

    def model(self) -> Any:
        return self._model

    def clip(self) -> Any:
        return self._clip


@functools.cache
def tiny_model(name: str, dtype: torch.dtype = torch.float32, cast: torch.dtype | None = None) -> Any:
    """A ModelPatcher as from Load Checkpoint. cast: the dtype that weights of `dtype` are computed in."""
    family = FAMILIES[name]
    config = getattr(supported, family.kind)(family.unet(TINY))
    config.set_inference_dtype(dtype, cast)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        like = config.get_model({}).diffusion_model
        weights = {key: _random(key, value, family.norm1) for key, value in like.state_dict().items()}
    marks = {mark: torch.ones(1, 4, 1, 1) for mark in family.marks}
    model = config.get_model({**weights, **marks}).to(CPU)
    patcher = getattr(comfy.model_patcher, "CoreModelPatcher", comfy.model_patcher.ModelPatcher)
    patched = patcher(model, load_device=get_torch_device(), offload_device=CPU)
    model.load_model_weights({key: value.to(dtype) for key, value in weights.items()})
    return patched


@functools.cache
def tiny_clip(kind: str, embeddings: str | None = None) -> Any:
    """A CLIP with the host's tokenizers and narrow encoders of three layers."""
    shape = {"num_hidden_layers": 3, "num_attention_heads": 2}
    narrow = {
        f"{name}_model_config": {**shape, "hidden_size": TINY[name], "intermediate_size": 64}
        for name in ("clip_l", "clip_h", "clip_g")
    }
    target = getattr(supported, kind)({"in_channels": 4}).clip_target()
    clip = comfy.sd.CLIP(
        target, embedding_directory=embeddings, model_options={**narrow, "dtype": torch.float32}
    )
    with torch.random.fork_rng():
        torch.manual_seed(1)
        randomise(clip.cond_stage_model)
    return clip


def randomise(module: nn.Module) -> None:
    for name, value in module.named_parameters():
        value.data = _random(name, value, 0.02)


def _random(name: str, like: Tensor, norm1: float) -> Tensor:
    """A weight with about the size of a trained one, so that attention is not uniform.

    Each block adds only a fraction of its input, otherwise rounding would grow from block to block.
    """
    value = torch.randn(like.shape)
    if like.ndim > 1:
        scales = dict.fromkeys(("to_q", "to_k", "q_proj", "k_proj"), 1.5) | {"attn2.to_out": 0.6}
        scales |= dict.fromkeys(("to_out", "net.2", "out_layers", "proj_out"), 0.2)
        scale = next((scale for part, scale in scales.items() if part in name), 1.0)
        return value if "embedding" in name else value * scale / like[0].numel() ** 0.5
    if name.endswith("weight"):
        return 1 + value / 10
    return value * (norm1 if "norm1" in name else 0.02)
