"""Attention maps of chosen columns, in value space (docs/adr/0012).

A map is attention with indicator values: Σ_c A[n, c] over the columns c of a word is A·1_word, so no N × K
matrix of cross-attention is materialised here either. Everything is float32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from einops import rearrange
from torch import Tensor
from torch.nn import functional as F

from .calls import JointCall
from .editing import EditedBatch
from .joint import JointEdit, Outside, edit_joint


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
    """The maps that a probe reads, [R, N, n]. q: [B, N, C]; k: [B, K, C]; or heads apart, as in
    `column_maps`."""
    answers = None
    if len(probe.values):
        asked = q.index_select(0, probe.rows), k.index_select(0, probe.rows)
        answers = column_maps(*asked, probe.values, heads)
    if answers is not None and probe.places is None:
        return answers
    result = torch.zeros(probe.count, q.shape[-2], probe.values.shape[-1], device=q.device)
    if answers is None or probe.places is None:
        return result
    return result.index_add(0, probe.places, answers)


def column_maps(q: Tensor, k: Tensor, values: Tensor, heads: int) -> Tensor:
    """softmax(QKᵀ/√d)·values, the mean over heads.

    q: [R, N, C]; k: [R, K, C]; or heads apart; values: [R, K, n] → [R, N, n]. A last channel of k that q does
    not have is a mask, added to the logits.
    """
    k, mask = _masked(q, k)
    q, k = (_apart(t.float(), heads) for t in (q, k))
    width = q.shape[-1]
    maps: list[Tensor] = []
    for some in torch.split(values.float(), width, dim=-1):  # backends need values as wide as the keys
        v = F.pad(some, (0, width - some.shape[-1]))[:, None].expand(-1, heads, -1, -1)
        out = F.scaled_dot_product_attention(q, k, v.contiguous(), attn_mask=mask)
        maps.append(out[..., : some.shape[-1]].mean(1))  # [R, N, n]
    return torch.cat(maps, dim=-1)


def probabilities(q: Tensor, k: Tensor, heads: int) -> Tensor:
    """The attention map of one row, the mean over heads. q: [N, C]; k: [K, C]; or heads apart → [N, K]."""
    q, k = (_apart(t[None].float(), heads)[0] for t in (q, k))
    mean = torch.zeros(q.shape[1], k.shape[1], device=q.device)
    for a, b in zip(q, k, strict=True):  # head by head: one N×K matrix at a time
        mean += torch.softmax(a @ b.mT / a.shape[-1] ** 0.5, dim=-1) / heads
    return mean


def _masked(q: Tensor, k: Tensor) -> tuple[Tensor, Tensor | None]:
    """The keys without their mask, and the mask as [R, 1, 1, K]."""
    if k.shape[-1] == q.shape[-1]:
        return k, None
    mask = k[..., -1] if k.ndim == 3 else k[:, 0, :, -1]
    return k[..., :-1], mask[:, None, None].float()


def _apart(tokens: Tensor, heads: int) -> Tensor:
    """[R, H, N, C] from [R, N, H·C]; unchanged if heads are apart already."""
    return tokens if tokens.ndim == 4 else rearrange(tokens, "r n (h c) -> r h n c", h=heads)


def joint_maps(
    call: JointCall, heads: int, edits: Sequence[JointEdit], indicators: Tensor, outside: Outside = "own mass"
) -> Tensor:
    """[B, I, n]: the maps of some tokens in a joint call as edited, the mean over heads.

    indicators: [B, L, n], 1 for the tokens of a map.
    """
    call = call.of_image()
    q, k = (_apart(t.float(), heads) for t in (call.q, call.k))
    call, width = replace(call, q=q, k=k), k.shape[-1]
    maps: list[Tensor] = []
    for some in torch.split(indicators.float(), width, dim=-1):  # backends need values as wide as the keys
        values = F.pad(some, (0, width - some.shape[-1]))[:, None].expand(-1, k.shape[1], -1, -1)
        out = edit_joint(replace(call, v=values), edits, _attend, outside)
        maps.append(out[..., : some.shape[-1]].mean(1))
    return torch.cat(maps, dim=-1)


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """Heads apart; a group of query heads may share a head of keys."""
    shared = q.shape[1] // k.shape[1]
    k, v = (t.repeat_interleave(shared, dim=1) if shared > 1 else t for t in (k, v))
    if mask is not None and mask.is_floating_point():
        mask = mask.to(q.dtype)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
