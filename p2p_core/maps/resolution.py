"""Maps of layers with several resolutions: which ones to use, and their mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor
from torch.nn import functional as F

from ..architecture.layers import Layer
from ..step import Size

SHORTEST = 12  # cells: maps with a shorter side are too coarse for a mask


def map_scale(layers: Sequence[Layer], latent: Size) -> int:
    """How many times smaller than the latent the maps of a mask are: 4, that is, the paper's 16² at 512
    pixels.

    Less if their shorter side would have fewer than 12 cells, or the next scale in a model without such
    layers.
    """
    scales = sorted({layer.scale for layer in layers}, reverse=True)
    fitting = [scale for scale in scales if scale <= 4 and min(latent) / scale >= SHORTEST]
    return fitting[0] if fitting else scales[-1]


def mean_map(maps: Sequence[Tensor], of_layer: Callable[[Tensor], Tensor] = lambda maps: maps) -> Tensor:
    """The mean over layers, all resized to the largest one, one layer at a time.

    of_layer: gives [R, n, h, w] for each of the maps [..., h, w]. Returns [R, n, H, W].
    """
    size = max((m.shape[-2:] for m in maps), key=lambda s: s[0] * s[1])
    total: Tensor | None = None
    for layer in map(of_layer, maps):
        same = layer if layer.shape[-2:] == size else F.interpolate(layer, size, mode="bilinear")
        total = same.clone() if total is None else total.add_(same)
    assert total is not None
    return total.div_(len(maps))
