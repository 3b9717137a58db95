"""What a store holds as maps: heat maps of words, masks from them, components of self-attention.

Maps are float32. R is P·B, the rows of a batch; row r is of prompt r mod P of sample r div P.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from ..architecture.layers import STAGES, Layer, LayerFilter
from ..errors import P2PError
from .blending import blend_scale, mean_map
from .store import Recorded, word_channel

# Words


def heat_maps(recorded: Recorded, words: Sequence[str] = (), layers: LayerFilter | None = None) -> Tensor:
    """How much each cell attends to each word, [R, n, h, w] at the largest size of the layers (section 3).

    The mean over layers and over the parts with a step in them; 0 where a row's prompt lacks the word.
    Words: none for all that were recorded. Layers: None for those that a local blend takes, 16 × 16 at 512
    pixels as in the paper. Raises P2PError for words and layers that were not recorded.
    """
    return mean(chosen_maps(recorded, layers).values())[:, places(recorded, words)]


def word_masks(
    recorded: Recorded,
    words: Sequence[str],
    threshold: float,
    size: tuple[int, int],
    layers: LayerFilter | None = None,
) -> Tensor:
    """Where any of the words has more than `threshold` of its map's maximum, [R, H, W] of 0 and 1."""
    if not 0 <= threshold <= 1:
        raise P2PError("a threshold within 0..1", f"{threshold:g}", "Set it between 0 and 1.")
    large = F.interpolate(relative(heat_maps(recorded, words, layers)), size, mode="bilinear")
    return large.gt(threshold).any(1).float()


def relative(maps: Tensor) -> Tensor:
    """Maps in parts of their maximum, 0..1; a map without a positive value is 0. [..., h, w] → the same."""
    positive = maps.clamp(min=0)  # a negative weight makes negative attention
    most = positive.amax((-2, -1), keepdim=True)
    return positive / most.where(most > 0, torch.ones_like(most))


def mean(maps: Iterable[Tensor]) -> Tensor:
    """Over layers, and over the parts with a step in them. [parts, R, n, h, w] each → [R, n, H, W]."""
    return mean_map([_over_parts(m) for m in maps])


def _over_parts(maps: Tensor) -> Tensor:
    filled = maps[maps.flatten(1).any(1)]
    return filled.mean(0) if len(filled) else maps[0]


def places(recorded: Recorded, words: Sequence[str]) -> list[int]:
    """Which of the recorded channels the words are, each once; all of them without words."""
    names = words or [channel.name for channel in recorded.channels]
    return list(dict.fromkeys(_place(recorded, word) for word in names))


def _place(recorded: Recorded, word: str) -> int:
    """The channel of the same columns, as `cat` and `cat[1]` have where there is one cat, or of this name."""
    channels = recorded.channels
    there = any(prompt.has(word) for prompt in recorded.prompts.prompts)
    columns = word_channel(word, recorded.prompts).columns if there else None
    for n, channel in enumerate(channels):
        if channel.columns == columns or channel.name == word:
            return n
    raise P2PError(
        "a word whose map is in the store",
        f"{word!r}" + ("" if there else ", which no prompt has"),
        f"Recorded are: {', '.join(c.name for c in channels) or 'none'}. Attention Store chooses them.",
    )


# Layers


def chosen_maps(recorded: Recorded, layers: LayerFilter | None) -> dict[Layer, Tensor]:
    """The words' maps of the layers of a filter, in the order of the model; None as in `heat_maps`."""
    if not recorded.maps:
        raise P2PError(
            "a store with maps of words",
            "one without",
            "Widen the window or the layers of Attention Store. A mask without words leaves no maps.",
        )
    scale = blend_scale(list(recorded.maps), recorded.latent)
    layers = layers or LayerFilter(f"1/{scale}")
    order = sorted(recorded.maps, key=lambda layer: (STAGES.index(layer.stage), layer.number, layer.index))
    chosen = {layer: recorded.maps[layer] for layer in order if layer in layers}
    if not chosen:
        scales = ", ".join(f"1/{scale}" for scale in sorted({layer.scale for layer in order}))
        blocks = ", ".join(dict.fromkeys(f"{layer.stage} {layer.number}" for layer in order))
        raise P2PError(
            "layers whose maps are in the store",
            repr(layers.text),
            f"Use 'all', resolutions ({scales}) or blocks ({blocks}).",
        )
    return chosen


# Self-attention


def components(recorded: Recorded, count: int) -> Tensor:
    """The leading components of self-attention, [R, count, h, w], each stretched to 0..1.

    As the published code shows them: right singular vectors of the mean map [N, N] less the mean of each of
    its rows. The sign of one is free: of a source its furthest entry from 0 is positive, an edit's is the
    sign that is more like the source's. Raises P2PError without self-attention in the store, and for more
    components than cells.
    """
    if recorded.self_map is None or recorded.self_size is None:
        raise P2PError(
            "a store with self-attention",
            "one without",
            "Choose a resolution that the MODEL has as self-attention of Attention Store, and queue again.",
        )
    h, w = recorded.self_size
    if not 1 <= count <= h * w:
        mend = "Choose fewer, or a higher resolution in Attention Store."
        raise P2PError(f"1 to {h * w} components, as many as the map has cells", f"{count}", mend)
    vectors = torch.stack([_right_singular(m - m.mean(1, keepdim=True), count) for m in recorded.self_map])
    by_sample = rearrange(vectors, "(b p) c n -> b p c n", b=recorded.samples)
    sources = by_sample[:, :1]
    sources = sources * sources.gather(-1, sources.abs().argmax(-1, keepdim=True)).sign()
    likeness = (by_sample * sources).sum(-1, keepdim=True)
    signed = rearrange(by_sample.where(likeness >= 0, -by_sample), "b p c (h w) -> (b p) c h w", h=h)
    low, high = signed.amin((-2, -1), keepdim=True), signed.amax((-2, -1), keepdim=True)
    return (signed - low) / (high - low).clamp(min=torch.finfo(torch.float32).tiny)


def _right_singular(matrix: Tensor, count: int) -> Tensor:
    """The leading right singular vectors, [count, N], by subspace iteration from a fixed start.

    A full decomposition of 4096 cells takes minutes, this a few seconds.
    """
    a, transposed = matrix.numpy(), matrix.mT.numpy()
    space = np.random.default_rng(0).standard_normal((len(a), min(count + 10, len(a))), np.float32)  # [N, s]
    for _ in range(8):
        space = np.linalg.qr(transposed @ np.linalg.qr(a @ space).Q).Q
    within = np.linalg.svd(a @ space, full_matrices=False).Vh  # [s, s]
    return (torch.tensor(within) @ torch.tensor(space).mT)[:count]
