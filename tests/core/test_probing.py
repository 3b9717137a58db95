"""Maps of chosen columns in value space, compared with materialised maps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from attending import Shapes
from hypothesis import given
from hypothesis import strategies as st
from paper_form import Case, batch, cases, maps, random_mixing
from prompts_of import tries
from torch import Tensor

from p2p_core.attention.editing import EditedBatch, RowEdit
from p2p_core.attention.probing import column_maps, prepare_probe, probabilities, word_maps
from p2p_core.rows import PairedRow


def paper_map(case: Case, row: PairedRow) -> Tensor:
    """A* of a row, the mean over heads, [N, T] in float64."""
    own = case.map(row.row).mean(0)
    mixing = {edit.row: edit.mixing for edit in case.edits}.get(row.row)
    if mixing is None:
        return own
    return case.map(row.source).mean(0) @ mixing.from_source.double() + own * mixing.own.double()


def random_indicators(columns: Sequence[int], channels: int, seed: int) -> list[Tensor]:
    """For each prompt [T, n] of 0 and 1."""
    random = torch.Generator().manual_seed(seed)
    return [(torch.rand(t, channels, generator=random) < 0.4).float() for t in columns]


def rows_of(case: Case) -> tuple[PairedRow, ...]:
    """Every row as a prompt of its own, edited or not."""
    sources = {edit.row: edit.source for edit in case.edits}
    return tuple(PairedRow(row, sources.get(row, row), 0, row) for row in range(len(case.columns)))


def found(case: Case, rows: tuple[PairedRow, ...], indicators: Sequence[Tensor]) -> Tensor:
    """[R, N, n]"""
    batch = EditedBatch(rows, tuple(case.edits))
    probe = prepare_probe(batch, indicators, case.k.shape[1], case.k.device)
    return word_maps(case.q, case.k, case.heads, probe)


@tries(80)
@given(cases(), st.integers(1, 12), st.integers(0, 99))
def test_maps_are_the_papers_maps_summed_over_the_columns_of_each_word(
    case: Case, channels: int, seed: int
) -> None:
    """Plain rows and edited ones, repeated key columns, more words than a head has channels."""
    rows, indicators = rows_of(case), random_indicators(case.columns, channels, seed)
    expected = torch.stack([paper_map(case, row) @ indicators[row.row].double() for row in rows])
    result = found(case, rows, indicators)
    torch.testing.assert_close(result.double(), expected, atol=1e-4, rtol=1e-4)  # sums over up to 2520 keys


def test_maps_of_half_precision_are_computed_in_float32() -> None:
    case = batch(2, 8, 9, [5, 5], 1, seed=0)
    case.q, case.k = case.q.half() * 30, case.k.half()
    indicators = random_indicators(case.columns, 3, 0)
    result = found(case, rows_of(case), indicators)
    expected = torch.stack([case.map(r).mean(0) @ indicators[r].double() for r in range(2)])
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), expected, atol=1e-5, rtol=1e-5)


def test_only_the_rows_asked_for_are_computed() -> None:
    case = batch(1, 4, 5, [6, 6, 6, 6], 1, seed=0)
    case.edits = [RowEdit(3, 2, random_mixing(6, 6, "soft", 0))]
    indicators = random_indicators([6, 6], 2, 0)
    rows = PairedRow(3, 2, 0, 1), PairedRow(2, 2, 0, 0)
    expected = torch.stack([paper_map(case, row) @ indicators[row.prompt].double() for row in rows])
    torch.testing.assert_close(found(case, rows, indicators).double(), expected, atol=1e-5, rtol=1e-5)


def test_a_last_channel_of_the_keys_is_a_mask() -> None:
    case = batch(2, 4, 5, [6, 6], 1, seed=0)
    hidden = torch.zeros(2, 6).masked_fill(
        torch.tensor([[0, 0, 0, 0, 1, 1], [0, 1, 0, 0, 0, 0]]).bool(), -torch.inf
    )
    indicators = random_indicators(case.columns, 3, 0)
    probe = prepare_probe(EditedBatch(rows_of(case), ()), indicators, 6, case.k.device)
    result = word_maps(case.q, torch.cat([case.k, hidden[..., None]], dim=-1), case.heads, probe)
    q, k = (t.double().unflatten(-1, (case.heads, -1)).transpose(1, 2) for t in (case.q, case.k))
    logits = q @ k.mT / q.shape[-1] ** 0.5 + hidden[:, None, None].double()
    expected = torch.softmax(logits, dim=-1).mean(1) @ torch.stack(indicators).double()
    torch.testing.assert_close(result.double(), expected, atol=1e-5, rtol=1e-5)


def test_words_that_no_prompt_has_have_maps_of_zero() -> None:
    case = batch(1, 4, 5, [6, 6], 1, seed=0)
    one_has_it = [torch.zeros(6, 2), torch.ones(6, 2)]
    result = found(case, rows_of(case), one_has_it)
    assert not result[0].any() and torch.allclose(result[1], torch.ones(5, 2))
    assert torch.equal(found(case, rows_of(case), [torch.zeros(6, 2)] * 2), torch.zeros(2, 5, 2))


def test_no_map_is_built() -> None:
    """Of cross-attention: no tensor has the shape pixels × columns."""
    pixels, columns = 48, 35
    case = batch(2, 8, pixels, [columns] * 2, 1, seed=0)
    case.edits = [RowEdit(1, 0, random_mixing(columns, columns, "soft", 0))]
    with Shapes() as shapes:
        found(case, rows_of(case), random_indicators(case.columns, 11, 0))
    assert (pixels, 11) in shapes.seen
    assert not shapes.seen & {(pixels, columns), (columns, pixels)}
    with Shapes() as shapes:
        probabilities(case.q[0], case.k[0], 2)
    assert (pixels, columns) in shapes.seen


def test_the_whole_map_of_a_row_is_the_mean_over_heads() -> None:
    case = batch(3, 4, 6, [7], 1, seed=0)
    whole = probabilities(case.q[0].half(), case.k[0].half(), 3)
    torch.testing.assert_close(whole.double(), maps(case.q[0].half(), case.k[0].half(), 3).mean(0))
    every = column_maps(case.q.half(), case.k.half(), torch.eye(7)[None], 3)[0]
    torch.testing.assert_close(every, whole)
