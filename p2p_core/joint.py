"""Edits of joint attention in value space: one softmax over text and image tokens (docs/adr/0013).

A = [A_T | A_R] is the map of the image queries, split into the text columns and the rest; W_s and w_e mix the
text columns; s is the source's row, e the edit's. A_i is the edit's map with the source's image queries and
keys, C a softmax over the text columns alone, m_e the sum of A_e,T. Then

    inject        A*V = A_s,T·(W_s V_T) + A_i,T·(w_e ⊙ V_T) + A_s,R·V_R
    own columns   A*V = A_s,T·(W_s V_T) + A_e,T·(w_e ⊙ V_T) + A_e,R·V_R
    own mass      A*V = m_e·(C_s·(W_s V_T) + C_e·(w_e ⊙ V_T)) + A_e,R·V_R

Without W_s the injected map is A_i throughout. Queries of all other tokens keep their own attention. No map is built.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from .architecture.dit import Layout, Span

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""The host's attention: q, k, v with tokens on dim -2, mask [1 or B, 1 or H, 1 or N, K] or None → like q."""

Outside = Literal["own columns", "own mass"]


@dataclass(frozen=True, eq=False)
class JointCall:
    """A joint attention call. k, v: [B, L, H·C] or [B, H, L, C]; q: the same, or of some of the tokens.

    mask: [1 or B, 1 or H, 1 or N, L]; image: where q has the image tokens.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    mask: Tensor | None
    layout: Layout
    image: Span

    def run(self, attend: Attend) -> Tensor:
        return attend(self.q, self.k, self.v, self.mask)

    def queries(self, part: Callable[[Tensor], Tensor]) -> JointCall:
        """The call of a part of its queries."""
        each = self.mask is not None and self.mask.shape[-2] > 1
        return replace(self, q=part(self.q), mask=part(self.mask) if each else self.mask)

    def of_image(self) -> JointCall:
        """The call of its image queries alone."""
        return replace(self.queries(self.image.of), image=Span(0, self.image.count))

    def rows(self, rows: Tensor) -> JointCall:
        each = self.mask is not None and self.mask.shape[0] > 1
        q, k, v = self.q[rows], self.k[rows], self.v[rows]
        return replace(self, q=q, k=k, v=v, mask=self.mask[rows] if each else self.mask)

    def with_rows(self, rows: Tensor, other: JointCall) -> JointCall:
        each = self.mask is not None and self.mask.shape[0] > 1
        mask = self.mask.index_copy(0, rows, other.mask) if each else self.mask
        q, k, v = (a.index_copy(0, rows, b) for a, b in zip(self.qkv, other.qkv, strict=True))
        return replace(self, q=q, k=k, v=v, mask=mask)

    def with_text(self, values: Tensor | None, rest: bool = True) -> JointCall:
        """With other values of the text columns, 0 for None, and the others' own or 0."""
        text = self.layout.text
        others = text.others(self.v) if rest else text.others(torch.zeros_like(self.v))
        return replace(
            self, v=text.put(torch.zeros_like(text.of(self.v)) if values is None else values, others)
        )

    def text_alone(self, values: Tensor) -> JointCall:
        """With the text columns only."""
        text = self.layout.text
        mask = None if self.mask is None else self.mask[..., text.start : text.stop]
        return replace(self, k=text.of(self.k), v=values, mask=mask)

    @property
    def qkv(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.q, self.k, self.v


@dataclass(frozen=True, eq=False)
class JointEdit:
    """Batch rows that are edited alike; all tensors are on the device of the call.

    rows, sources: [R]. from_source: W_s [R, T, T] and own: w_e [R, T] on the T text columns of the layout, None
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
        w = self.from_source
        return (
            None if w is None else (w.view(len(w), *[1] * (v.ndim - 3), *w.shape[1:]) @ v.float()).to(v.dtype)
        )

    def kept(self, v: Tensor) -> Tensor | None:
        """w_e ⊙ V_T."""
        w = self.own
        return None if w is None else (w.view(len(w), *[1] * (v.ndim - 3), -1, 1) * v.float()).to(v.dtype)


def edit_joint(
    call: JointCall, edits: Sequence[JointEdit], attend: Attend, outside: Outside = "own mass"
) -> Tensor:
    """Joint attention with edited rows, like q. Rows without an edit come out as `attend` alone gives them."""
    first = call
    for edit in edits:
        first = first.with_rows(
            edit.rows, _first(edit, call.rows(edit.rows), call.rows(edit.sources), outside)
        )
    out = first.run(attend)
    for edit in edits:
        own, source = call.rows(edit.rows), call.rows(edit.sources)
        image = _completed(
            call.image.of(out[edit.rows]), edit, own.of_image(), source.of_image(), attend, outside
        )
        if call.image.count < call.q.shape[-2]:
            others = own.queries(call.image.others).run(attend)
            image = call.image.put(image, others)
        out = out.index_copy(0, edit.rows, image)
    return out


def _first(edit: JointEdit, own: JointCall, source: JointCall, outside: Outside) -> JointCall:
    """The edited rows of the call that all rows are in."""
    text = own.layout.text.of(own.v)
    mixed, kept = edit.mixed(text), edit.kept(text)
    if edit.inject and mixed is not None:
        return replace(source, v=own.with_text(mixed).v)
    if edit.inject:
        own = replace(own, q=source.q, k=_injected(own, source))
    if mixed is not None and outside == "own mass":
        return own.with_text(None)
    return own.with_text(kept) if edit.mixes else own


def _completed(
    image: Tensor, edit: JointEdit, own: JointCall, source: JointCall, attend: Attend, outside: Outside
) -> Tensor:
    """`image`, the image queries' result of `_first`, with what other maps add to it."""
    text = own.layout.text.of(own.v)
    mixed, kept = edit.mixed(text), edit.kept(text)
    if mixed is None or (edit.inject and kept is None):
        return image
    if edit.inject:
        injected = replace(own, q=source.q, k=_injected(own, source))
        return image + injected.with_text(kept, rest=False).run(attend)
    if outside == "own columns":
        values = source.with_text(mixed, rest=False)
        return image + values.run(attend)
    mass = own.with_text(torch.ones_like(text), rest=False).run(attend)
    within = source.text_alone(mixed).run(attend)
    if kept is not None:
        within = within + own.text_alone(kept).run(attend)
    return image + mass * within


def _injected(own: JointCall, source: JointCall) -> Tensor:
    """The row's own keys with the source's image tokens."""
    image = own.layout.image
    return image.put(image.of(source.k), image.others(own.k))
