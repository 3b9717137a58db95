"""Records of sources: what a model predicted for the source rows of a run, call by call. All on the CPU."""

from __future__ import annotations

import zlib
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock

import torch
from torch import Tensor

from .attention import KeptAttention

Sides = tuple[Tensor | None, ...]
"""The predictions [B, ...] of one evaluation of the model, for each side of the guidance that has any."""


@dataclass(frozen=True, eq=False)
class SourceCall:
    """One model call, source rows only.

    latent: [B, C, ...], what the model was asked at; sigma: its noise level. passes: the evaluations of this
    call, before guidance; clean: [B, C, ...], the prediction after guidance. attention: of each evaluation,
    what was kept of its attention.
    """

    latent: Tensor
    sigma: float
    passes: tuple[Sides, ...]
    clean: Tensor
    attention: tuple[KeptAttention | None, ...] = ()

    @property
    def tensors(self) -> Iterator[Tensor]:
        yield self.latent
        yield self.clean
        for sides in self.passes:
            yield from (side for side in sides if side is not None)

    @property
    def bytes(self) -> int:
        """Without its attention."""
        return sum(tensor.nbytes for tensor in self.tensors)

    @property
    def attention_bytes(self) -> int:
        return sum(each.bytes for each in self.attention if each is not None)


@dataclass(frozen=True, eq=False)
class SourceRecord:
    """The model calls of a run. source: identifies what was sampled; equal for the same source."""

    source: Hashable
    calls: tuple[SourceCall, ...]
    checksum: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "checksum", _checksum(self.calls))

    @property
    def bytes(self) -> int:
        return sum(call.bytes for call in self.calls)

    @property
    def attention_bytes(self) -> int:
        return sum(call.attention_bytes for call in self.calls)

    @property
    def without_attention(self) -> SourceRecord:
        return replace(self, calls=tuple(replace(call, attention=()) for call in self.calls))

    @property
    def finite(self) -> bool:
        return all(bool(torch.isfinite(call.clean).all()) for call in self.calls)

    @property
    def intact(self) -> bool:
        """Whether it holds what was recorded."""
        return _checksum(self.calls) == self.checksum


def _checksum(calls: Sequence[SourceCall]) -> int:
    total = zlib.crc32(repr([call.sigma for call in calls]).encode())
    for call in calls:
        for tensor in call.tensors:
            total = _crc(tensor, total)
        for place, pair in (item for each in call.attention if each for item in each.tensors.items()):
            total = zlib.crc32(repr(place).encode(), total)
            for tensor in pair:
                total = _crc(_sampled(tensor), total)
    return total


def _crc(tensor: Tensor, total: int) -> int:
    return zlib.crc32(tensor.contiguous().view(torch.uint8).numpy().data, total)


def _sampled(tensor: Tensor) -> Tensor:
    """Some of the values: attention is too large to read all of it before each run."""
    flat = tensor.flatten()
    return flat[:: max(1, len(flat) // 1024)]


class SourceMemory:
    """The records of a process, those used last at the end."""

    def __init__(self) -> None:
        self._records: list[SourceRecord] = []
        self._lock = Lock()

    @property
    def bytes(self) -> int:
        """Without attention."""
        return sum(record.bytes for record in self._records)

    @property
    def attention_bytes(self) -> int:
        return sum(record.attention_bytes for record in self._records)

    def __len__(self) -> int:
        return len(self._records)

    def find(self, source: Hashable) -> SourceRecord | None:
        """The record of this source. One that is no longer as it was recorded is dropped."""
        with self._lock:
            found = next((record for record in self._records if record.source == source), None)
            if found is None:
                return None
            self._records.remove(found)
            if not found.intact:
                return None
            self._records.append(found)
            return found

    def keep(self, record: SourceRecord, limit: int, most: int) -> bool:
        """Keep a record, instead of an earlier one of its source. False if it is larger than the limit.

        limit: bytes of all records; most: how many there may be. Drops those used least recently.
        """
        self.drop(record.source)
        if record.bytes > limit or most < 1:
            return False
        self.make_room(record.bytes, limit, most - 1)
        with self._lock:
            self._records.append(record)
        return True

    def make_room(self, needed: int, limit: int, most: int) -> None:
        """Drop records until at most `most` are left that fit next to `needed` bytes."""
        with self._lock:
            while self._records and (len(self._records) > most or self.bytes + needed > limit):
                self._records.pop(0)

    def fits_attention(self, needed: int, limit: int, source: Hashable) -> bool:
        """Whether `needed` bytes fit, without the attention of other sources if need be: the oldest first."""
        with self._lock:
            for n, record in enumerate(self._records):
                if self.attention_bytes + needed <= limit:
                    break
                if record.source != source and record.attention_bytes:
                    self._records[n] = record.without_attention
            return self.attention_bytes + needed <= limit

    def drop(self, source: Hashable) -> None:
        with self._lock:
            self._records = [record for record in self._records if record.source != source]
