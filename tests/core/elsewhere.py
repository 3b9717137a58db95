"""Devices that this machine does not have: tensors with values that say they are there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

FIRST, SECOND = torch.device("meta", 0), torch.device("meta", 1)


class Elsewhere(Tensor):
    """A tensor that says it is on another device; its values are on the CPU."""

    values_here: Tensor

    @staticmethod
    def __new__(cls, values: Tensor, device: torch.device) -> Elsewhere:
        made = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls, values.shape, strides=values.stride(), dtype=values.dtype, device=device
        )
        made.values_here = values
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


@contextmanager
def several_devices() -> Iterator[None]:
    """Inside, FIRST and SECOND are there as real devices are: no op takes tensors of two of them."""
    with _MadeOfLists(), _Ops():
        yield


class _Ops(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


class _MadeOfLists(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.tensor and "device" in kwargs:
            return func(*args, **{**kwargs, "device": "cpu"}).to(kwargs["device"])
        return func(*args, **kwargs)


def _computed(func: Any, args: Any, kwargs: Any) -> Any:
    given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    devices = {tensor.device for tensor in given if tensor.ndim}
    if "device" in kwargs:
        device, kwargs = torch.device(kwargs["device"]), {**kwargs, "device": "cpu"}
    elif len(devices) > 1 and func is not torch.ops.aten.copy_.default:
        raise RuntimeError(f"{func} of tensors on {' and '.join(map(str, devices))}")
    else:
        device = given[0].device if given else torch.device("cpu")
    result = func(*tree_map(_here, args), **tree_map(_here, kwargs))
    return tree_map(lambda each: _there(each, device), result)


def _here(value: Any) -> Any:
    return value.values_here if isinstance(value, Elsewhere) else value


def _there(value: Any, device: torch.device) -> Any:
    return Elsewhere(value, device) if isinstance(value, Tensor) and device.type == "meta" else value
