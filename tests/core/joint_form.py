"""Joint attention with its maps built in float64: the reference of the joint tests, and random cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch
from einops import rearrange
from hypothesis import strategies as st
from paper_form import random_mixing
from torch import Tensor
from torch.nn import functional as F

from p2p_core.architecture.dit import Layout, Part, Tokens
from p2p_core.attention.calls import JointCall
from p2p_core.attention.joint import JointEdit, Outside

KINDS = ("open", "closed", "by word", "soft", "none")
ORDERS: tuple[tuple[Part, ...], ...] = (
    ("text", "image", "reference"),
    ("image", "text", "reference"),
    ("image", "reference", "text"),
    ("text", "reference", "image"),
)


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """A host's attention on split heads, [B, H, L, C], fewer heads of keys than of queries included."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=q.shape[1] != k.shape[1])


def attend_merged(heads: int):
    """The same on merged heads, [B, L, H·C]."""

    def merged(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
        split = [rearrange(t, "b n (h c) -> b h n c", h=heads) for t in (q, k, v)]
        return rearrange(attend(split[0], split[1], split[2], mask), "b h n c -> b n (h c)")

    return merged


@dataclass
class Case:
    call: JointCall
    edits: list[JointEdit]
    outside: Outside

    def expected(self, v: Tensor | None = None) -> Tensor:
        """A*V of all rows, [B, H, L, C], from maps of the definitions in p2p_core/joint.py."""
        v = self._full(self.call.v if v is None else v)
        rows = list((self._map(self.call.q, self.call.k, range(len(self.call.q))) @ v).unbind())
        for edit in self.edits:
            for place, row in enumerate(edit.rows.tolist()):
                rows[row] = self._edited(edit, place) @ v[row]
        return torch.stack(rows)

    def _edited(self, edit: JointEdit, place: int) -> Tensor:
        e, s = int(edit.rows[place]), int(edit.sources[place])
        text, image = (slice(x.start, x.stop) for x in (self.call.layout.text, self.call.layout.image))
        q, k = self.call.q, self.call.k
        own, source = self._map(q, k, [e])[0], self._map(q, k, [s])[0]
        base = own
        if edit.inject:
            q, k = q.clone(), k.clone()
            q[e][..., image, :], k[e][..., image, :] = q[s][..., image, :], k[s][..., image, :]
            base = self._map(q, k, [e])[0]
        new = base[:, image].clone()
        if edit.mixes:
            columns = text.stop - text.start
            zero = torch.zeros(columns, columns).double()
            w_s = zero if edit.from_source is None else edit.from_source[place].double()
            w_e = zero[0] if edit.own is None else edit.own[place].double()
            a_s, a_e = source[:, image, text], base[:, image, text]
            if edit.from_source is not None and edit.inject:
                new = source[:, image].clone()
            if edit.from_source is not None and not edit.inject and self.outside == "own mass":
                mass = a_e.sum(-1, keepdim=True)
                a_s, a_e = mass * a_s / a_s.sum(-1, keepdim=True), a_e
            new[..., text] = a_s @ w_s + a_e * w_e
        result = own.clone()
        result[:, image] = new
        return result

    def _map(self, q: Tensor, k: Tensor, rows: Sequence[int]) -> Tensor:
        rows = list(rows)
        q, k, mask = q[rows].double(), self._full(k[rows]), self.call.mask
        logits = q @ k.mT / q.shape[-1] ** 0.5
        if mask is not None:
            logits = logits + (mask if len(mask) == 1 else mask[rows]).double()
        return torch.softmax(logits, dim=-1)

    def _full(self, t: Tensor) -> Tensor:
        return self._wide(t).double()

    def merged(self) -> JointCall:
        q, k, v = (rearrange(self._wide(t), "b h n c -> b n (h c)") for t in self.call.qkv)
        return JointCall(q, k, v, self.call.mask, self.call.layout, self.call.image)

    def _wide(self, t: Tensor) -> Tensor:
        return t.repeat_interleave(self.call.q.shape[1] // t.shape[1], dim=1)


def joint_case(
    layout: Layout, groups: Sequence[tuple[str, bool]], rows: int, outside: Outside, *,
    heads: int = 2, key_heads: int = 2, masked: str = "", seed: int = 0,
) -> Case:  # fmt: skip
    """A batch of `rows` sources and for each group (kind of mixing, inject) as many edited rows."""
    random = torch.Generator().manual_seed(seed)
    batch = rows * (1 + len(groups))
    q, k, v = (
        torch.randn(batch, h, layout.total, 8, generator=random) for h in (heads, key_heads, key_heads)
    )
    mask = None
    if masked:
        hidden = torch.rand(batch if "rows" in masked else 1, 1, 1, layout.total, generator=random) < 0.3
        hidden[..., layout.text.start] = False
        mask = torch.zeros(hidden.shape).masked_fill(hidden, -torch.inf)
        if "queries" in masked:
            mask = mask.repeat(1, 1, layout.total, 1)
    edits: list[JointEdit] = []
    for n, (kind, inject) in enumerate(groups):
        places = torch.arange(rows) + rows * (n + 1)
        columns = layout.text.count
        mixings = [random_mixing(columns, columns, kind, seed + row) for row in range(rows)]
        w_s = [m.from_source for m in mixings if m is not None]
        w_e = [m.own for m in mixings if m is not None]
        stacked = [torch.stack(w) if w and torch.stack(w).any() else None for w in (w_s, w_e)]
        if inject or any(w is not None for w in stacked):
            edits.append(JointEdit(places, torch.arange(rows), stacked[0], stacked[1], inject))
    return Case(JointCall(q, k, v, mask, layout, layout.image), edits, outside)


@st.composite
def joint_cases(draw: st.DrawFn) -> Case:
    tokens = Tokens(
        order=draw(st.sampled_from(ORDERS)), registers=draw(st.sampled_from([0, 3])), patch=2,
        multiple=draw(st.sampled_from([1, 4])),
    )  # fmt: skip
    latent = (1, 4, draw(st.integers(1, 5)), draw(st.integers(1, 5)))
    layout = tokens.layout(draw(st.integers(1, 7)), latent, draw(st.sampled_from([0, 2])))
    assert layout.image.count == prod(layout.grid)
    kinds = st.tuples(st.sampled_from(KINDS), st.booleans())
    heads, key_heads = draw(st.sampled_from([(1, 1), (2, 2), (4, 2)]))
    return joint_case(
        layout, draw(st.lists(kinds, max_size=3)), draw(st.integers(1, 2)),
        draw(st.sampled_from(["own columns", "own mass"])), heads=heads, key_heads=key_heads,
        masked=draw(st.sampled_from(["", "rows", "rows and queries", "all"])), seed=draw(st.integers(0, 999)),
    )  # fmt: skip
