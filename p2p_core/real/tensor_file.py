"""Safetensors files of float32 tensors, read into memory of our own (docs/adr/0032).

Other programs may shorten or overwrite a file while it is in use. Tensors of a memory map would change with
it, and a process that touches a page beyond the new end is killed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from io import BufferedReader, BufferedWriter
from typing import Any

import torch
from torch import Tensor

from ..limits import TRAJECTORY, in_words

HEADER = 1 << 20  # bytes, several times what texts of the longest length take
DIMENSIONS = 6  # of latents of videos [n+1, B, C, f, h, w]
_TEXTS = "__metadata__"


def write(stream: BufferedWriter, tensors: Mapping[str, Tensor], texts: Mapping[str, str]) -> None:
    """tensors: float32, on the CPU. Takes no memory of their size."""
    header: dict[str, Any] = {_TEXTS: dict(texts)}
    stop = 0
    for name, tensor in tensors.items():
        start, stop = stop, stop + tensor.nbytes
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [start, stop]}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)
    stream.write(len(encoded).to_bytes(8, "little") + encoded)
    for tensor in tensors.values():
        stream.write(tensor.contiguous().numpy().data.cast("B"))


def read(stream: BufferedReader) -> tuple[dict[str, str], dict[str, Tensor]]:
    """The texts and the tensors. Raises ValueError, in words, for anything but a whole file of this kind."""
    size = stream.seek(0, 2)
    if size > TRAJECTORY:
        raise ValueError(f"a file of {in_words(size)}")
    stream.seek(0)
    length = int.from_bytes(stream.read(8), "little")
    if not 0 < length <= min(HEADER, size - 8):
        raise ValueError("a file without a header")
    texts, places = _header(stream.read(length))
    spans = sorted((begin, end) for _, begin, end in places.values())
    if [*(begin for begin, _ in spans), size - 8 - length] != [0, *(end for _, end in spans)]:
        raise ValueError("tensors that do not fill the file")
    return texts, {name: _tensor(stream, 8 + length, *place) for name, place in places.items()}


Place = tuple[tuple[int, ...], int, int]  # shape, first byte and end in the data


def _header(data: bytes) -> tuple[dict[str, str], dict[str, Place]]:
    try:
        header: Any = json.loads(data.decode())
        texts = {name: _text(value) for name, value in header.pop(_TEXTS, {}).items()}
        return texts, {name: _place(**entry) for name, entry in header.items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError("a file with a damaged header") from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value


def _place(dtype: str, shape: list[int], data_offsets: list[int]) -> Place:
    begin, end = data_offsets
    whole = all(type(number) is int for number in (*shape, begin, end)) and len(shape) <= DIMENSIONS
    if dtype != "F32" or not whole or min(shape, default=1) < 1 or end - begin != 4 * math.prod(shape):
        raise ValueError
    return tuple(shape), begin, end


def _tensor(stream: BufferedReader, data: int, shape: tuple[int, ...], begin: int, end: int) -> Tensor:
    own = bytearray(end - begin)
    stream.seek(data + begin)
    if stream.readinto(own) != len(own):
        raise ValueError("a file that was shortened meanwhile")
    return torch.frombuffer(own, dtype=torch.float32).reshape(shape)
