"""Mixings of prompts on the text columns of a batch: padding goes to padding, and no attention is lost."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from prompts_of import tries

from p2p_core.architecture.dit import Span, Tokens
from p2p_core.attention.editing import Mixing, RowEdit
from p2p_core.attention.placing import placed, prepare_joint
from p2p_core.errors import P2PError


def swap(source: int, edit: int) -> Mixing:
    """Each source column to the edit's of its number, the rest to the last one."""
    matrix = torch.zeros(source, edit)
    for column in range(source):
        matrix[column, min(column, edit - 1)] = 1
    return Mixing(matrix, torch.zeros(edit))


@tries(60)
@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 5), st.sampled_from(["left", "right"]))
def test_a_swap_passes_on_all_attention(source: int, edit: int, more: int, side: str) -> None:
    text = max(source, edit) + more
    starts = (0, 0) if side == "right" else (text - source, text - edit)
    spans = Span(starts[0], source), Span(starts[1], edit)
    result = placed(swap(source, edit), *spans, text)
    torch.testing.assert_close(result.from_source.sum(1), torch.ones(text))
    assert torch.equal(result.own, torch.zeros(text))
    inner = result.from_source[spans[0].start : spans[0].stop, spans[1].start : spans[1].stop]
    assert torch.equal(inner, swap(source, edit).from_source)


def test_padding_keeps_its_own_attention_outside_of_the_window() -> None:
    closed = Mixing(torch.zeros(3, 3), torch.tensor([1.0, 2.0, 1.0]))
    result = placed(closed, Span(0, 3), Span(0, 3), 5)
    assert torch.equal(result.own, torch.tensor([1.0, 2.0, 1.0, 1.0, 1.0]))
    assert not result.from_source.any()


def test_rows_that_are_edited_alike_are_one_group() -> None:
    kept = Mixing(torch.zeros(2, 2), torch.tensor([1.0, 2.0]))
    edits = [RowEdit(1, 0, swap(2, 2)), RowEdit(2, 0, kept), RowEdit(4, 3, swap(2, 2)), RowEdit(5, 3)]
    like = torch.zeros(1)
    rows = [group.rows.tolist() for group in prepare_joint(edits, inject=True, like=like)]
    assert rows == [[1, 4], [2], [5]]
    assert [g.rows.tolist() for g in prepare_joint(edits, inject=False, like=like)] == [[1, 4], [2]]
    nothing = Mixing(torch.zeros(2, 2), torch.zeros(2))
    (group,) = prepare_joint([RowEdit(1, 0, nothing)], inject=False, like=like)
    assert group.own is not None and group.from_source is None


@pytest.mark.parametrize(("tokens", "start"), [(Tokens(), 0), (Tokens(side="left"), 4)])
def test_a_prompt_stands_on_the_side_of_its_family(tokens: Tokens, start: int) -> None:
    layout = tokens.layout(9, (1, 16, 8, 8))
    assert layout.prompt(5) == Span(start, 5)
    with pytest.raises(P2PError, match="at least 10 tokens"):
        layout.prompt(10)


def test_tokens_are_laid_out_in_order() -> None:
    layout = Tokens(order=("image", "reference", "text"), registers=2).layout(7, (1, 16, 8, 12), 6)
    assert (layout.image, layout.text, layout.total) == (Span(2, 24), Span(32, 7), 39)
    padded = Tokens(multiple=32).layout(7, (1, 16, 3, 8, 12))
    assert padded.grid == (3, 4, 6)
    assert (padded.text, padded.image, padded.total) == (Span(0, 32), Span(32, 72), 128)
