"""How models run where they are trained."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

Module = TypeVar("Module", bound=nn.Module)


def autocast(device: torch.device) -> torch.autocast:
    return torch.autocast(device.type, torch.bfloat16)


def placed(module: Module, device: torch.device) -> Module:
    """The module on the device, its convolutions in the memory layout that is fastest for them."""
    module.to(device)
    return module.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
