"""What a piece of code asks of a GPU, counted without one: the device `meta` stands for it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

DEVICE = "meta"
_FREE = {"_unsafe_view", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided"}
_READ = {"_local_scalar_dense", "equal", "is_nonzero", "allclose", "nonzero", "masked_select"}
_ATTENTION = F.scaled_dot_product_attention
_MADE_OF_LISTS = (torch.tensor, torch.as_tensor, torch.asarray, Tensor.new_tensor)


class Waited(AssertionError):
    """The host would have to wait for the device, to read a value from it."""


@dataclass
class Counts:
    """By name: ops on the device, without views and allocations, and copies from the host to it."""

    ops: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    paused: bool = False


@contextmanager
def counted() -> Iterator[Counts]:
    """Count what is done inside. Raises Waited where a value is read from the device."""
    counts = Counts()
    with _Calls(counts), _Ops(counts):
        yield counts


class _Ops(TorchDispatchMode):
    """Sees each op as a device gets it. Attention is one, as GPUs have it, and not the many of `meta`."""

    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self.counts = counts

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name, kwargs = func.overloadpacket.__name__, kwargs or {}
        given = _tensors((args, kwargs))
        if any(map(_on_device, given)) and _waits(name, args, kwargs):
            raise Waited(name)
        result = func(*args, **kwargs)
        if not self.counts.paused and any(map(_on_device, [*given, *_tensors(result)])):
            if name not in _FREE and not _is_view(func):
                self.counts.ops[name] += 1
            copied = [t for t in given if not _on_device(t) and (t.ndim or name in ("_to_copy", "copy_"))]
            self.counts.copies[name] += len(copied)  # a number without dimensions is an argument of the op
        return result


class _Calls(TorchFunctionMode):
    """Sees what is made of Python lists, which reaches the device without an op."""

    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self.counts = counts

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        self.counts.paused = func is _ATTENTION
        result = func(*args, **(kwargs or {}))
        self.counts.paused = False
        if func is _ATTENTION:
            self.counts.ops["attention"] += 1
        if func in _MADE_OF_LISTS and isinstance(result, Tensor) and _on_device(result):
            self.counts.copies["tensor"] += not _tensors(args[-1:])
        if func in (Tensor.__getitem__, Tensor.__setitem__) and _on_device(args[0]):
            index = args[1] if isinstance(args[1], tuple) else (args[1],)
            self.counts.copies["index"] += sum(isinstance(each, list) for each in index)
        return result


def _waits(name: str, args: Any, kwargs: Any) -> bool:
    """Whether an op that is given tensors of the device needs their values."""
    if name == "_to_copy":
        return "device" in kwargs and torch.device(kwargs["device"]).type != DEVICE
    if name == "copy_":
        return not _on_device(args[0])
    if name in ("index", "index_put", "index_put_"):
        return any(index.dtype == torch.bool for index in _tensors(args[1]))
    return name in _READ


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]


def _on_device(tensor: Tensor) -> bool:
    return tensor.device.type == DEVICE


def _is_view(func: Any) -> bool:
    aliases = [returned.alias_info for returned in func._schema.returns]
    return any(alias is not None and not alias.is_write for alias in aliases)
