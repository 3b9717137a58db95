"""Running means of attention maps."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..errors import P2PError


class Mean:
    """A running mean per row; additions may cover only some rows. Never synchronises with a GPU."""

    def __init__(self, value: Tensor) -> None:
        """value: zeros [rows, ...] to keep the mean in."""
        self.value, self.count = value, [0] * len(value)

    def add(self, maps: Tensor, rows: Sequence[int]) -> None:
        """maps: [R, ...] for these rows of the result, each row any number of times; on any device."""
        if self.value.shape[1:] != maps.shape[1:]:
            raise P2PError(
                "attention maps of one size",
                f"{list(maps.shape[1:])} after {list(self.value.shape[1:])}",
                "Sample the whole image at once.",
                topic="parts of the picture",
            )
        maps = maps.to(self.value.device)
        if list(rows) == list(range(len(self.value))) and len(set(self.count)) == 1:  # all rows, in order
            self.count = [self.count[0] + 1] * len(self.count)
            self.value.lerp_(maps, 1 / self.count[0])
            return
        for row, new in zip(rows, maps, strict=True):
            self.count[row] += 1
            self.value[row].lerp_(new, 1 / self.count[row])
