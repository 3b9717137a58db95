"""Edits of attention in value space (paper sections 3.1 and 3.2; docs/adr/0004).

With A_s, A_e the softmax maps of source and edit, an edited cross-attention is A* = A_s·W_s + A_e·diag(w_e),
so A*·V_e = A_s·(W_s V_e) + A_e·(w_e ⊙ V_e): at most two calls of the host's own attention, and no map is
ever materialised.

`prepare_cross` and `prepare_self` prepare the tensors of a call once. The calls themselves copy nothing to
the device and never synchronise with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import P2PError
from ..rows import PairedRow

Attend = Callable[[Tensor, Tensor, Tensor], Tensor]
"""The host's attention: q [B, N, C], k [B, K, C], v [B, K, C] → [B, N, C], heads merged in C.

Hosts may keep heads apart, [B, H, N, C], in the inputs and in the result.
"""


@dataclass(frozen=True, eq=False)
class Mixing:
    """The column mixing of one edit. Both tensors are float32 on the CPU.

    from_source: W_s [T_s, T_e], the share of the source's attention that each edit column gets.
    own: w_e [T_e], the share of its own attention that each edit column keeps.
    """

    from_source: Tensor
    own: Tensor


@dataclass(frozen=True)
class RowEdit:
    """Batch row `row` is edited from batch row `source`. mixing None: its cross-attention is unchanged."""

    row: int
    source: int
    mixing: Mixing | None = None


@dataclass(frozen=True, eq=False)
class EditedBatch:
    """The paired rows of a batch, including sources, and their edits."""

    rows: tuple[PairedRow, ...]
    edits: tuple[RowEdit, ...] = ()


# Cross-attention


@dataclass(frozen=True, eq=False)
class MixedValues:
    """Rows of v to replace by W·v. rows: [M]; weights: [M, K, K], or [M, K, 1] for a diagonal W.

    spaced: the same rows where they are evenly spaced, which saves a copy of them.
    """

    rows: Tensor
    weights: Tensor
    spaced: slice | None

    def of(self, v: Tensor) -> Tensor:
        """[B, K, C] → [M, K, C], computed in the precision of the weights; heads may be apart."""
        chosen = v.index_select(0, self.rows) if self.spaced is None else v[self.spaced]
        chosen = chosen.to(self.weights.dtype)
        weights = self.weights if v.ndim == 3 else self.weights[:, None]
        diagonal = weights.shape[-1] == 1
        return (weights * chosen if diagonal else weights @ chosen).to(v.dtype)


@dataclass(frozen=True, eq=False)
class CrossEdit:
    """A prepared edit of one batch's cross-attention. None for parts that do not occur.

    origins: [B], the row whose map each row uses. mixed: values under the source's map. scaled: values of
    rows that use only their own map. kept: values under the own map of rows that also use the source's map,
    which takes a second call.
    """

    origins: Tensor | None
    mixed: MixedValues | None
    scaled: MixedValues | None
    kept: MixedValues | None


def prepare_cross(edits: Sequence[RowEdit], keys: int, like: Tensor, batch: int) -> CrossEdit | None:
    """The edit of a batch of `batch` rows with K = `keys` key columns, or None if no row is mixed.

    like: a tensor with the device and dtype of the values. A row has at most one edit. Raises P2PError if K
    is not a multiple of the columns of an edit's prompts.
    """
    sources, matrices = list(range(batch)), dict[int, Tensor]()
    scales, kept = dict[int, Tensor](), dict[int, Tensor]()
    for edit in edits:
        if edit.mixing is None:
            continue
        matrix, own = _over_keys(edit.mixing, keys)
        if bool(matrix.any()):
            sources[edit.row], matrices[edit.row] = edit.source, matrix
            if bool(own.any()):
                kept[edit.row] = own
        else:
            scales[edit.row] = own
    if not matrices and not scales:
        return None
    with torch.inference_mode(False):  # usable in any mode
        return CrossEdit(
            torch.tensor(sources, device=like.device) if matrices else None,
            _values(matrices, like),
            _values(scales, like),
            _values(kept, like),
        )


def _over_keys(mixing: Mixing, keys: int) -> tuple[Tensor, Tensor]:
    """W_s as [K, K] and w_e as [K, 1], for prompts whose columns are repeated to K keys.

    Hosts repeat the columns of a prompt to match another's length, which does not change softmax attention:
    the repeats share the attention of a column, so W_s reads only the values of the first repeat.
    """
    t_s, t_e = mixing.from_source.shape
    if keys % t_s or keys % t_e:
        raise P2PError(
            f"a conditioning with the {t_e} tokens of its prompts, or a multiple",
            f"{keys} key tokens",
            "Encode source and edit with the prompts of the edit.",
            topic="other columns",
        )
    matrix = torch.zeros(keys, keys)
    matrix[:, :t_e] = mixing.from_source.repeat(keys // t_s, 1)
    return matrix, mixing.own.repeat(keys // t_e)[:, None]


def _values(weights: dict[int, Tensor], like: Tensor) -> MixedValues | None:
    """Weights by row."""
    if not weights:
        return None
    rows = list(weights)
    stacked = exactly(list(weights.values()), like)
    return MixedValues(torch.tensor(rows, device=like.device), stacked, _spaced(rows))


def exactly(weights: Sequence[Tensor], like: Tensor) -> Tensor:
    """Stacked weights, in the dtype of the values if that represents them exactly, else in float32."""
    stacked = torch.stack(list(weights))
    exact = torch.equal(stacked.to(like.dtype).float(), stacked)
    return stacked.to(like.device, like.dtype if exact else torch.float32)


def _spaced(rows: Sequence[int]) -> slice | None:
    """Ascending rows as a slice, None if they are not evenly spaced."""
    step = rows[1] - rows[0] if len(rows) > 1 else 1
    even = range(rows[0], rows[-1] + 1, step)
    return slice(even.start, even.stop, step) if list(even) == list(rows) else None


def edit_cross(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    edit: CrossEdit | None,
    attend: Attend,
    attend_again: Attend | None = None,
) -> Tensor:
    """Cross-attention with edited rows: one batched call, plus one for rows that keep some of their own map.

    q: [B, N, C]; k, v: [B, K, C]; result [B, N, C]. Rows without an edit are as from `attend` alone.
    attend_again: for the second call, if `attend` adds something that must be added only once.
    """
    if edit is None:
        return attend(q, k, v)
    values = v
    for part in (edit.mixed, edit.scaled):
        if part is not None:
            values = values.index_copy(0, part.rows, part.of(v))
    if edit.origins is None:
        return attend(q, k, values)
    out = attend(q.index_select(0, edit.origins), k.index_select(0, edit.origins), values)
    if edit.kept is None:
        return out
    rows = edit.kept.rows
    again = (attend_again or attend)(q.index_select(0, rows), k.index_select(0, rows), edit.kept.of(v))
    return out.index_add(0, rows, again)


# Self-attention


def prepare_self(edits: Sequence[RowEdit], like: Tensor, batch: int) -> Tensor:
    """The row whose map each row of a batch uses, [B], on the device of `like`."""
    origins = list(range(batch))
    for edit in edits:
        origins[edit.row] = edit.source
    with torch.inference_mode(False):
        return torch.tensor(origins, device=like.device)


def edit_self(q: Tensor, k: Tensor, v: Tensor, origins: Tensor | None, attend: Attend) -> Tensor:
    """Self-attention with the source's map in edited rows (paper section 3.2, "self-attention"): W_s = 1.

    origins: from `prepare_self`, None for no edit.
    """
    if origins is None:
        return attend(q, k, v)
    return attend(q.index_select(0, origins), k.index_select(0, origins), v)
