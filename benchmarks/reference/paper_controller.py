"""Prompt-to-Prompt the way its published code does it, on the demo model in diffusers.

Written from a description of that code, with its defaults, its order of operations and its faults: attention
maps are built and edited after the softmax, in the conditional half only; steps are counted by calls; a word
that a prompt does not have is passed over. The parity tests and benchmarks compare with it.

    controller = Controller(pipe.tokenizer, texts, steps, "replace")          # texts: source, edits
    latents = sample_literal(pipe, texts, noise, steps, cfg, controller)      # rows as in DemoPipeline.sample

`Controller` takes "replace" (equal word counts, else ValueError), "refine" or "reweight", and

    cross_replace   0.8, (start, end), or {"default_": 0.8, "word": (0.0, 0.4)}; floats
    self_replace    0.4 or (start, end)
    self_cap        self-attention is replaced up to so many image tokens: 32² (null-text notebook), 16², None
    equalizer       {"word": weight} of the first edit's words, or one such dict for each edit
    blend           LocalBlend(words, subtract), for each prompt a tuple of words

A controller keeps the count of one sampling; `sample_literal` resets it for every sample.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from demo.diffusers_host.pipeline import DemoPipeline, schedule

TOKENS = 77
Bounds = float | tuple[float, float]
Weights = Mapping[str, float]
Words = Sequence[Sequence[str]]
CrossEdit = Callable[[Tensor, Tensor], Tensor]
"""Maps of the source [h, N, 77] and of the edits [E, h, N, 77] → what the edits get, [E or 1, h, N, 77]."""


# Edits of cross-attention


@dataclass(frozen=True, eq=False)
class Replace:
    """Word swap. mapper: [E, 77, 77]."""

    mapper: Tensor

    def __call__(self, source: Tensor, edits: Tensor) -> Tensor:
        return torch.einsum("hps,est->ehpt", source, self.mapper)


@dataclass(frozen=True, eq=False)
class Refine:
    """Refinement. mapper: [E, 77], partners in the source, −1 for none; alphas: [E, 77], 0 where none."""

    mapper: Tensor
    alphas: Tensor

    def __call__(self, source: Tensor, edits: Tensor) -> Tensor:
        taken = rearrange(source[:, :, self.mapper], "h p e t -> e h p t")
        alphas = rearrange(self.alphas, "e t -> e 1 1 t")
        return taken * alphas + edits * (1 - alphas)


@dataclass(frozen=True, eq=False)
class Reweight:
    """Re-weighting of another edit's result, or of the source's maps. equalizer: [E or 1, 77]."""

    equalizer: Tensor
    inner: CrossEdit | None = None

    def __call__(self, source: Tensor, edits: Tensor) -> Tensor:
        maps = source if self.inner is None else self.inner(source, edits)
        return maps * rearrange(self.equalizer, "e t -> e 1 1 t")


# Words, alignment, schedule


def word_columns(text: str, word: str | int, tokenizer: Any) -> list[int]:
    """Columns of a word between spaces, by its place, or by its exact text: all occurrences, or none."""
    words = text.split(" ")
    places = [word] if isinstance(word, int) else [i for i, w in enumerate(words) if w == word]
    if not places:
        return []
    columns: list[int] = []
    place = length = 0
    for column, token in enumerate(tokenizer.encode(text)[1:-1], start=1):
        length += len(tokenizer.decode([token]).strip("#"))
        if place in places:
            columns.append(column)
        if length >= len(words[place]):
            place, length = place + 1, 0
    return columns


def replacement_mapper(source: str, edit: str, tokenizer: Any) -> Tensor:
    """[77, 77]. After the last changed word edit column j takes source column j, whatever stands there."""
    left, right = source.split(" "), edit.split(" ")
    if len(left) != len(right):
        raise ValueError(f"word swap needs equally many words, got {len(left)} and {len(right)}")
    mapper = torch.zeros(TOKENS, TOKENS)
    s = e = 0
    for i in (i for i in range(len(left)) if left[i] != right[i]):
        a, b = word_columns(source, i, tokenizer), word_columns(edit, i, tokenizer)
        while s < a[0]:
            mapper[s, e] = 1
            s, e = s + 1, e + 1
        if len(a) == len(b):
            mapper[a, b] = 1
        else:
            mapper[a[0] : a[-1] + 1, b] = 1 / len(b)
        s, e = s + len(a), e + len(b)
    while s < TOKENS and e < TOKENS:
        mapper[e, e] = 1
        s, e = s + 1, e + 1
    return mapper


def refinement_mapper(source: str, edit: str, tokenizer: Any) -> tuple[Tensor, Tensor]:
    """Mapper and alphas, [77] each: alignment of all tokens; padding column j takes source column j."""
    left, right = tokenizer.encode(source), tokenizer.encode(edit)
    aligned = global_alignment(left, right)
    mapper = torch.tensor([*aligned, *range(len(aligned), TOKENS)])
    return mapper, mapper.ne(-1).float()


def global_alignment(left: Sequence[int], right: Sequence[int]) -> list[int]:
    """For each of the right the place of its partner in the left, −1 for none. Match 1, mismatch −1, gap 0.

    Of equally good ways back a gap in the left comes first, then one in the right.
    """
    scores = [[0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for i, a in enumerate(left, start=1):
        for j, b in enumerate(right, start=1):
            diagonal = scores[i - 1][j - 1] + (1 if a == b else -1)
            scores[i][j] = max(scores[i][j - 1], scores[i - 1][j], diagonal)
    partners = [-1] * len(right)
    i, j = len(left), len(right)
    while i and j:
        if scores[i][j] == scores[i][j - 1]:
            j -= 1
        elif scores[i][j] == scores[i - 1][j]:
            i -= 1
        else:
            i, j = i - 1, j - 1
            partners[j] = i
    return partners


def equalizer_row(text: str, weights: Weights, tokenizer: Any) -> Tensor:
    """[77], one value for each word."""
    row = torch.ones(TOKENS)
    for word, weight in weights.items():
        row[word_columns(text, word, tokenizer)] = weight
    return row


def word_alphas(
    texts: Sequence[str], steps: int, cross_replace: Bounds | Mapping[str, Bounds], tokenizer: Any
) -> Tensor:
    """[steps + 1, E, 77], 1 where and when the edited maps are used. Bounds count steps + 1 calls."""
    bounds = dict(cross_replace) if isinstance(cross_replace, Mapping) else {"default_": cross_replace}
    default = bounds.pop("default_", (0.0, 1.0))
    alphas = torch.zeros(steps + 1, len(texts) - 1, TOKENS)
    alphas[slice(*_calls(default, steps + 1))] = 1
    for word, window in bounds.items():
        start, end = _calls(window, steps + 1)
        for i, text in enumerate(texts[1:]):
            columns = word_columns(text, word, tokenizer)
            alphas[:, i, columns] = 0
            alphas[start:end, i, columns] = 1
    return alphas


def _calls(bounds: Bounds, calls: int) -> tuple[int, int]:
    start, end = bounds if isinstance(bounds, tuple) else (0.0, bounds)
    return int(start * calls), int(end * calls)


# Local blend


@dataclass(frozen=True)
class LocalBlend:
    """Local blend of the null-text notebook. words, subtract: for each prompt, the source first.

    Maps come from the layers whose side is the latent's divided by `scale`, in the notebook 16 of 64 cells.
    pool: off, as in the latent-diffusion notebook, whose pooling is computed and then not used.
    """

    words: Words
    subtract: Words | None = None
    start: float = 0.2
    thresholds: tuple[float, float] = (0.3, 0.3)
    pool: bool = True
    scale: int = 2

    def mask(self, maps: Tensor, columns: Tensor, subtracted: Tensor | None, size: torch.Size) -> Tensor:
        """[P, 1, H, W]. maps: [P, L, h, w, 77], L all heads of all layers; columns, subtracted: [P, 77]."""
        mask = _above(maps, columns, self.thresholds[0], size, self.pool)
        if subtracted is not None:
            mask = mask & ~_above(maps, subtracted, self.thresholds[1], size, False)
        return mask.float()


def _above(maps: Tensor, columns: Tensor, threshold: float, size: torch.Size, pool: bool) -> Tensor:
    """[P, 1, H, W], of each row or of the source. Where a row has no column, 0 / 0 is above nothing."""
    mean = (maps * rearrange(columns, "p t -> p 1 1 1 t")).sum(-1).mean(1, keepdim=True)
    if pool:
        mean = F.max_pool2d(mean, 3, stride=1, padding=1)
    large = F.interpolate(mean, size=size)
    mask = (large / large.amax((2, 3), keepdim=True)).gt(threshold)
    return mask[:1] | mask


# The controller


class Controller:
    """Edits the maps of every attention layer as they come, and the latents after every step."""

    def __init__(
        self,
        tokenizer: Any,
        texts: Sequence[str],
        steps: int,
        edit: Literal["replace", "refine", "reweight"] | CrossEdit,
        cross_replace: Bounds | Mapping[str, Bounds] = 0.8,
        self_replace: Bounds = 0.4,
        self_cap: int | None = 32**2,
        equalizer: Weights | Sequence[Weights] | None = None,
        blend: LocalBlend | None = None,
    ) -> None:
        self.prompts, self.steps, self.self_cap, self.blend = len(texts), steps, self_cap, blend
        self.edit = _cross_edit(tokenizer, texts, edit, equalizer)
        self.alphas = rearrange(word_alphas(texts, steps, cross_replace, tokenizer), "s e t -> s e 1 1 t")
        self.self_calls = _calls(self_replace, steps)
        if blend is not None:
            self.columns = _one_hot(tokenizer, texts, blend.words)
            self.subtracted = _one_hot(tokenizer, texts, blend.subtract) if blend.subtract else None
        self.reset(layers=1, size=torch.Size([1, 1]))

    def reset(self, layers: int, size: torch.Size) -> None:
        """Begin a sampling. layers: attention layers of the U-Net; size: the latent's height and width."""
        self.layers, self.size = layers, size
        self.step = self.layer = self.blends = 0
        self.maps: dict[int, Tensor] = {}

    def __call__(self, maps: Tensor, is_cross: bool) -> Tensor:
        """Maps of one layer, [2·P·h, N, K], the unconditional half first."""
        half = len(maps) // 2
        rows = rearrange(maps[half:], "(p h) n k -> p h n k", p=self.prompts)
        rows = torch.cat([rows[:1], self._edited(rows[0], rows[1:], is_cross)])
        if is_cross:
            self._store(rows)
        self.layer += 1
        if self.layer == self.layers:
            self.layer, self.step = 0, self.step + 1
        return torch.cat([maps[:half], rearrange(rows, "p h n k -> (p h) n k")])

    def _edited(self, source: Tensor, edits: Tensor, is_cross: bool) -> Tensor:
        if is_cross:
            alphas = self.alphas[self.step]
            return self.edit(source, edits) * alphas + (1 - alphas) * edits
        start, end = self.self_calls
        small = self.self_cap is None or edits.shape[2] <= self.self_cap
        return source.expand_as(edits) if start <= self.step < end and small else edits

    def _store(self, rows: Tensor) -> None:
        """Sums of the edited maps over all steps, of the layers that the blend uses. rows: [P, h, N, 77]."""
        if self.blend is not None and rows.shape[2] == _cells(self.size, self.blend.scale).numel():
            self.maps[self.layer] = self.maps.get(self.layer, 0) + rows

    def after_step(self, x: Tensor) -> Tensor:
        """Latents [P, 3, h, w] after a step of the scheduler."""
        if self.blend is None:
            return x
        self.blends += 1
        if self.blends <= int(self.blend.start * self.steps):
            return x
        height = _cells(self.size, self.blend.scale)[0]
        maps = rearrange(torch.cat(list(self.maps.values()), dim=1), "p l (h w) t -> p l h w t", h=height)
        mask = self.blend.mask(maps, self.columns, self.subtracted, self.size)
        return x[:1] + mask * (x - x[:1])


def _cells(size: torch.Size, scale: int) -> torch.Size:
    return torch.Size([-(-side // scale) for side in size])


def _one_hot(tokenizer: Any, texts: Sequence[str], words: Words) -> Tensor:
    """[P, 77], 1 in the columns of each prompt's words."""
    columns = torch.zeros(len(texts), TOKENS)
    for row, text, some in zip(columns, texts, words, strict=True):
        for word in some:
            row[word_columns(text, word, tokenizer)] = 1
    return columns


def _cross_edit(
    tokenizer: Any, texts: Sequence[str], edit: str | CrossEdit, equalizer: Weights | Sequence[Weights] | None
) -> CrossEdit:
    source, *edits = texts
    inner: CrossEdit | None = None
    if edit == "replace":
        inner = Replace(torch.stack([replacement_mapper(source, text, tokenizer) for text in edits]))
    elif edit == "refine":
        pairs = [refinement_mapper(source, text, tokenizer) for text in edits]
        inner = Refine(torch.stack([m for m, _ in pairs]), torch.stack([a for _, a in pairs]))
    elif not isinstance(edit, str):
        inner = edit
    if equalizer is None:
        if inner is None:
            raise ValueError(f"{edit!r} needs an equalizer")
        return inner
    weights = [equalizer] if isinstance(equalizer, Mapping) else equalizer
    rows = [equalizer_row(text, some, tokenizer) for text, some in zip(edits, weights, strict=False)]
    return Reweight(torch.stack(rows), inner)


# Sampling


class LiteralProcessor:
    """A diffusers attention processor that hands its maps to a controller."""

    def __init__(self, controller: Controller) -> None:
        self.controller = controller

    def __call__(
        self,
        attn: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        *_: Any,
        **__: Any,
    ) -> Tensor:
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        q, k, v = (
            rearrange(t, "b n (h c) -> (b h) n c", h=attn.heads)
            for t in (attn.to_q(hidden_states), attn.to_k(context), attn.to_v(context))
        )
        maps = torch.softmax(
            q @ k.mT * q.shape[-1] ** -0.5, dim=-1, dtype=torch.promote_types(q.dtype, torch.float32)
        )
        out = self.controller(maps, encoder_hidden_states is not None).to(v.dtype) @ v
        return attn.to_out[1](attn.to_out[0](rearrange(out, "(b h) n c -> b n (h c)", h=attn.heads)))


@torch.no_grad()
def sample_literal(
    pipe: DemoPipeline, texts: Sequence[str], noise: Tensor, steps: int, cfg: float, controller: Controller
) -> Tensor:
    """Euler (DDIM) sampling, one sample after another. noise: [B, 3, h, w] → latents [B·P, 3, h, w]."""
    before = pipe.unet.attn_processors
    pipe.unet.set_attn_processor(LiteralProcessor(controller))
    context = torch.cat([pipe.encode([""]).expand(len(texts), -1, -1), pipe.encode(texts)])
    timesteps, sigmas = schedule(steps)
    results: list[Tensor] = []
    try:
        for start in noise:
            controller.reset(len(before), start.shape[-2:])
            x = start.expand(len(texts), -1, -1, -1) * (1 + sigmas[0] ** 2).sqrt()
            for i, t in enumerate(timesteps):
                scaled = x / (sigmas[i] ** 2 + 1).sqrt()
                without, with_text = pipe.unet(torch.cat([scaled, scaled]), t, context).sample.chunk(2)
                x = x + (sigmas[i + 1] - sigmas[i]) * (without + cfg * (with_text - without))
                x = controller.after_step(x)
            results.append(x)
    finally:
        pipe.unet.set_attn_processor(before)
    return torch.cat(results)
