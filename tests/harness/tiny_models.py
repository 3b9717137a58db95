"""A MODEL and a CLIP with untrained weights for the stand-in, small enough to sample in milliseconds."""

from __future__ import annotations

import itertools
import re
import string
from math import prod
from types import SimpleNamespace
from typing import Any

import torch
from comfy.ldm.modules.attention import BasicTransformerBlock
from comfy.model_patcher import ModelPatcher
from torch import Tensor, nn

CHANNELS = 3
SCALE = 0.18215
WIDTH = 32
TEXT = 16
TOKENS = 77
START, END = 0, 1


def tiny_model() -> ModelPatcher:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ModelPatcher(TinyModel(TinyUNet()))


class TinyModel:
    """Predicts the picture from noise added on Stable Diffusion's schedule."""

    def __init__(self, diffusion_model: nn.Module) -> None:
        self.diffusion_model = diffusion_model.eval()
        self.model_sampling = Schedule()
        self.latent_format = SimpleNamespace(latent_channels=CHANNELS)

    def process_latent_in(self, latent: Tensor) -> Tensor:
        return latent * SCALE

    def process_latent_out(self, latent: Tensor) -> Tensor:
        return latent / SCALE

    def memory_required(self, input_shape: list[int]) -> float:
        return 4096.0 * prod(input_shape)

    def apply_model(
        self, x: Tensor, t: Tensor, c_crossattn: Tensor, transformer_options: Any, **other: Any
    ) -> Tensor:
        sigma = t[:, None, None, None]
        eps = self.diffusion_model(x / (sigma**2 + 1).sqrt(), t.log(), c_crossattn, dict(transformer_options))
        return x - eps * sigma


class Schedule:
    def __init__(self) -> None:
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2
        kept = torch.cumprod(1 - betas, 0)
        self.sigmas = ((1 - kept) / kept).sqrt()
        self.sigma_min, self.sigma_max = self.sigmas[0], self.sigmas[-1]

    def percent_to_sigma(self, percent: float) -> float:
        if percent <= 0:
            return 999999999.9
        if percent >= 1:
            return 0.0
        place = (1 - percent) * (len(self.sigmas) - 1)
        below = int(place)
        log = self.sigmas.log()
        return float(torch.lerp(log[below], log[min(below + 1, len(log) - 1)], place - below).exp())

    def steps(self, count: int) -> Tensor:
        """The sigmas of `count` evenly spaced steps, and 0."""
        places = torch.linspace(len(self.sigmas) - 1, 0, count).long()
        return torch.cat([self.sigmas[places], torch.zeros(1)])


class TinyUNet(nn.Module):
    """Three transformer blocks at two resolutions, named as in a U-Net of Stable Diffusion."""

    def __init__(self, text: bool = True) -> None:
        super().__init__()
        attention = Attention if text else nn.Identity
        first = nn.Conv2d(CHANNELS, WIDTH, 3, padding=1)
        self.input_blocks = nn.ModuleList([first, Stage(attention()), Downsample(2, ceil_mode=True)])
        self.middle_block = Stage(attention())
        self.output_blocks = nn.ModuleList([Stage(attention(), Upsample(scale_factor=2))])
        self.out = nn.Conv2d(WIDTH, CHANNELS, 3, padding=1)

    def forward(self, x: Tensor, t: Tensor, context: Tensor, options: dict[str, Any]) -> Tensor:
        h = self.input_blocks[0](x) + t[:, None, None, None]
        options["block"] = ("input", 1)
        skipped = self.input_blocks[1](h, context, options)
        options["block"] = ("middle", 0)
        h = self.middle_block(self.input_blocks[2](skipped), context, options)
        options["block"] = ("output", 0)
        h = self.output_blocks[0](h, context, options)
        return self.out(skipped + h[..., : skipped.shape[2], : skipped.shape[3]])


class Downsample(nn.AvgPool2d): ...


class Upsample(nn.Upsample): ...


class Stage(nn.ModuleList):
    def __init__(self, attention: nn.Module, *last: nn.Module) -> None:
        super().__init__([nn.Sequential(nn.SiLU(), nn.Conv2d(WIDTH, WIDTH, 3, padding=1)), attention, *last])

    def forward(self, h: Tensor, context: Tensor, options: dict[str, Any]) -> Tensor:
        h = h + self[0](h)
        h = self[1](h, context, options) if isinstance(self[1], Attention) else h
        return self[2](h) if len(self) > 2 else h


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.transformer_blocks = nn.ModuleList([BasicTransformerBlock(WIDTH, 4, TEXT)])
        for weights in self.parameters():
            weights.data *= 3  # otherwise untrained attention is nearly uniform

    def forward(self, h: Tensor, context: Tensor, options: dict[str, Any]) -> Tensor:
        x = h.flatten(2).transpose(1, 2)
        options["activations_shape"] = list(h.shape)
        for i, block in enumerate(self.transformer_blocks):
            options["block_index"] = i
            x = block(x, context, options)
        return x.transpose(1, 2).unflatten(2, h.shape[2:])


# Text


class TinyCLIP:
    """Every letter is a token; the last one of a word ends with </w>. Weights are written `(word:1.2)`."""

    def __init__(self) -> None:
        letters = string.ascii_lowercase + string.digits + ",.'-"
        vocabulary = ["<start>", "<end>", *(letter + end for letter in letters for end in ("", "</w>"))]
        self.ids = {token: i for i, token in enumerate(vocabulary)}
        self.tokenizer = SimpleNamespace(clip_l=SimpleNamespace(inv_vocab=dict(enumerate(vocabulary))))
        generator = torch.Generator().manual_seed(1)
        self.embedding = torch.randn(len(vocabulary), TEXT, generator=generator)
        self.position = torch.randn(TOKENS, TEXT, generator=generator)

    def tokenize(self, text: str, return_word_ids: bool = False) -> dict[str, list[list[tuple[Any, ...]]]]:
        words = [
            (letters, weight)
            for part, weight in _weighted(text)
            for letters in re.findall(r"[\w'-]+|[,.]", part)
        ]
        tokens = [
            (self.ids[letter + "</w>" * (i + 1 == len(word))], weight, number)
            for number, (word, weight) in enumerate(words, 1)
            for i, letter in enumerate(word.lower())
        ]
        chunks = [self._chunk(tokens[i : i + TOKENS - 2]) for i in range(0, max(len(tokens), 1), TOKENS - 2)]
        return {"l": [chunk if return_word_ids else [token[:2] for token in chunk] for chunk in chunks]}

    def _chunk(self, tokens: list[tuple[int, float, int]]) -> list[tuple[int, float, int]]:
        return [(START, 1.0, 0), *tokens, *[(END, 1.0, 0)] * (TOKENS - 1 - len(tokens))]

    def encode_from_tokens_scheduled(self, tokens: dict[str, list[list[tuple[Any, ...]]]]) -> list[list[Any]]:
        chunks = [torch.tensor([t[0] for t in chunk]) for chunk in tokens["l"]]
        weights = [torch.tensor([t[1] for t in chunk])[:, None] for chunk in tokens["l"]]
        encoded = [(self.embedding[c] * w + self.position) for c, w in zip(chunks, weights, strict=True)]
        return [[torch.cat(encoded)[None], {"pooled_output": encoded[0].mean(0)[None]}]]


def _weighted(text: str) -> list[tuple[str, float]]:
    """The parts of a text with their weights."""
    pieces = re.split(r"\(([^():]+):([\d.]+)\)", text)
    plain = [(part, 1.0) for part in pieces[::3]]
    marked = [(part, float(weight)) for part, weight in zip(pieces[1::3], pieces[2::3], strict=True)]
    pairs = itertools.zip_longest(plain, marked)
    return [part for pair in pairs for part in pair if part is not None]
