"""Edits of attention in value space (paper sections 3.1 and 3.2; docs/adr/0004).

With A_s, A_e the softmax maps of source and edit, an edited cross-attention is A* = A_s·W_s + A_e·diag(w_e),
so A*·V_e = A_s·(W_s V_e) + A_e·(w_e ⊙ V_e): at most two calls of the host's own attention, no map is built.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import P2PError

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The host's attention: q [B, N, C], k [B, K, C], v [B, K, C] → [B, N, C], heads merged in C."""


@dataclass(frozen=True, eq=False)
class Mixing:
    """How one edit's columns are made of attention.

    from_source: W_s [T_s, T_e], what each edit column gets of the source's attention.
    own: w_e [T_e], how much of its own attention each edit column keeps. Both float32.
    """

    from_source: Tensor
    own: Tensor

    def values(self, v: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The values for the source's map and for the edit's own, either None where its weights are all 0.

        v: [..., K, C], K a whole multiple of T_e and T_s: hosts repeat the columns of a prompt to match
        another prompt's length, which leaves softmax attention as it is.
        """
        t_s, t_e = self.from_source.shape
        k = v.shape[-2]
        if k % t_s or k % t_e:
            raise P2PError(
                f"a conditioning of {t_e} tokens or a multiple, as its prompts have",
                f"{k} key tokens",
                "Connect the CONDITIONING of the same Prompt Pair to the sampler.",
            )
        mixed = own = None
        if bool(self.from_source.any()):
            weights = self.from_source.to(v.device)
            mixed = (weights @ v[..., :t_e, :].float()).to(v.dtype)
            mixed = mixed.repeat(*[1] * (v.ndim - 2), k // t_s, 1)
        if bool(self.own.any()):
            weights = self.own.to(v.device).repeat(k // t_e)[:, None]
            own = (weights * v.float()).to(v.dtype)
        return mixed, own


@dataclass(frozen=True)
class RowEdit:
    """Batch row `row` is edited from batch row `source`."""

    row: int
    source: int
    mixing: Mixing | None = None


@dataclass(frozen=True)
class PairedRow:
    """A batch row that holds a prompt of a sample, 0 its source; `source`: the batch row of its source.

    mixing: how its cross-attention is made of columns, None for its own map.
    """

    row: int
    source: int
    sample: int
    prompt: int
    mixing: Mixing | None = None


def paired_rows(batch: int, paired: Sequence[bool], prompts: int) -> list[PairedRow]:
    """Every row of the paired parts of a batch, sources too.

    The batch is a sequence of equal parts, one for each entry of `paired` (conditional and unconditional
    halves); in a paired part row r holds prompt r mod P of sample r div P.
    """
    rows, rest = divmod(batch, len(paired))
    if rest or rows % prompts:
        raise P2PError(
            f"{prompts} rows a sample in each of {len(paired)} parts of the batch",
            f"a batch of {batch}",
            "Another node splits the batch; take it out, or put Prompt-to-Prompt after it.",
        )
    starts = [part * rows for part, is_pair in enumerate(paired) if is_pair]
    return [
        PairedRow(a + r, a + r - r % prompts, r // prompts, r % prompts) for a in starts for r in range(rows)
    ]


def edited_rows(batch: int, paired: Sequence[bool], prompts: int) -> list[tuple[int, int, int]]:
    """(row, its source row, edit prompt 1..E) of every edited row of a batch."""
    return [(r.row, r.source, r.prompt) for r in paired_rows(batch, paired, prompts) if r.prompt]


def edit_cross(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    edits: Sequence[RowEdit],
    attend: Attend,
    attend_own: Attend | None = None,
) -> Tensor:
    """Cross-attention with edited rows: one batched call, one more for rows that keep some of their own map.

    q: [B, N, C]; k, v: [B, K, C]; result [B, N, C]. A row has at most one edit; rows without one come out as
    `attend` alone gives them.
    attend_own: for the second call, where `attend` carries what must be added only once.
    """
    if all(edit.mixing is None for edit in edits):
        return attend(q, k, v)
    rows, values = list(range(q.shape[0])), list(v.unbind(0))
    kept: dict[int, Tensor] = {}
    for edit in edits:
        if edit.mixing is None:
            continue
        mixed, own = edit.mixing.values(v[edit.row])
        if mixed is None:  # the row's own map with other values
            values[edit.row] = torch.zeros_like(v[edit.row]) if own is None else own
            continue
        rows[edit.row], values[edit.row] = edit.source, mixed
        if own is not None:
            kept[edit.row] = own
    out = attend(q[rows], k[rows], torch.stack(values))
    if not kept:
        return out
    own_rows = list(kept)
    extra = (attend_own or attend)(q[own_rows], k[own_rows], torch.stack(list(kept.values())))
    return out.index_add(0, torch.tensor(own_rows, device=out.device), extra)


def edit_self(q: Tensor, k: Tensor, v: Tensor, edits: Sequence[RowEdit], attend: Attend) -> Tensor:
    """Self-attention with the source's map in edited rows (paper section 3.2, "self-attention"): W_s = 1."""
    if not edits:
        return attend(q, k, v)
    rows = list(range(q.shape[0]))
    for edit in edits:
        rows[edit.row] = edit.source
    return attend(q[rows], k[rows], v)
