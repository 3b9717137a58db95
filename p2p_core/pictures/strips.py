"""Every map of a store in small coloured pictures, for a viewer that shows one map at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from einops import rearrange
from torch import Tensor

from ..architecture.layers import Layer, LayerFilter
from ..maps.heat import chosen_maps, mean, places, relative
from ..maps.resolution import mean_map
from ..maps.store import Recorded
from .colours import heat_colours, require_room
from .sheets import layer_name, of_part

MOST = 24  # layers to show individually; with more, resolutions are shown


@dataclass(frozen=True, eq=False)
class Strip:
    """The maps of one choice of layers in one picture [R·S·h, n·w, 3].

    Columns are words. Rows are the rows of the batch, each with S maps: over all steps, then (if there are
    several) for each part of the sampling. Each map is relative to its own maximum.
    """

    label: str
    picture: Tensor
    size: tuple[int, int]


def strips(recorded: Recorded, words: Sequence[str], layers: LayerFilter | None) -> Iterator[Strip]:
    """First the mean of the chosen layers, then, if there are several, each layer (or resolution) alone.

    Each is drawn when it is asked for. Raises P2PError for one that is too large.
    """
    chosen, every = chosen_maps(recorded, layers), chosen_maps(recorded, LayerFilter())
    groups = {"chosen layers": chosen} | (_groups(every) if len(every) > 1 else {})
    which = places(recorded, words)
    return (_strip(label, maps, which) for label, maps in groups.items())


def steps_of(recorded: Recorded) -> tuple[str, ...]:
    """The names of the maps of a row, from top to bottom."""
    parts = len(next(iter(recorded.maps.values())))
    return ("all steps", *(f"part {i + 1} of {parts}" for i in range(parts) if parts > 1))


def _groups(maps: Mapping[Layer, Tensor]) -> dict[str, dict[Layer, Tensor]]:
    several = {(layer.stage, layer.number) for layer in maps if layer.index}
    groups: dict[str, dict[Layer, Tensor]] = {}
    for layer, values in maps.items():
        label = layer_name(layer, several) if len(maps) <= MOST else f"1/{layer.scale}"
        groups.setdefault(label, {})[layer] = values
    return groups


def _strip(label: str, maps: Mapping[Layer, Tensor], which: Sequence[int]) -> Strip:
    whole = mean(maps.values(), which)  # [R, n, h, w]
    rows, count, height, width = whole.shape
    parts = len(next(iter(maps.values())))
    steps = 1 + parts * (parts > 1)
    require_room(rows * steps * count, (height, width), "List fewer words, or record fewer step groups.")
    picture = torch.empty(rows, steps, height, count, width, 3)
    for step in range(steps):
        shown = whole if step == 0 else _of_part(maps, step - 1, whole, which)
        for row, n in product(range(rows), range(count)):
            picture[row, step, :, n] = heat_colours(relative(shown[row, n]))
    return Strip(label, rearrange(picture, "r s h n w c -> (r s h) (n w) c"), (height, width))


def _of_part(maps: Mapping[Layer, Tensor], part: int, whole: Tensor, which: Sequence[int]) -> Tensor:
    """[R, n, h, w] at the size of the whole, 0 if the part contains no step."""
    found = of_part(maps.values(), part)
    if found is None:
        return torch.zeros_like(whole)
    return mean_map(
        [found[:, which], torch.zeros_like(whole)]
    )  # resized to one size; the scale does not matter
