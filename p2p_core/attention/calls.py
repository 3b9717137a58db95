"""One attention call of a transformer: its tensors, its mask, and where text and image stand in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ..architecture.dit import Layout, Span

Attend = Callable[[Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""The host's attention: q, k, v with tokens on dim -2, mask [1 or B, 1 or H, 1 or N, K] or None → like q."""


@dataclass(frozen=True, eq=False)
class JointCall:
    """A call in which text and image share one softmax.

    k, v: [B, L, H·C] or [B, H, L, C]; q: the same, or of N of the tokens; mask: [1 or B, 1 or H, 1 or N, L].
    image: where q has the image tokens.
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
        mask = self.mask
        if mask is not None and mask.shape[-2] > 1:
            mask = part(mask)
        return replace(self, q=part(self.q), mask=mask)

    def of_image(self) -> JointCall:
        """The call of its image queries alone."""
        return replace(self.queries(self.image.of), image=Span(0, self.image.count))

    def rows(self, rows: Tensor) -> JointCall:
        """The call of some batch rows. rows: [R] on the device of the call."""
        mask = self.mask
        if mask is not None and mask.shape[0] > 1:
            mask = mask[rows]
        return replace(self, q=self.q[rows], k=self.k[rows], v=self.v[rows], mask=mask)

    def with_rows(self, rows: Tensor, other: JointCall) -> JointCall:
        """With these batch rows from `other`, the call of as many rows."""
        mask = self.mask
        if mask is not None and other.mask is not None and mask.shape[0] > 1:
            mask = mask.index_copy(0, rows, other.mask)
        q, k, v = (a.index_copy(0, rows, b) for a, b in zip(self.qkv, other.qkv, strict=True))
        return replace(self, q=q, k=k, v=v, mask=mask)

    def with_text(self, values: Tensor | None, rest: bool = True) -> JointCall:
        """With other values of the text columns (None: 0); the other columns keep theirs, or have 0."""
        text = self.layout.text
        v = self.v if rest else torch.zeros_like(self.v)
        values = torch.zeros_like(text.of(v)) if values is None else values
        return replace(self, v=text.put(values, text.others(v)))

    def with_image_of(self, source: JointCall) -> JointCall:
        """With the image queries and keys of another row. The other queries are no longer the row's own."""
        image = self.layout.image
        return replace(self, q=source.q, k=image.put(image.of(source.k), image.others(self.k)))

    def text_alone(self, values: Tensor) -> JointCall:
        """With the text columns only, [..., T, C] their values."""
        text = self.layout.text
        mask = None if self.mask is None else self.mask[..., text.start : text.stop]
        return replace(self, k=text.of(self.k), v=values, mask=mask)

    @property
    def qkv(self) -> tuple[Tensor, Tensor, Tensor]:
        return self.q, self.k, self.v
