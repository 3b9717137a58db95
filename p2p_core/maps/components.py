"""The leading components of self-attention, as in the published code. R is P·B."""

from __future__ import annotations

import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..errors import P2PError
from .store import Recorded


def components(recorded: Recorded, count: int) -> Tensor:
    """The leading components of self-attention, [R, count, h, w], each stretched to 0..1.

    As in the published code: right singular vectors of the mean map [N, N] minus the mean of each row. The
    sign is arbitrary: for a source, the entry furthest from 0 is positive; an edit gets the sign that is
    more similar to the source's. Raises P2PError without self-attention in the store, and for more components
    than cells.
    """
    if recorded.self_map is None or recorded.self_size is None:
        raise P2PError(
            "a store with self-attention",
            "one without self-attention",
            "Record self-attention at a resolution that the model has.",
            topic="no self-attention",
        )
    h, w = recorded.self_size
    if not 1 <= count <= h * w:
        hint = "Choose fewer, or record a higher resolution."
        expected = f"1 to {h * w} components, the number of cells of the map"
        raise P2PError(expected, f"{count}", hint, topic="many components")
    vectors = torch.stack([_right_singular(m - m.mean(1, keepdim=True), count) for m in recorded.self_map])
    by_sample = rearrange(vectors, "(b p) c n -> b p c n", b=recorded.rows.samples)
    sources = by_sample[:, :1]
    sources = sources * sources.gather(-1, sources.abs().argmax(-1, keepdim=True)).sign()
    likeness = (by_sample * sources).sum(-1, keepdim=True)
    signed = rearrange(by_sample.where(likeness >= 0, -by_sample), "b p c (h w) -> (b p) c h w", h=h)
    low, high = signed.amin((-2, -1), keepdim=True), signed.amax((-2, -1), keepdim=True)
    return (signed - low) / (high - low).clamp(min=torch.finfo(torch.float32).tiny)


def _right_singular(matrix: Tensor, count: int) -> Tensor:
    """The leading right singular vectors, [count, N], by subspace iteration from a fixed start.

    A full decomposition of 4096 cells takes minutes, this one a few seconds.
    """
    a, transposed = matrix.numpy(), matrix.mT.numpy()
    space = np.random.default_rng(0).standard_normal((len(a), min(count + 10, len(a))), np.float32)  # [N, s]
    for _ in range(8):
        space = np.linalg.qr(transposed @ np.linalg.qr(a @ space).Q).Q
    within = np.linalg.svd(a @ space, full_matrices=False).Vh  # [s, s]
    return (torch.tensor(within) @ torch.tensor(space).mT)[:count]
