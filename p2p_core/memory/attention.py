"""Queries and keys of source rows, kept so that an edit can read them without computing those rows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from ..architecture.layers import Layer
from ..step import Kind


class Place(NamedTuple):
    """Attention calls of a kind in a layer."""

    layer: Layer
    kind: Kind


@dataclass(frozen=True, eq=False)
class KeptAttention:
    """Of one evaluation of the model. columns: T, the text columns that its keys were made for.

    tensors: q [B, N, C] and k [B, K, C] by layer and kind, or with heads apart; on the CPU.
    """

    columns: int
    tensors: Mapping[Place, tuple[Tensor, Tensor]]

    @property
    def bytes(self) -> int:
        return sum(q.nbytes + k.nbytes for q, k in self.tensors.values())

    def has(self, places: Collection[Place], columns: int) -> bool:
        """Whether edits that read these places can do without source rows."""
        return columns == self.columns and all(
            place in self.tensors or Place(place.layer, "joint") in self.tensors for place in places
        )


@dataclass
class SourceRows:
    """The source rows of one evaluation: taken from `kept`, or noted where there is none.

    fits: whether there is room for so many bytes.
    """

    columns: int
    kept: KeptAttention | None = None
    fits: Callable[[int], bool] = lambda size: False
    _noted: dict[Place, tuple[Tensor, Tensor]] = field(default_factory=dict[Place, tuple[Tensor, Tensor]])
    _bytes: int = 0
    _full: bool = False

    def note(self, place: Place, q: Tensor, k: Tensor) -> None:
        """Keep these rows, unless there is no room for all of the evaluation."""
        self._bytes += q.nbytes + k.nbytes
        self._full = self._full or not self.fits(self._bytes)
        if self._full:
            self._noted.clear()
        else:
            self._noted[place] = _on_cpu(q), _on_cpu(k)

    def taken(self, place: Place, like: Tensor, keys: int) -> tuple[Tensor, Tensor]:
        """q and k of the source rows, on the device of `like`. keys: K of the call."""
        assert self.kept is not None
        q, k = self.kept.tensors[place]
        if place.kind == "cross" and k.shape[-2] != keys:  # hosts repeat columns to match other prompts
            k = k[..., : self.columns, :].repeat(*[1] * (k.ndim - 2), keys // self.columns, 1)
        return _moved(q, like), _moved(k, like)

    @property
    def noted(self) -> KeptAttention | None:
        """All that was noted, None if there was nothing or no room for it."""
        return KeptAttention(self.columns, MappingProxyType(self._noted)) if self._noted else None


def _moved(rows: Tensor, like: Tensor) -> Tensor:
    return rows.to(like.device, like.dtype, non_blocking=True)


def _on_cpu(rows: Tensor) -> Tensor:
    """A copy in main memory; from a GPU, in pinned memory and without waiting for it."""
    rows = rows.detach()
    if rows.device.type != "cuda":
        return rows.to("cpu", copy=True)
    pinned = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
    return pinned.copy_(rows, non_blocking=True)
