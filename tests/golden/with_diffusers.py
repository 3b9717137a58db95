"""The nodes of the example workflows on the diffusers host. MODEL is a tuple of steps for an EditPlan.

Sampler, scheduler and denoise are not read: this host has Euler steps, and ancestral ones for a trajectory
with noise, on ComfyUI's `simple` schedule.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from demo.diffusers_host.inverting import edit_pictures, encoded, inverted, with_null_texts
from demo.diffusers_host.pipeline import load, start_noise
from demo.world.scenes import draw, random_scene
from p2p_core.architecture.layers import LayerFilter
from p2p_core.edits.steps import Reweight, TokenEdit
from p2p_core.maps.blending import Blend
from p2p_core.maps.masks import MaskRule
from p2p_core.maps.recording import Record
from p2p_core.maps.store import MapStore, word_channel
from p2p_core.plan import EditPlan
from p2p_core.real.null_text import NullText
from p2p_core.real.pinning import RealImage
from p2p_core.words.fields import entries
from p2p_core.words.prompts import split_edits
from p2p_core.words.weights import parse_weights
from p2p_core.words.windows import Window, parse_word_windows

METHODS: dict[str, Any] = {"P2PPromptEdit": "edit", "P2PWordSwap": "swap", "P2PRefine": "refine"}
Inputs = dict[str, Any]


class Diffusers:
    """One demo pipeline; call it with a node's class and its inputs."""

    def __init__(self) -> None:
        self.pipe = load()
        self.nodes: dict[str, Callable[[Inputs], Sequence[Any]]] = {
            "P2PDemoModel": lambda given: ((), None, None),
            "P2PDemoPicture": lambda given: (_picture(given["seed"]),),
            "VAEEncode": lambda given: (encoded(self.pipe, given["pixels"]),),
            "CLIPTextEncode": lambda given: (given["text"],),
            "EmptyLatentImage": lambda given: (given,),
            "P2PPromptPair": lambda given: (self.pair(given["source"], given["edit"]),) * 2,
            "P2PReweight": lambda given: (_with(given, _reweight(given)),),
            "P2PLocalBlend": lambda given: (_with(given, _blend(given)),),
            "P2PAttentionStore": lambda given: (_with(given, _record(given)),),
            "P2PInvert": lambda given: (self.inverted(given),),
            "P2PNullText": lambda given: (self.null_texts(given),),
            "P2PRealImage": lambda given: (_with(given, _real(given)), None),
            "KSampler": lambda given: ({"samples": self.sampled(given)},),
        }

    def __call__(self, kind: str, given: Inputs) -> Sequence[Any]:
        if kind in METHODS:
            return (_with(given, _token_edit(METHODS[kind], given)),)
        return self.nodes[kind](given)

    def pair(self, source: str, edit: str) -> Any:
        return self.pipe.prompts(source, *split_edits(edit))

    def inverted(self, given: Inputs) -> Any:
        text, settings = given["source"].source.text, (given["method"], given["iterations"], given["seed"])
        return inverted(self.pipe, given["latent"], text, given["steps"], *settings)

    def null_texts(self, given: Inputs) -> Any:
        return with_null_texts(self.pipe, given["trajectory"], NullText(given["cfg"], given["iterations"]))

    def sampled(self, given: Inputs) -> Tensor:
        prompts, cfg, negative = given["positive"], given["cfg"], given["negative"]
        plan = EditPlan(prompts)
        for step in given["model"]:
            plan = plan.then(prompts, step)
        texts, size = plan.prompts.texts, given["latent_image"]
        if any(plan.of(RealImage)):
            return edit_pictures(self.pipe, texts, plan, cfg, negative)
        noise = start_noise(given["seed"], size["width"], size["height"], size["batch_size"])
        return self.pipe.sample(texts, noise, given["steps"], cfg, plan, negative)


def _with(given: Inputs, step: Any) -> tuple[Any, ...]:
    return (*given["model"], step)


def _windows(given: Inputs) -> tuple[Window, Window]:
    return Window(given["cross_start"], given["cross_end"]), Window(given["self_start"], given["self_end"])


def _token_edit(method: Any, given: Inputs) -> TokenEdit:
    words, layers = parse_word_windows(given["word_windows"]), LayerFilter(given["layers"])
    return TokenEdit(method, *_windows(given), words, layers, given["self_token_cap"])


def _reweight(given: Inputs) -> Reweight:
    return Reweight(parse_weights(given["weights"]), *_windows(given), LayerFilter(given["layers"]))


def _blend(given: Inputs) -> Blend:
    source, edit, subtract = (entries(given[f"{name}_words"]) for name in ("source", "edit", "subtract"))
    names = ("threshold", "subtract_threshold", "mask_mode")
    options = {"pool": given["pooling"], "soft": given["soft_edge"], **{name: given[name] for name in names}}
    layers = None if given["layers"] == "auto" else LayerFilter(given["layers"])
    return Blend(source, edit, subtract, MapStore(), MaskRule(**options), given["start"], layers)


def _record(given: Inputs) -> Record:
    assert given["self_attention"] == "none"
    channels = tuple(word_channel(word, given["prompts"]) for word in entries(given["words"]))
    window = Window(given["start"], given["end"])
    return Record(channels, MapStore(), LayerFilter(given["layers"]), window, given["step_groups"])


def _real(given: Inputs) -> RealImage:
    names = ("trajectory", "pin", "negative", "source_share", "proximal", "restore")
    return RealImage(*(given[name] for name in names))


def _picture(seed: int) -> Tensor:
    """[1, 3, 256, 256] in 0..1, as Demo Picture draws it."""
    pixels = np.array(draw(random_scene(random.Random(seed))), dtype=np.float32) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]
