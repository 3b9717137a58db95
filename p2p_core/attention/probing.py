"""Attention maps of chosen columns, in value space (docs/adr/0012).

A map is attention with indicator values: Σ_c A[n, c] over the columns c of a word is A·1_word, so no N × K
matrix of cross-attention is materialised here either. Everything is float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from .editing import EditedBatch


@dataclass(frozen=True, eq=False)
class Probe:
    """Prepared indicator values that read maps from a batch's cross-attention.

    rows: [M], the batch rows to read; values: [M, K, n]. places: [M], the result row that each reading is
    added to, None if the readings are the result. count: R, the number of result rows.
    """

    rows: Tensor
    values: Tensor
    places: Tensor | None
    count: int


def prepare_probe(batch: EditedBatch, indicators: Sequence[Tensor], keys: int, device: torch.device) -> Probe:
    """Reads A*·1 = A_s·(W_s 1) + A_e·(w_e ⊙ 1) in each row, or the plain A·1 in a row without mixing.

    indicators: [T, n] for each prompt; keys: K, a multiple of each T.
    """
    asked: list[tuple[int, int, Tensor]] = []  # result row, batch row, values [T, n]
    mixings = {edit.row: edit.mixing for edit in batch.edits}
    for place, row in enumerate(batch.rows):
        ones, mixing = indicators[row.prompt], mixings.get(row.row)
        if mixing is None:
            asked.append((place, row.row, ones))
        else:
            asked.append((place, row.source, mixing.from_source @ ones))
            asked.append((place, row.row, mixing.own[:, None] * ones))
    asked = [each for each in asked if bool(each[2].any())]
    places = [place for place, _, _ in asked]
    with torch.inference_mode(False):
        empty = torch.zeros(0, keys, indicators[0].shape[1])
        values = [ones.repeat(keys // len(ones), 1) for _, _, ones in asked]
        return Probe(
            torch.tensor([row for _, row, _ in asked], dtype=torch.long, device=device),
            (torch.stack(values) if values else empty).to(device),
            None if places == list(range(len(batch.rows))) else torch.tensor(places, device=device),
            len(batch.rows),
        )


def word_maps(q: Tensor, k: Tensor, heads: int, probe: Probe) -> Tensor:
    """The maps that a probe reads, [R, N, n]. q: [B, N, C]; k: [B, K, C]."""
    answers = None
    if len(probe.values):
        asked = q.index_select(0, probe.rows), k.index_select(0, probe.rows)
        answers = column_maps(*asked, probe.values, heads)
    if answers is not None and probe.places is None:
        return answers
    result = torch.zeros(probe.count, q.shape[1], probe.values.shape[-1], device=q.device)
    if answers is None or probe.places is None:
        return result
    return result.index_add(0, probe.places, answers)


def column_maps(q: Tensor, k: Tensor, values: Tensor, heads: int) -> Tensor:
    """softmax(QKᵀ/√d)·values, the mean over heads.

    q: [R, N, C]; k: [R, K, C]; values: [R, K, n] → [R, N, n].
    """
    q, k = (rearrange(t.float(), "r n (h c) -> r h n c", h=heads) for t in (q, k))
    width = q.shape[-1]
    maps: list[Tensor] = []
    for some in torch.split(values.float(), width, dim=-1):  # backends need values as wide as the keys
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
