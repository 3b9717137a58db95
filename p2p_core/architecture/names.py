"""Kinds of models, and what their blocks are called: stages, in the order a model runs them. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

Architecture = Literal["unet", "separate", "joint"]
"""A U-Net, or a transformer with separate cross-attention or with joint attention of text and image."""

UNET = ("input", "middle", "output")
TRANSFORMER = ("double", "single", "block")
STAGES = (*UNET, *TRANSFORMER)


def block_ranges(blocks: Iterable[tuple[str, int]]) -> str:
    """Blocks by stage and number, as a layer filter names them: `double 0-18, single 0-37`."""
    numbers: dict[str, set[int]] = {}
    for stage, number in blocks:
        numbers.setdefault(stage, set()).add(number)
    parts = [f"{stage} {run}" for stage in STAGES for run in _runs(numbers.get(stage, set()))]
    return ", ".join(parts)


def _runs(numbers: set[int]) -> Iterator[str]:
    """Numbers as ranges: 0-3, 5."""
    for first in sorted(n for n in numbers if n - 1 not in numbers):
        last = next(n for n in range(first, max(numbers) + 1) if n + 1 not in numbers)
        yield f"{first}-{last}" if last > first else str(first)
