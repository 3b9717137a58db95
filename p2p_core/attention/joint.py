"""Edits of joint attention in value space: one softmax over text and image tokens (docs/adr/0027).

A = [A_T | A_R] is the map of the image queries, split into the text columns and the rest; W_s and w_e mix the
text columns; s is the source's row, e the edit's. A_i is the edit's map with the source's image queries and
keys, C a softmax over the text columns alone, m_e the sum of A_e,T. Then

    inject        A*V = A_s,T·(W_s V_T) + A_i,T·(w_e ⊙ V_T) + A_s,R·V_R
    own columns   A*V = A_s,T·(W_s V_T) + A_e,T·(w_e ⊙ V_T) + A_e,R·V_R
    own mass      A*V = m_e·C_s·(W_s V_T) + A_e,T·(w_e ⊙ V_T) + A_e,R·V_R

and without W_s the injected map is A_i throughout. The other queries keep their attention. No map is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from .calls import Attend, JointCall

Outside = Literal["own columns", "own mass"]


@dataclass(frozen=True, eq=False)
class JointEdit:
    """Batch rows that are edited alike; all tensors are on the device of the call.

    rows, sources: [R]. from_source: W_s [R, T, T], own: w_e [R, T] on the T text columns of the layout, None
    where all of it is 0; both are None where the rows keep their text columns. inject: whether the image
    queries and keys are the source's.
    """

    rows: Tensor
    sources: Tensor
    from_source: Tensor | None = None
    own: Tensor | None = None
    inject: bool = False

    @property
    def mixes(self) -> bool:
        return self.from_source is not None or self.own is not None

    def mixed(self, v: Tensor) -> Tensor | None:
        """W_s V_T. v: [R, ..., T, C]."""
        if self.from_source is None:
            return None
        rows, columns, _ = self.from_source.shape
        weights = self.from_source.view(rows, *[1] * (v.ndim - 3), columns, columns)
        return (weights @ v.to(weights.dtype)).to(v.dtype)

    def kept(self, v: Tensor) -> Tensor | None:
        """w_e ⊙ V_T."""
        if self.own is None:
            return None
        weights = self.own.view(self.own.shape[0], *[1] * (v.ndim - 3), -1, 1)
        return (weights * v.to(weights.dtype)).to(v.dtype)


def edit_joint(
    call: JointCall,
    edits: Sequence[JointEdit],
    attend: Attend,
    outside: Outside = "own mass",
    sources: JointCall | None = None,
) -> Tensor:
    """The call with edited rows. Rows without an edit come out as `attend` alone gives them, to the bit.

    sources: the source rows if the call has none; they count as rows after it, and their values are not read.
    """
    first, sourced = call, partial(_sources, call, sources)
    for edit in edits:
        row = _first(edit, call.rows(edit.rows), sourced(edit))
        first = first.with_rows(edit.rows, row)
    out = first.run(attend)
    for edit in edits:
        own, source = call.rows(edit.rows), sourced(edit)
        rows = call.image.of(out[edit.rows])
        if (added := _added(edit, own.of_image(), source.of_image(), attend, outside)) is not None:
            rows = rows + added
        if call.image.count < call.q.shape[-2]:
            rows = call.image.put(rows, own.queries(call.image.others).run(attend))
        out = out.index_copy(0, edit.rows, rows)
    return out


def _sources(call: JointCall, sources: JointCall | None, edit: JointEdit) -> JointCall:
    return call.rows(edit.sources) if sources is None else sources.rows(edit.sources - len(call.q))


def _first(edit: JointEdit, own: JointCall, source: JointCall) -> JointCall:
    """The edited rows in the call of all rows; right for image queries."""
    text = own.layout.text.of(own.v)
    if (mixed := edit.mixed(text)) is not None:
        if edit.inject:
            return JointCall(source.q, source.k, own.with_text(mixed).v, source.mask, own.layout, own.image)
        return own.with_text(edit.kept(text))
    own = own.with_image_of(source) if edit.inject else own
    return own.with_text(edit.kept(text)) if edit.mixes else own


def _added(
    edit: JointEdit, own: JointCall, source: JointCall, attend: Attend, outside: Outside
) -> Tensor | None:
    """What other maps than that of `_first` add to the image queries."""
    text = own.layout.text.of(own.v)
    mixed, kept = edit.mixed(text), edit.kept(text)
    if mixed is None or (edit.inject and kept is None):
        return None
    if edit.inject:
        return own.with_image_of(source).with_text(kept, rest=False).run(attend)
    if outside == "own columns":
        return source.with_text(mixed, rest=False).run(attend)
    mass = own.with_text(torch.ones_like(text), rest=False).run(attend)
    return mass * source.text_alone(mixed).run(attend)
