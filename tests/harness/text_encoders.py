"""Narrow text encoders of the transformer families, of the host's own classes."""

from __future__ import annotations

import functools
import importlib
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import comfy.clip_model
import comfy.ops
import comfy.sd
import comfyui_version
import torch
from small_tokenizers import llama_folder, rendered, spiece, tekken
from torch import nn
from transformers import PreTrainedTokenizerFast

VERSION = tuple(int(part) for part in comfyui_version.__version__.split("."))
OLD, NEW = (0, 3, 64), (0, 33, 0)


def _t5(layers: int = 2, width: int = 16) -> dict[str, int]:
    return {"d_model": width, "d_ff": 32, "d_kv": 8, "num_heads": 2, "num_layers": layers}


def _llama(layers: int = 4) -> dict[str, int]:
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    return {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": layers, **heads}


T5, LLAMA = _t5(), _llama()
CLIP = {"num_hidden_layers": 3, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 32}


@dataclass(frozen=True)
class Encoder:
    """module, make, tokenizer: the host's module, what makes its model class, and its tokenizer's class, with
    its module if that is another.

    shapes: by the host's name of a network. options: for the model class. data: from inside checkpoints.
    """

    module: str
    make: str
    tokenizer: str
    shapes: Mapping[str, Mapping[str, Any]]
    since: tuple[int, ...] = OLD
    options: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    half: bool = False  # float16 where one width of the host's is large


GEMMA = {"spiece_model": lambda: spiece(bos=True, byte_fallback=True)}
UMT5 = {"spiece_model": lambda: spiece(bos=False, byte_fallback=False)}
QWEN = {"qwen25_7b": LLAMA}
VL4, VL8 = (
    {"qwen3vl_4b": _llama(36)},
    {"qwen3vl_8b": _llama(36)},
)


def _lens_tokenizer() -> Any:
    from comfy.text_encoders import gpt_oss

    return rendered(gpt_oss._lens_render_chat(""))


ENCODERS: dict[str, Encoder] = {
    "flux": Encoder("flux", "flux_clip", "FluxTokenizer", {"clip_l": CLIP, "t5xxl": T5}),
    "chroma": Encoder("pixart_t5", "pixart_te", "PixArtTokenizer", {"t5xxl": T5}),
    "ltxv": Encoder("lt", "ltxv_te", "LTXVT5Tokenizer", {"t5xxl": T5}),
    "cosmos": Encoder("cosmos", "te", "CosmosT5Tokenizer", {"t5xxl": T5}),
    "mochi": Encoder("genmo", "mochi_te", "MochiT5Tokenizer", {"t5xxl": T5}),
    "cogvideo": Encoder("cogvideo", "cogvideo_te", "CogVideoXTokenizer", {"t5xxl": T5}, NEW),
    "aura": Encoder("aura_t5", "AuraT5Model", "AuraT5Tokenizer", {"pile_t5xl": T5}),
    "wan": Encoder("wan", "te", "WanT5Tokenizer", {"umt5xxl": T5}, data=UMT5),
    "sd3": Encoder(
        "sd3_clip", "sd3_clip", "SD3Tokenizer",
        {"clip_l": CLIP, "clip_g": CLIP, "t5xxl": _t5(1, 4096)}, half=True,
    ),
    "sd3 of t5": Encoder(
        "sd3_clip", "sd3_clip", "SD3Tokenizer", {"t5xxl": T5}, options={"clip_l": False, "clip_g": False}
    ),
    "hidream": Encoder(
        "hidream", "hidream_clip", "HiDreamTokenizer",
        {"clip_l": CLIP, "clip_g": CLIP, "t5xxl": T5, "llama": LLAMA},
    ),
    "hunyuan video": Encoder(
        "hunyuan_video", "hunyuan_video_clip", "HunyuanVideoTokenizer", {"clip_l": CLIP, "llama": LLAMA}
    ),
    "hunyuan image": Encoder("hunyuan_image", "te", "HunyuanImageTokenizer", {**QWEN, "": _t5(1, 1472)}),
    "hunyuan video 1.5": Encoder(
        "hunyuan_image", "te", "hunyuan_video.HunyuanVideo15Tokenizer", {**QWEN, "": _t5(1, 1472)}, NEW
    ),
    "qwen image": Encoder("qwen_image", "te", "QwenImageTokenizer", QWEN),
    "omnigen2": Encoder("omnigen2", "te", "Omnigen2Tokenizer", {"qwen25_3b": LLAMA}),
    "lumina2": Encoder("lumina2", "te", "LuminaTokenizer", {"gemma2_2b": LLAMA}, data=GEMMA),
    "lumina2 gemma 3": Encoder(
        "lumina2", "te", "NTokenizer", {"gemma3_4b": LLAMA}, options={"model_type": "gemma3_4b"}, data=GEMMA
    ),
    "z-image": Encoder("z_image", "te", "ZImageTokenizer", {"qwen3_4b": LLAMA}, NEW),
    "klein": Encoder("flux", "klein_te", "KleinTokenizer", {"qwen3_4b": _llama(28)}, NEW),
    "flux2": Encoder(
        "flux", "flux2_te", "Flux2Tokenizer", {"mistral3_24b": _llama(31)}, NEW,
        data={"tekken_model": tekken},
    ),
    "ernie": Encoder(
        "ernie", "te", "ErnieTokenizer", {"ministral3_3b": LLAMA}, NEW, data={"tekken_model": tekken}
    ),
    "krea2": Encoder("krea2", "te", "Krea2Tokenizer", VL4, NEW),
    "mage flow": Encoder("mage_flow", "te", "MageFlowTokenizer", VL4, NEW),
    "boogu": Encoder("boogu", "te", "BooguTokenizer", VL8, NEW),
    "joyimage": Encoder("joyimage", "te", "JoyImageTokenizer", VL8, NEW),
    "ideogram4": Encoder("ideogram4", "te", "Ideogram4Tokenizer", {"qwen3vl_8b": _llama(36)}, NEW),
    "ovis": Encoder("ovis", "te", "OvisTokenizer", {"qwen3_2b": LLAMA}, NEW),
    "longcat": Encoder("longcat_image", "te", "LongCatImageTokenizer", QWEN, NEW),
    "kandinsky5": Encoder("kandinsky5", "te", "Kandinsky5Tokenizer", {**QWEN, "clip_l": CLIP}, NEW),
    "anima": Encoder("anima", "te", "AnimaTokenizer", {"qwen3_06b": {**LLAMA, "hidden_size": 1024}}, NEW),
    "pixeldit": Encoder(
        "pixeldit", "pixeldit_te", "PixelDiTGemma2Tokenizer", {"gemma2_2b": LLAMA}, NEW, data=GEMMA
    ),
    "ltx2": Encoder(
        "lt", "ltxav_te", "LTXAVGemmaTokenizer", {"": LLAMA}, NEW, data=GEMMA,
        options={"text_projection_type": "dual_linear", "video_projection_dim": 8, "audio_projection_dim": 8},
    ),
    "ltx2 in one": Encoder(
        "lt", "ltxav_te", "LTXAVGemmaTokenizer", {"": LLAMA}, NEW, data=GEMMA,
        options={"video_projection_dim": 8},
    ),
    "newbie": Encoder(
        "newbie", "te", "NewBieTokenizer", {"": {**CLIP, "num_attention_heads": 4}}, NEW,
        data={"gemma_spiece_model": GEMMA["spiece_model"], "jina_spiece_model": GEMMA["spiece_model"]},
    ),
    "lens": Encoder("gpt_oss", "lens_te", "LensTokenizer", {}, NEW, data={"tokenizer_json": _lens_tokenizer}),
}  # fmt: skip

HERE = [name for name, encoder in ENCODERS.items() if encoder.since <= VERSION]


@functools.cache
def tiny_clip(name: str, embeddings: str | None = None, attends: bool = False, sees: bool = False) -> Any:
    """A CLIP as the host's loaders make it. Unless it attends, each row of its output depends on its own
    token alone. sees: whether it has a part that reads pictures.
    """
    encoder = ENCODERS[name]
    made = _of_host(encoder.module, encoder.make)
    model = made if isinstance(made, type) else made(**encoder.options)
    target = SimpleNamespace(params={}, clip=model, tokenizer=_of_host(encoder.module, encoder.tokenizer))
    options: dict[str, Any] = {f"{key}_model_config": dict(shape) for key, shape in encoder.shapes.items()}
    options["gpt_oss_config"] = {**_llama(24), "head_dim": 8}
    options["custom_operations"] = comfy.ops.manual_cast
    options["dtype"] = torch.float16 if encoder.half else torch.float32
    data = {key: make() for key, make in encoder.data.items()}
    with torch.random.fork_rng(), _small(sees):
        torch.manual_seed(0)
        clip = comfy.sd.CLIP(target, embeddings, tokenizer_data=data, model_options=options)
        _randomise(clip.cond_stage_model, attends)
    return clip


def _of_host(module: str, name: str) -> Any:
    own, _, name = name.rpartition(".")
    return getattr(importlib.import_module(f"comfy.text_encoders.{own or module}"), name)


def _randomise(model: nn.Module, attends: bool) -> None:
    """Random weights; without `attends`, no token attends to another."""
    for name, value in model.named_parameters():
        attended = any(part in name for part in ("o_proj", "SelfAttention.o.", "out_proj"))
        if attended and not attends:
            value.data.zero_()
        elif value.ndim > 1:
            value.data.normal_(std=0.5)
        else:
            value.data.normal_(1.0, 0.1)


@dataclass(frozen=True)
class Llama:
    """The host's class of Llama tokenizers, reading another folder."""

    kind: Any
    folder: str

    def from_pretrained(self, *_: Any, **__: Any) -> Any:
        return self.kind.from_pretrained(self.folder)


@contextmanager
def _small(sees: bool) -> Iterator[None]:
    """With a small part that reads pictures or none, and with a Llama tokenizer, which the host does not have
    on board."""
    from comfy.text_encoders import hunyuan_video, qwen_vl

    nothing = lambda *_, **__: nn.Identity()  # noqa: E731
    narrow = {"hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "num_layers": 1}
    vision = qwen_vl.Qwen2VLVisionTransformer
    seeing = (lambda **given: vision(**{**given, **narrow})) if sees else nothing
    found: list[Any] = [patch.object(qwen_vl, "Qwen2VLVisionTransformer", seeing)]
    found += [patch.object(comfy.clip_model, "CLIPVision", nothing)]
    if VERSION >= NEW:
        from comfy.text_encoders import gpt_oss, qwen3vl

        found.append(patch.object(gpt_oss, "GptOssMLP", nothing))
        found.append(patch.object(qwen3vl, "Qwen3VLVisionModel", nothing))
    with tempfile.TemporaryDirectory() as folder:
        llama_folder(Path(folder))
        load = PreTrainedTokenizerFast if VERSION < NEW else hunyuan_video.LlamaTokenizerFast
        found.append(patch.object(hunyuan_video, "LlamaTokenizerFast", Llama(load, folder)))
        for each in found:
            each.start()
        yield
        for each in found:
            each.stop()
