"""The paper's code, written from its description, as the reference for tests; and random cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from einops import rearrange
from hypothesis import strategies as st
from prompts_of import CHUNK
from torch import Tensor

from p2p_core.attention.editing import Mixing, RowEdit
from p2p_core.rows import Batch
from p2p_core.words.prompts import Prompt

# Materialised maps


def maps(q: Tensor, k: Tensor, heads: int) -> Tensor:
    """softmax(QKᵀ/√d) of one row, [H, N, K], in float64."""
    q, k = (rearrange(t.double(), "n (h c) -> h n c", h=heads) for t in (q, k))
    return torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, dim=-1)


def weighted(map: Tensor, v: Tensor) -> Tensor:
    """[H, N, K], [K, C] → [N, C]."""
    values = rearrange(v.double(), "k (h c) -> h k c", h=map.shape[0])
    return rearrange(map @ values, "h n c -> n (h c)")


@dataclass
class Case:
    """A batch whose row r holds columns[r] text columns, each repeated up to a common K, and its edits."""

    heads: int
    q: Tensor
    k: Tensor
    v: Tensor
    columns: list[int]
    edits: list[RowEdit]

    def paper(self) -> Tensor:
        """A* = A_s·W_s + A_e·diag(w_e) on the text columns of each edited row, [B, N, C]."""
        by_row = {edit.row: edit for edit in self.edits}
        rows: list[Tensor] = []
        for row, v in enumerate(self.v):
            edited = self.map(row)
            edit = by_row.get(row)
            if edit is not None and edit.mixing is not None:
                from_source, own = edit.mixing.from_source.double(), edit.mixing.own.double()
                edited = self.map(edit.source) @ from_source + edited * own
            rows.append(weighted(edited, v[: self.columns[row]]))
        return torch.stack(rows)

    def map(self, row: int) -> Tensor:
        return maps(self.q[row], self.k[row, : self.columns[row]], self.heads)


def batch(heads: int, width: int, pixels: int, columns: list[int], repeats: int, seed: int) -> Case:
    """Random q, k, v in float32 without edits."""
    random = torch.Generator().manual_seed(seed)
    keys = repeats * int(torch.tensor(columns).unique().prod())
    q = torch.randn(len(columns), pixels, heads * width, generator=random)
    k, v = (
        torch.stack([torch.randn(t, heads * width, generator=random).repeat(keys // t, 1) for t in columns])
        for _ in range(2)
    )
    return Case(heads, q, k, v, columns, [])


def random_mixing(source: int, edit: int, kind: str, seed: int) -> Mixing | None:
    """W_s = mapper·diag(alpha·equalizer), w_e = (1 − alpha)·equalizer; mapper ≥ 0 with rows of sum 1."""
    random = torch.Generator().manual_seed(seed)
    mapper = torch.rand(source, edit, generator=random) * (torch.rand(source, edit, generator=random) < 0.7)
    mapper = mapper / mapper.sum(dim=1, keepdim=True).clamp(min=1e-6)
    alpha = {
        "closed": torch.zeros(edit),
        "open": torch.ones(edit),
        "by word": torch.rand(edit, generator=random).round(),
        "soft": torch.rand(edit, generator=random),
    }.get(kind)
    if alpha is None:
        return None if kind == "none" else Mixing(torch.zeros(source, edit), torch.zeros(edit))
    equalizer = torch.randn(edit, generator=random) * 2
    return Mixing(mapper * alpha * equalizer, (1 - alpha) * equalizer)


KINDS = ("open", "closed", "by word", "soft", "nothing left", "none")


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """An unpaired half and a paired half of one or two samples, each with a source and up to three edits."""
    columns = draw(st.lists(st.integers(1, 7), min_size=2, max_size=4))
    samples, halves = draw(st.integers(1, 2)), draw(st.sampled_from([[False, True], [True, False], [True]]))
    heads, width, pixels = draw(st.tuples(st.integers(1, 4), st.integers(1, 8), st.integers(1, 9)))
    repeats, seed = draw(st.integers(1, 3)), draw(st.integers(0, 999))
    case = batch(heads, width, pixels, columns * samples * len(halves), repeats, seed)
    for r in Batch(len(case.columns), tuple(halves), len(columns)).rows:
        if r.prompt:
            kind, seed = draw(st.sampled_from(KINDS)), draw(st.integers(0, 999))
            case.edits.append(
                RowEdit(r.row, r.source, random_mixing(columns[0], columns[r.prompt], kind, seed))
            )
    return case


# Alignment


def published_mapper(source: Prompt, edit: Prompt) -> list[list[float]]:
    """The published replacement mapper: walks both prompts column by column. Changed words map one to one or
    evenly, columns between them in order; after the last changed word, column j maps to j."""
    mapper = [[0.0] * CHUNK for _ in range(CHUNK)]
    s = e = 0
    for a, b in zip(source.words, edit.words, strict=True):
        if a.text == b.text:
            continue
        while s < a.columns[0]:
            mapper[s][e] = 1.0
            s, e = s + 1, e + 1
        for n, left in enumerate(a.columns):
            for m, right in enumerate(b.columns):
                same = len(a.columns) == len(b.columns)
                mapper[left][right] = float(n == m) if same else 1 / len(b.columns)
        s, e = s + len(a.columns), e + len(b.columns)
    for column in range(e, e + CHUNK - max(s, e)):
        mapper[column][column] = 1.0
    return mapper


def published_refinement(source: Sequence[str], edit: Sequence[str]) -> tuple[list[int], list[float]]:
    """The published refinement of two token lists with start and end: for each of 77 edit columns the source
    column whose attention it takes (-1: none) and alpha.

    Needleman-Wunsch with match 1, mismatch -1 and gap 0; among equally good alignments, adding the edit's
    token is preferred to dropping the source's, and that to pairing them. Padding takes the column with its
    own index.
    """
    score = [[0] * (len(edit) + 1) for _ in range(len(source) + 1)]
    for i, a in enumerate(source, start=1):
        for j, b in enumerate(edit, start=1):
            paired = score[i - 1][j - 1] + (1 if a == b else -1)
            score[i][j] = max(score[i][j - 1], score[i - 1][j], paired)
    mapper = [-1] * len(edit)
    i, j = len(source), len(edit)
    while j:
        if not i or score[i][j] == score[i][j - 1]:
            j -= 1
        elif score[i][j] == score[i - 1][j]:
            i -= 1
        else:
            i, j = i - 1, j - 1
            mapper[j] = i
    mapper += range(len(edit), CHUNK)
    return mapper, [float(column != -1) for column in mapper]
