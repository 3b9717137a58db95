"""The contents of a sheet of maps: which map is where, and its labels."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from torch import Tensor

from ..architecture.layers import Layer, LayerFilter
from ..errors import P2PError
from ..maps.components import components
from ..maps.heat import chosen_maps, heat_maps, mean, places
from ..maps.resolution import mean_map
from ..maps.store import Recorded

View = Literal["words", "steps", "resolutions", "layers"]
VIEWS: tuple[View, ...] = get_args(View)
_ALL = LayerFilter()


@dataclass(frozen=True, eq=False)
class Tile:
    """A map [h, w] and its label. note: why there is no map."""

    label: str
    map: Tensor | None
    note: str = ""


@dataclass(frozen=True, eq=False)
class Line:
    """Tiles from left to right under a heading, for one row of the batch."""

    heading: str
    row: int
    tiles: tuple[Tile, ...]


@dataclass(frozen=True, eq=False)
class Sheet:
    """The lines of each sample, equal in number and length.

    latent: height and width of the latent, the aspect ratio of a tile. rows: P·B, of the batch. heat: whether
    maps are attention (0 and up) or shades (0..1, dark to light).
    """

    samples: tuple[tuple[Line, ...], ...]
    latent: tuple[int, int]
    rows: int
    heat: bool = True


def word_sheet(
    recorded: Recorded, view: View, words: Sequence[str] = (), layers: LayerFilter | None = None
) -> Sheet:
    """Heat maps side by side. words and layers are as in `heat_maps`.

    By words: one line per prompt, one tile per word. By steps, resolutions or layers: one line per prompt and
    word in it, one tile per part of the sampling, resolution or layer. In the views over resolutions and
    layers, None means all layers.
    """
    if view == "words":
        return _sheet(recorded, _lines_of_words(recorded, words, layers))
    return _sheet(recorded, _lines_of_one_word(recorded, view, words, layers))


def component_sheet(recorded: Recorded, count: int) -> Sheet:
    """The leading components of self-attention, one line per prompt."""
    lines = [
        Line(_heading(recorded, row), row, tuple(Tile(f"component {i}", m) for i, m in enumerate(maps, 1)))
        for row, maps in enumerate(components(recorded, count))
    ]
    return _sheet(recorded, lines, heat=False)


def _lines_of_words(recorded: Recorded, words: Sequence[str], layers: LayerFilter | None) -> list[Line]:
    channels = [recorded.channels[n] for n in places(recorded, words)]
    lines: list[Line] = []
    for row, maps in enumerate(heat_maps(recorded, words, layers)):
        tiles = [
            Tile(channel.name, m)
            if _has(recorded, row, n)
            else Tile(channel.name, None, "not in this prompt")
            for n, channel, m in zip(places(recorded, words), channels, maps, strict=True)
        ]
        lines.append(Line(_heading(recorded, row), row, tuple(tiles)))
    return lines


def _lines_of_one_word(
    recorded: Recorded, view: View, words: Sequence[str], layers: LayerFilter | None
) -> list[Line]:
    columns = _columns(recorded, view, layers)
    lines: list[Line] = []
    for row in range(recorded.rows.count):
        for n in places(recorded, words):
            if _has(recorded, row, n):
                tiles = [
                    Tile(label, None, "no step in this part") if maps is None else Tile(label, maps[row, n])
                    for label, maps in columns.items()
                ]
                heading = f"{recorded.channels[n].name} · {_heading(recorded, row)}"
                lines.append(Line(heading, row, tuple(tiles)))
    return lines


def _columns(recorded: Recorded, view: View, layers: LayerFilter | None) -> dict[str, Tensor | None]:
    """The columns of a view: labels and maps [R, n, h, w], None for a part without a step."""
    maps = chosen_maps(recorded, layers if view == "steps" else layers or _ALL)
    if view == "layers":
        several = {(layer.stage, layer.number) for layer in maps if layer.index}
        return {layer_name(layer, several): mean([m]) for layer, m in maps.items()}
    if view == "resolutions":
        scales = sorted({layer.scale for layer in maps})
        at = [(scale, mean(m for layer, m in maps.items() if layer.scale == scale)) for scale in scales]
        return {f"1/{scale} · {m.shape[-1]} × {m.shape[-2]}": m for scale, m in at}
    parts = len(next(iter(maps.values())))
    if parts == 1:
        raise P2PError(
            "a store with maps of several parts of the sampling",
            "one mean over all steps",
            "Record the sampling in 2 parts or more.",
            topic="one part",
        )
    return {f"part {i + 1} of {parts}": of_part(maps.values(), i) for i in range(parts)}


def layer_name(layer: Layer, several: set[tuple[str, int]]) -> str:
    """Its name in a layer filter, with the index in blocks that have several layers."""
    return f"{layer.name} · {layer.index}" if (layer.stage, layer.number) in several else layer.name


def of_part(maps: Iterable[Tensor], part: int) -> Tensor | None:
    """[parts, R, n, h, w] each → [R, n, H, W]."""
    filled = [m[part] for m in maps if bool(m[part].any())]
    return mean_map(filled) if filled else None


def _has(recorded: Recorded, row: int, channel: int) -> bool:
    return bool(recorded.channels[channel].columns[recorded.rows.prompt(row)])


def _heading(recorded: Recorded, row: int) -> str:
    """The heading of a row on its sample's sheet."""
    rows = recorded.rows
    prompt = rows.prompt(row)
    return f"{rows.name(rows.row(0, prompt))}: {recorded.prompts.texts[prompt]}"


def _sheet(recorded: Recorded, lines: Sequence[Line], heat: bool = True) -> Sheet:
    """A sheet with the lines of all rows, grouped by sample."""
    rows = recorded.rows
    samples = [tuple(line for line in lines if rows.sample(line.row) == b) for b in range(rows.samples)]
    return Sheet(tuple(samples), recorded.latent, rows.count, heat)
