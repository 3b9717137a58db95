"""The demo model as the host's own MODEL, CLIP and VAE.

It knows comfy's internals: it builds what Load Checkpoint would build, in
the host's own order, from the weights that demo/training/train.py writes.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import comfy.clip_model
import comfy.latent_formats
import comfy.model_management as management
import comfy.model_patcher
import comfy.ops
import comfy.sd
import comfy.sd1_clip
import comfy.supported_models_base
import comfy.utils
import folder_paths
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.taesd.taesd import TAESD
from safetensors import SafetensorError
from safetensors.torch import load as safetensors_of
from torch import Tensor

from ...demo.model.decoder import CHANNELS, FACTOR, ThumbnailAutoencoder
from ...demo.model.shape import (
    NORM_GROUPS,
    TEXT_WIDTH,
    TOKENIZER,
    TOKENS,
    WEIGHTS,
    comfy_unet_config,
    text_config,
)
from ...p2p_core.errors import P2PError

UNET = comfy_unet_config()

# Values alive at once per pixel while encoding, and per latent cell while decoding.
ENCODE_VALUES = 7
DECODE_VALUES = 2500

T = TypeVar("T")
Weights = Mapping[str, Tensor]
Shapes = Mapping[str, tuple[int, ...]]


def load(weights: Path = WEIGHTS) -> tuple[Any, Any, Any]:
    """(ModelPatcher, CLIP, VAE). Raises P2PError if a file is missing, damaged or of another model."""
    state = read(weights)
    model, clip, vae = build_model(state), build_clip(state), build_vae(state)
    built = {build_model: model, build_clip: clip.patcher, build_vae: vae.patcher}
    for build, patcher in built.items():
        # Newer hosts use this to build a second copy: for another device, or for hooks (plain patcher).
        patcher.cached_patcher_init = (second_patcher, (build, weights))
    return model, clip, vae


def second_patcher(build: Callable[..., Any], weights: Path, disable_dynamic: bool = False) -> Any:
    built = build(read(weights), disable_dynamic)
    return built if build is build_model else built.patcher


# Files


def read(weights: Path) -> Weights:
    """The tensors of the file by name: exactly those of the model, with their shapes.

    Names of the text encoder come without the `text_model.` that transformers 4 adds.
    """
    found = _opened(weights, safetensors_of)
    found = {name.replace("text.text_model.", "text.", 1): value for name, value in found.items()}
    trouble = misfit(found, expected_shapes(vocabulary_size()))
    if trouble:
        raise _unusable(weights, trouble)
    return found


def vocabulary_size(folder: Path = TOKENIZER) -> int:
    """The number of tokens. Raises P2PError if a file of the tokenizer is missing or damaged."""
    _opened(folder / "merges.txt", bytes.decode)
    _opened(folder / "tokenizer_config.json", json.loads)
    return len(_opened(folder / "vocab.json", json.loads))


def misfit(found: Weights, expected: Shapes) -> str:
    """How the tensors differ from the expected ones, as text; empty if they do not."""
    missing = [name for name in expected if name not in found]
    unknown = sorted(found.keys() - expected.keys())
    shapes = [(name, list(found[name].shape), list(expected[name])) for name in expected if name in found]
    other = [f"{name} {have} instead of {want}" for name, have, want in shapes if have != want]
    kinds = {"missing": missing, "unknown": unknown, "wrong shape": other}
    return "; ".join(f"{kind}: {_some(names)}" for kind, names in kinds.items() if names)


def _some(names: list[str], limit: int = 3) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more


def _opened(path: Path, parse: Callable[[bytes], T]) -> T:
    try:
        return parse(path.read_bytes())
    except FileNotFoundError:
        raise _unusable(path, "a missing file") from None
    except (OSError, ValueError, SafetensorError) as error:
        raise _unusable(path, f"an unreadable file ({error})") from error


def _unusable(path: Path, got: str) -> P2PError:
    hint = "Reinstall the pack or run `git checkout -- demo/model` in its folder."
    return P2PError(f"the demo model's file {path.name}", f"{got} ({path})", hint)


def part(state: Weights, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


class _Torch(comfy.ops.disable_weight_init):
    """The host's layers, except for two that have no weights until it loads some."""

    Linear = torch.nn.Linear
    Embedding = torch.nn.Embedding


def grouped(operations: Any) -> Any:
    """These layers with the demo model's number of groups instead of the host's 32."""

    class Grouped(operations):
        class GroupNorm(operations.GroupNorm):
            def __init__(self, num_groups: int, num_channels: int, **options: Any) -> None:
                super().__init__(NORM_GROUPS, num_channels, **options)

    return Grouped


def expected_shapes(tokens: int) -> Shapes:
    """The shape of every tensor of the model by its name in the file, for a vocabulary of `tokens` tokens."""
    meta = torch.device("meta")
    unet = UNetModel(**UNET, device=meta, operations=grouped(_Torch)).state_dict()
    text = TextModel(text_config(tokens), None, meta, _Torch).text_model.state_dict()
    with meta:
        autoencoder = ThumbnailAutoencoder().state_dict()
    names = comfy.utils.unet_to_diffusers(UNET)  # diffusers' names; includes layers that this shape lacks
    unet = {theirs: unet[ours] for theirs, ours in names.items() if ours in unet}
    parts = {"unet.": unet, "text.": text, "autoencoder.": autoencoder}
    return {prefix + name: tuple(value.shape) for prefix, p in parts.items() for name, value in p.items()}


# MODEL


class ThumbnailFormat(comfy.latent_formats.LatentFormat):
    """The latent is a thumbnail of the picture, so the host's previews show its true colours."""

    latent_channels = CHANNELS

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        """mean [3], std [1]: latent · std + mean is the thumbnail in -1..1."""
        self.latent_rgb_factors = (torch.eye(CHANNELS) * std.float()).tolist()
        self.latent_rgb_factors_bias = mean.float().tolist()


class DemoConfig(comfy.supported_models_base.BASE):
    """Noise prediction on Stable Diffusion's schedule: the host's defaults."""

    unet_extra_config: ClassVar[dict[str, Any]] = {}  # UNET has everything
    memory_usage_factor = 1.0

    def __init__(self, latent_format: ThumbnailFormat) -> None:
        super().__init__(UNET)
        self.latent_format = latent_format


def build_model(state: Weights, disable_dynamic: bool = False) -> Any:
    """A ModelPatcher around the host's own UNetModel."""
    device, offload = management.get_torch_device(), management.unet_offload_device()
    config = DemoConfig(ThumbnailFormat(state["autoencoder.mean"], state["autoencoder.std"]))
    dtypes = config.supported_inference_dtypes
    size = comfy.utils.calculate_parameters(part(state, "unet."))
    dtype = management.unet_dtype(model_params=size, supported_dtypes=dtypes, weight_dtype=torch.float16)
    config.set_inference_dtype(dtype, management.unet_manual_cast(dtype, device, dtypes))
    config.custom_operations = grouped(comfy.ops.pick_operations(dtype, config.manual_cast_dtype))
    unet = unet_weights(state, dtype)
    model = config.get_model(unet).to(offload)
    patcher = _patcher_class(disable_dynamic)(model, load_device=device, offload_device=offload)
    model.diffusion_model.load_state_dict(unet, assign=_is_dynamic(patcher))
    return patcher


def unet_weights(state: Weights, dtype: torch.dtype) -> dict[str, Tensor]:
    """The U-Net's weights under the host's names, in its dtype, because not every layer of the host casts."""
    theirs = part(state, "unet.")
    names = comfy.utils.unet_to_diffusers(UNET)
    return {ours: theirs[name].to(dtype) for name, ours in names.items() if name in theirs}


def _patcher_class(disable_dynamic: bool) -> type:
    """The patcher of the host's loaders: the dynamic one if the host has it and it is enabled."""
    plain = comfy.model_patcher.ModelPatcher
    return plain if disable_dynamic else getattr(comfy.model_patcher, "CoreModelPatcher", plain)


def _is_dynamic(patcher: Any) -> bool:
    return hasattr(patcher, "is_dynamic") and patcher.is_dynamic()


# CLIP


class TextModel(comfy.clip_model.CLIPTextModel):
    """The host's text model with the vocabulary of its configuration instead of CLIP's 49,408 tokens."""

    def __init__(self, config: dict[str, Any], dtype: Any, device: Any, operations: Any) -> None:
        super().__init__(config, dtype, device, operations)
        size = (config["vocab_size"], config["hidden_size"])
        self.set_input_embeddings(operations.Embedding(*size, dtype=dtype, device=device))


def build_clip(state: Weights, disable_dynamic: bool = False) -> Any:
    """The host's CLIP, so that prompt weights, long prompts and embeddings work as in the host."""
    text = {f"clip_l.transformer.text_model.{name}": value for name, value in part(state, "text.").items()}
    text["clip_l.transformer.text_projection.weight"] = torch.eye(TEXT_WIDTH, dtype=torch.float16)  # unused
    options: dict[str, Any] = {"disable_dynamic": True} if disable_dynamic else {}
    options["embedding_directory"] = folder_paths.get_folder_paths("embeddings")
    options["parameters"] = comfy.utils.calculate_parameters(text)
    target = _clip_target(vocabulary_size())
    if "state_dict" in inspect.signature(comfy.sd.CLIP).parameters:
        return comfy.sd.CLIP(target, state_dict=text, **options)
    clip = comfy.sd.CLIP(target, **options)  # 0.3.64 loads them afterwards
    clip.load_sd(text, full_model=True)
    return clip


def _clip_target(tokens: int) -> Any:
    config = text_config(tokens)
    tokenizer = partial(
        comfy.sd1_clip.SDTokenizer,
        tokenizer_path=str(TOKENIZER),
        max_length=TOKENS,
        embedding_size=TEXT_WIDTH,
        embedding_key="clip_l",
        tokenizer_args={"model_max_length": 8192},  # the host splits prompts itself
    )
    target = comfy.supported_models_base.ClipTarget(
        partial(comfy.sd1_clip.SD1Tokenizer, tokenizer=tokenizer), comfy.sd1_clip.SD1ClipModel
    )
    special = {"start": config["bos_token_id"], "end": config["eos_token_id"], "pad": config["pad_token_id"]}
    target.params = {
        "clip_model": comfy.sd1_clip.SDClipModel,
        "model_class": TextModel,
        "textmodel_json_config": config,
        "special_tokens": special,
        "max_length": TOKENS,
        "return_projected_pooled": False,
    }
    return target


# VAE


class DemoVAE(comfy.sd.VAE):
    """The host's VAE around the demo's autoencoder.

    The host's constructor picks one of its own autoencoders by the names in a state dict. It gets the
    smallest one, so that it completes, sets every field of its version and logs no warning. Then our
    autoencoder replaces that one. Tiling, cropping, batching and out-of-memory handling stay the host's.
    """

    def __init__(self, autoencoder: ThumbnailAutoencoder) -> None:
        dtype = management.vae_dtype(management.vae_device(), [torch.float32])
        super().__init__(sd=TAESD(latent_channels=CHANNELS).state_dict(), dtype=dtype)
        self.latent_channels = CHANNELS
        self.downscale_ratio = self.upscale_ratio = FACTOR
        self.memory_used_encode = lambda shape, dtype: _memory(ENCODE_VALUES, shape, dtype)
        self.memory_used_decode = lambda shape, dtype: _memory(DECODE_VALUES, shape, dtype)
        self.disable_offload = True  # torch's layers and not the host's: loaded as a whole or not at all
        self.first_stage_model = autoencoder.eval().to(self.vae_dtype)
        self.size = management.module_size(self.first_stage_model)
        self.patcher = comfy.model_patcher.ModelPatcher(
            self.first_stage_model, load_device=self.device, offload_device=management.vae_offload_device()
        )


def _memory(values: int, shape: tuple[int, ...], dtype: torch.dtype) -> int:
    """Bytes for one picture or latent [B, 3, H, W] with `values` values alive per pixel."""
    return values * shape[2] * shape[3] * management.dtype_size(dtype)


def build_vae(state: Weights, disable_dynamic: bool = True) -> DemoVAE:
    """Always uses a plain patcher."""
    autoencoder = ThumbnailAutoencoder()
    autoencoder.load_state_dict(part(state, "autoencoder."))
    return DemoVAE(autoencoder)
