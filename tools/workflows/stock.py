"""ComfyUI's own nodes in the example workflows: their sockets and fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NOTE = "MarkdownNote"
SEEDS = {"seed", "noise_seed"}  # fields that the front end follows by a "control after generate"


@dataclass(frozen=True)
class Sockets:
    """Inputs as (name, type, optional, widget), in order, and outputs as (name, type)."""

    inputs: tuple[tuple[str, str, bool, bool], ...] = ()
    outputs: tuple[tuple[str, str], ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict[str, Any])


def _stock(widgets: str = "", sockets: str = "", outputs: str = "") -> Sockets:
    """Each argument is a list such as `seed:INT vae?:VAE`, with ? after the name of an optional input; the
    front end puts sockets first.
    """
    pairs = [[tuple(item.split(":")) for item in text.split()] for text in (sockets, widgets, outputs)]
    inputs = [
        (name.removesuffix("?"), kind, name.endswith("?"), bool(widget))
        for widget, listed in enumerate(pairs[:2])
        for name, kind in listed
    ]
    return Sockets(tuple(inputs), tuple((name, kind) for name, kind in pairs[2]))


STOCK = {
    "CLIPTextEncode": _stock("text:STRING", "clip:CLIP", "CONDITIONING:CONDITIONING"),
    "Canny": _stock("low_threshold:FLOAT high_threshold:FLOAT", "image:IMAGE", "IMAGE:IMAGE"),
    "CheckpointLoaderSimple": _stock("ckpt_name:COMBO", "", "MODEL:MODEL CLIP:CLIP VAE:VAE"),
    "ControlNetApplyAdvanced": _stock(
        "strength:FLOAT start_percent:FLOAT end_percent:FLOAT",
        "positive:CONDITIONING negative:CONDITIONING control_net:CONTROL_NET image:IMAGE",
        "positive:CONDITIONING negative:CONDITIONING",
    ),
    "ControlNetLoader": _stock("control_net_name:COMBO", "", "CONTROL_NET:CONTROL_NET"),
    "EmptyLatentImage": _stock("width:INT height:INT batch_size:INT", "", "LATENT:LATENT"),
    "KSampler": _stock(
        "seed:INT steps:INT cfg:FLOAT sampler_name:COMBO scheduler:COMBO denoise:FLOAT",
        "model:MODEL positive:CONDITIONING negative:CONDITIONING latent_image:LATENT",
        "LATENT:LATENT",
    ),
    "InpaintModelConditioning": _stock(
        "noise_mask:BOOLEAN",
        "positive:CONDITIONING negative:CONDITIONING vae:VAE pixels:IMAGE mask:MASK",
        "positive:CONDITIONING negative:CONDITIONING latent:LATENT",
    ),
    "LatentBatchSeedBehavior": _stock("seed_behavior:COMBO", "samples:LATENT", "LATENT:LATENT"),
    "LatentUpscaleBy": _stock("upscale_method:COMBO scale_by:FLOAT", "samples:LATENT", "LATENT:LATENT"),
    "LoadImage": _stock("image:COMBO", "", "IMAGE:IMAGE MASK:MASK"),
    "VAEEncode": _stock("", "pixels:IMAGE vae:VAE", "LATENT:LATENT"),
    "VAEDecode": _stock("", "samples:LATENT vae:VAE", "IMAGE:IMAGE"),
    "MaskToImage": _stock("", "mask:MASK", "IMAGE:IMAGE"),
    "PreviewImage": _stock("", "images:IMAGE"),
    "BasicGuider": _stock("", "model:MODEL conditioning:CONDITIONING", "GUIDER:GUIDER"),
    "CFGNorm": _stock("strength:FLOAT pre_cfg?:BOOLEAN", "model:MODEL", "patched_model:MODEL"),
    "CLIPLoader": _stock("clip_name:COMBO type:COMBO device:COMBO", "", "CLIP:CLIP"),
    "ConditioningZeroOut": _stock("", "conditioning:CONDITIONING", "CONDITIONING:CONDITIONING"),
    "DualCLIPLoader": _stock("clip_name1:COMBO clip_name2:COMBO type:COMBO device:COMBO", "", "CLIP:CLIP"),
    "EmptyFlux2LatentImage": _stock("width:INT height:INT batch_size:INT", "", "LATENT:LATENT"),
    "EmptyHunyuanLatentVideo": _stock("width:INT height:INT length:INT batch_size:INT", "", "LATENT:LATENT"),
    "EmptySD3LatentImage": _stock("width:INT height:INT batch_size:INT", "", "LATENT:LATENT"),
    "Flux2Scheduler": _stock("steps:INT width:INT height:INT", "", "SIGMAS:SIGMAS"),
    "FluxKontextImageScale": _stock("", "image:IMAGE", "IMAGE:IMAGE"),
    "FluxKontextMultiReferenceLatentMethod": _stock(
        "reference_latents_method:COMBO", "conditioning:CONDITIONING", "CONDITIONING:CONDITIONING"
    ),
    "FluxGuidance": _stock("guidance:FLOAT", "conditioning:CONDITIONING", "CONDITIONING:CONDITIONING"),
    "ImageScaleToTotalPixels": _stock(
        "upscale_method:COMBO megapixels:FLOAT resolution_steps:INT", "image:IMAGE", "IMAGE:IMAGE"
    ),
    "KSamplerSelect": _stock("sampler_name:COMBO", "", "SAMPLER:SAMPLER"),
    "ModelSamplingAuraFlow": _stock("shift:FLOAT", "model:MODEL", "MODEL:MODEL"),
    "ModelSamplingSD3": _stock("shift:FLOAT", "model:MODEL", "MODEL:MODEL"),
    "RandomNoise": _stock("noise_seed:INT", "", "NOISE:NOISE"),
    "ReferenceLatent": _stock("", "conditioning:CONDITIONING latent?:LATENT", "CONDITIONING:CONDITIONING"),
    "SamplerCustomAdvanced": _stock(
        "",
        "noise:NOISE guider:GUIDER sampler:SAMPLER sigmas:SIGMAS latent_image:LATENT",
        "output:LATENT denoised_output:LATENT",
    ),
    "SaveAnimatedWEBP": _stock(
        "filename_prefix:STRING fps:FLOAT lossless:BOOLEAN quality:INT method:COMBO",
        "images:IMAGE",
        "images:IMAGE",
    ),
    "SaveImage": _stock("filename_prefix:STRING", "images:IMAGE"),
    "TextEncodeQwenImageEditPlus": _stock(
        "prompt:STRING",
        "clip:CLIP vae?:VAE image1?:IMAGE image2?:IMAGE image3?:IMAGE",
        "CONDITIONING:CONDITIONING",
    ),
    "UNETLoader": _stock("unet_name:COMBO weight_dtype:COMBO", "", "MODEL:MODEL"),
    "VAELoader": _stock("vae_name:COMBO", "", "VAE:VAE"),
    NOTE: Sockets(),
}
WIDGETS = {"STRING", "INT", "FLOAT", "BOOLEAN", "COMBO"}
