"""How models run where they are trained: bfloat16 everywhere, compiled on a GPU."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def autocast(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16)


def placed(module: Module, device: torch.device) -> Module:
    """The module on the device, its convolutions in the memory layout that is fastest for them."""
    module.to(device)
    return module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def compiled(module: nn.Module) -> Any:
    """The module's forward, compiled where it runs on a GPU; the same weights."""
    on_gpu = next(module.parameters()).is_cuda
    return torch.compile(module) if on_gpu else module
