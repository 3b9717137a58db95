"""Weights of lower precision than fp32: how far rounding moves the source and the edit of a tiny model."""

from __future__ import annotations

from typing import Any

import torch
from families import TinyHost
from graphs import SOURCE, Graph

FAMILIES = ("SD1.5", "SDXL")
# weights, the dtype to compute in (None: that of the weights), the largest relative error allowed
PRECISIONS = {
    "fp16, computed in fp32": (torch.float16, torch.float32, 3e-3),
    "bf16, computed in fp32": (torch.bfloat16, torch.float32, 0.02),
    "fp16": (torch.float16, None, 0.02),
    "bf16": (torch.bfloat16, None, 0.1),
    "fp8 (e4m3), computed in fp32": (torch.float8_e4m3fn, torch.float32, 0.25),
    "fp8 (e4m3), computed in bf16": (torch.float8_e4m3fn, torch.bfloat16, 0.25),
    "fp8 (e5m2), computed in fp16": (torch.float8_e5m2, torch.float16, 0.4),
}


def rounding(node: dict[str, Any], family: str, precision: str) -> tuple[float, float]:
    """Relative error (L2 norm) of source and edit against those of fp32 weights.

    Asserts that the source is, bit for bit, that of a plain run with the same weights.
    """
    weights, compute, _ = PRECISIONS[precision]
    exact, rounded = Graph(TinyHost(family), node), Graph(TinyHost(family, weights, compute), node)
    made = rounded.edited()
    assert torch.equal(made[0], rounded.plain(SOURCE)[0])
    pairs = zip(made, exact.edited(), strict=True)
    source, edit = (float((a - b).norm() / b.norm()) for a, b in pairs)
    return source, edit
