"""Attention maps of chosen columns, in value space (docs/adr/0012).

A map is attention with indicator values: Σ_c A[n, c] over the columns c of a word is A·1_word, so no N×K
matrix of cross-attention is built here either. Everything is float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from .editing import PairedRow


def word_maps(
    q: Tensor, k: Tensor, heads: int, rows: Sequence[PairedRow], indicators: Sequence[Tensor]
) -> Tensor:
    """[R, N, n]: A*·1 = A_s·(W_s 1) + A_e·(w_e ⊙ 1) for each row, the plain A·1 for one without mixing.

    q: [B, N, C]; k: [B, K, C], K a multiple of each T; indicators: for each prompt [T, n].
    """
    calls: list[tuple[int, int, Tensor]] = []  # place in the result, batch row, values [T, n]
    for place, row in enumerate(rows):
        ones = indicators[row.prompt]
        if row.mixing is None:
            calls.append((place, row.row, ones))
        else:
            calls.append((place, row.source, row.mixing.from_source @ ones))
            calls.append((place, row.row, row.mixing.own[:, None] * ones))
    calls = [call for call in calls if bool(call[2].any())]
    result = torch.zeros(len(rows), q.shape[1], indicators[0].shape[1], device=q.device)
    if not calls:
        return result
    batch = [row for _, row, _ in calls]
    values = [ones.to(q.device).repeat(k.shape[1] // len(ones), 1) for _, _, ones in calls]
    maps = column_maps(q[batch], k[batch], torch.stack(values), heads)
    return result.index_add(0, torch.tensor([place for place, _, _ in calls], device=q.device), maps)


def column_maps(q: Tensor, k: Tensor, values: Tensor, heads: int) -> Tensor:
    """softmax(QKᵀ/√d)·values, the mean over heads.

    q: [R, N, C]; k: [R, K, C]; values: [R, K, n] → [R, N, n].
    """
    q, k = (rearrange(t.float(), "r n (h c) -> r h n c", h=heads) for t in (q, k))
    width = q.shape[-1]
    maps: list[Tensor] = []
    for some in torch.split(values.float(), width, dim=-1):  # backends want values as wide as the keys
        v = F.pad(some, (0, width - some.shape[-1]))[:, None].expand(-1, heads, -1, -1)
        out = F.scaled_dot_product_attention(q, k, v.contiguous())
        maps.append(out[..., : some.shape[-1]].mean(1))  # [R, N, n]
    return torch.cat(maps, dim=-1)


def probabilities(q: Tensor, k: Tensor, heads: int) -> Tensor:
    """The attention map of one row, the mean over heads. q: [N, C]; k: [K, C] → [N, K]."""
    q, k = (rearrange(t.float(), "n (h c) -> h n c", h=heads) for t in (q, k))
    mean = torch.zeros(q.shape[1], k.shape[1], device=q.device)
    for a, b in zip(q, k, strict=True):  # head by head: one N×K matrix at a time
        mean += torch.softmax(a @ b.mT / a.shape[-1] ** 0.5, dim=-1) / heads
    return mean
