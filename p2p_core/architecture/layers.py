"""Attention layers and filters to choose them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from ..errors import P2PError
from ..words.fields import entries
from .names import STAGES, TRANSFORMER, UNET, block_ranges


@dataclass(frozen=True)
class Layer:
    """A transformer block by the host's name: stage, block number, index within the block.

    scale: how many times smaller than the latent the side of its token grid is.
    """

    stage: str
    number: int
    index: int = 0
    scale: int = 1

    @property
    def name(self) -> str:
        """The name of its block in a layer filter."""
        return f"{self.stage} {self.number}"


@dataclass(frozen=True)
class LayerFilter:
    """Layers chosen by block or by resolution. Torch-free.

    `all`, or a list of blocks (`input 4-8, middle, output 3` in a U-Net, `double 0-18, single` in a
    transformer) and of resolutions relative to the latent (`1/4`).
    """

    text: str = "all"

    def __post_init__(self) -> None:
        _parse(self.text)

    def __contains__(self, layer: Layer) -> bool:
        chosen = _parse(self.text)
        if chosen is None:
            return True
        return layer.scale in chosen.scales or any(
            stage == layer.stage and first <= layer.number <= last for stage, first, last in chosen.blocks
        )


def require_layers(chosen: LayerFilter, layers: Sequence[Layer]) -> None:
    """Raises P2PError if a filter matches none of a model's layers."""
    if not any(layer in chosen for layer in layers):
        blocks = block_ranges((layer.stage, layer.number) for layer in layers)
        scales = ", ".join(f"1/{scale}" for scale in sorted({layer.scale for layer in layers}))
        raise P2PError(
            "layers of this model",
            repr(chosen.text),
            f"Use 'all', its blocks {blocks}, or its resolutions {scales}.",
        )


@dataclass(frozen=True)
class _Chosen:
    """Blocks as (stage, first, last), and scales."""

    blocks: tuple[tuple[str, int, int], ...]
    scales: frozenset[int]


_BLOCK = re.compile(rf"^({'|'.join(STAGES)})(?:\s+(\d{{1,4}})(?:\s*-\s*(\d{{1,4}}))?)?$")
_SCALE = re.compile(r"^1/([1-9]\d{0,2})$")


@lru_cache(maxsize=64)
def _parse(text: str) -> _Chosen | None:
    items = [item.lower() for item in entries(text)]
    if items == ["all"]:
        return None
    bad = next((item for item in items if not (_BLOCK.match(item) or _SCALE.match(item))), None)
    if bad is not None or not items:
        raise P2PError(
            "layers such as 'all', 'input 4-8, middle, output 3', 'double 0-18, single' or '1/4'",
            repr(text if bad is None else bad),
            f"List stages ({', '.join(UNET)} in a U-Net; {', '.join(TRANSFORMER)} in a transformer), with "
            "block numbers or without for all of them, or resolutions relative to the latent.",
        )
    blocks = [m for item in items if (m := _BLOCK.match(item))]
    ranges = tuple(dict.fromkeys((m[1], int(m[2] or 0), int(m[3] or m[2] or 10**6)) for m in blocks))
    for stage, first, last in ranges:
        if last < first:
            raise P2PError(
                "a range of blocks from low to high",
                repr(f"{stage} {first}-{last}"),
                f"Write {last}-{first}.",
            )
    return _Chosen(ranges, frozenset(int(m[1]) for item in items if (m := _SCALE.match(item))))
