"""Which attention layers an edit acts on."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from .errors import P2PError

STAGES = ("input", "middle", "output")


@dataclass(frozen=True)
class Layer:
    """A transformer block of a U-Net by the host's name: stage, block number, index within the block."""

    stage: str
    number: int
    index: int = 0


@dataclass(frozen=True)
class LayerFilter:
    """Layers as a user names them: `all`, or a list such as `input 4-8, middle, output 3`. Torch-free."""

    text: str = "all"

    def __post_init__(self) -> None:
        _parse(self.text)

    def __contains__(self, layer: Layer) -> bool:
        ranges = _parse(self.text)
        return ranges is None or any(s == layer.stage and a <= layer.number <= b for s, a, b in ranges)


_ITEM = re.compile(r"^(input|middle|output)(?:\s+(\d+)(?:\s*-\s*(\d+))?)?$")


@lru_cache(maxsize=64)
def _parse(text: str) -> tuple[tuple[str, int, int], ...] | None:
    items = [item.strip().lower() for item in re.split(r"[\n,;]", text) if item.strip()]
    if items == ["all"]:
        return None
    matches = [_ITEM.match(item) for item in items]
    bad = next((item for item, match in zip(items, matches, strict=True) if match is None), None)
    if bad is not None or not items:
        raise P2PError(
            "layers such as 'all' or 'input 4-8, middle, output 3'",
            repr(text if bad is None else bad),
            f"Name stages ({', '.join(STAGES)}), each with block numbers or without for all of them.",
        )
    ranges = tuple((m[1], int(m[2] or 0), int(m[3] or m[2] or 10**6)) for m in matches if m)
    for stage, first, last in ranges:
        if last < first:
            raise P2PError(
                "a range of blocks from low to high",
                repr(f"{stage} {first}-{last}"),
                f"Write {last}-{first}.",
            )
    return ranges
