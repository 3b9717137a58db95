"""Heat maps of words from a store, and masks from them.

Maps are float32. R is P·B, the rows of a batch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from ..architecture.layers import Layer, LayerFilter
from ..architecture.names import STAGES
from ..errors import P2PError
from ..limits import PICTURES, require_memory
from ..words.texts import parse_query
from .masks import apart, require_share
from .resolution import map_scale, mean_map
from .store import Recorded, word_channel

# Words


def heat_maps(recorded: Recorded, words: Sequence[str] = (), layers: LayerFilter | None = None) -> Tensor:
    """How much each cell attends to each word, [R, n, h, w] at the largest size of the layers (section 3).

    The mean over layers and over the parts that contain a step; 0 if a row's prompt lacks the word.
    words: empty for all recorded ones. layers: None for those of a local blend, 16 × 16 at 512 pixels as in
    the paper. Raises P2PError for words and layers that were not recorded.
    """
    return mean(chosen_maps(recorded, layers).values(), places(recorded, words))


def word_masks(
    recorded: Recorded,
    words: Sequence[str],
    threshold: float,
    size: tuple[int, int],
    layers: LayerFilter | None = None,
) -> Tensor:
    """Where any word exceeds `threshold` times its map's maximum, [R·F, H, W] of 0 and 1 for F frames.

    Memory is that of the result and of a few maps. Raises P2PError for a result that is too large.
    """
    require_share("threshold", threshold)
    height, width = size
    rows, frames = recorded.rows.count, recorded.scene.frames
    hint = "Use smaller images, or fewer prompts and samples."
    count = rows * frames
    require_memory(f"{count} masks of {width} × {height}", count * height * width, PICTURES, hint)
    masks = torch.zeros(rows, frames, *size)
    for mask, maps in zip(masks, heat_maps(recorded, words, layers), strict=True):
        for values in relative(maps):
            large = F.interpolate(apart(values[None], frames)[:, None], size, mode="bilinear")[:, 0]
            mask.masked_fill_(large.gt(threshold), 1)
    return masks.flatten(0, 1)


def relative(maps: Tensor) -> Tensor:
    """Maps relative to their maximum, 0..1; a map without a positive value is 0. [..., h, w] → the same."""
    positive = maps.clamp(min=0)  # negative weights give negative attention
    most = positive.amax((-2, -1), keepdim=True)
    return positive / most.where(most > 0, torch.ones_like(most))


def mean(maps: Iterable[Tensor], which: Sequence[int] | slice = slice(None)) -> Tensor:
    """The mean over layers and over parts with a step in them, of some channels (by default all).

    [parts, R, n, h, w] each → [R, n, H, W].
    """
    return mean_map(list(maps), lambda m: _over_parts(m)[:, which])


def _over_parts(maps: Tensor) -> Tensor:
    filled = maps[maps.flatten(1).any(1)]
    return filled.mean(0) if len(filled) else maps[0]


def places(recorded: Recorded, words: Sequence[str]) -> list[int]:
    """The indices of the words among the recorded channels, each once; without words, all of them.

    A word whose occurrences were recorded one by one, `cat[1]` and `cat[2]` for `cat`, means all of them.
    """
    if not words:
        each = {channel.columns: n for n, channel in reversed(list(enumerate(recorded.channels)))}
        return sorted(each.values())
    return list(dict.fromkeys(place for word in dict.fromkeys(words) for place in _places(recorded, word)))


def _places(recorded: Recorded, word: str) -> list[int]:
    """The channel with the same columns (`cat` and `cat[1]` if there is one cat) or with this name, else
    those of its occurrences."""
    channels = recorded.channels
    there = any(prompt.has(word) for prompt in recorded.prompts.prompts)
    columns = word_channel(word, recorded.prompts).columns if there else None
    for n, channel in enumerate(channels):
        if channel.columns == columns or channel.name == word:
            return [n]
    if found := [n for n, channel in enumerate(channels) if _is_occurrence(channel.name, word)]:
        return found
    raise P2PError(
        "a word whose map is in the store",
        f"{word!r}" + ("" if there else ", which is in no prompt"),
        f"Recorded words: {', '.join(c.name for c in channels) or 'none'}.",
        topic="word not recorded",
    )


def _is_occurrence(name: str, word: str) -> bool:
    """Whether a name is that of an occurrence of a word, such as `cat[2]` of `cat`."""
    (phrase, nth), asked = parse_query(name), parse_query(word)
    return nth is not None and asked == (phrase, None)


# Layers


def chosen_maps(recorded: Recorded, layers: LayerFilter | None) -> dict[Layer, Tensor]:
    """The words' maps in the layers of a filter, in the order of the model. None as in `heat_maps`."""
    if not recorded.maps:
        raise P2PError(
            "a store with maps of words",
            "one without maps",
            "Record more of the sampling, or more layers. A mask without words leaves no maps.",
            topic="no maps",
        )
    scale = map_scale(list(recorded.maps), recorded.latent)
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
